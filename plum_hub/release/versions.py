"""Which version a release is, by what it holds: other columns make a major one, other rows a minor one, anything else,
as the card, a patch. A tag is `vMAJOR.MINOR.PATCH`; others say nothing here.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

FIRST = "v1.0.0"
_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")

Stated: TypeAlias = Mapping[str, Any]
"""What a `manifest.json` says."""


def newest_first(tags: Iterable[str]) -> list[str]:
    """The tags that are versions."""
    found = [tuple(map(int, match.groups())) for tag in tags if (match := _VERSION.fullmatch(tag))]
    return ["v{}.{}.{}".format(*version) for version in sorted(found, reverse=True)]


def same_rows(theirs: Stated, mine: Stated) -> bool:
    """Tell whether two releases have the same rows.

    Where both manifests digest their rows, the digests decide; the bytes of a Parquet file also follow the version of
    pyarrow. Else the sha256 of every table does.
    """
    if "content" in theirs and "content" in mine:
        return bool(theirs["content"] == mine["content"])
    return _tables(theirs) == _tables(mine)


def same_release(theirs: Stated, mine: Stated) -> bool:
    """Tell whether two manifests say the same, but for the bytes that equal rows are stored as."""
    if "content" in theirs and "content" in mine:
        return _without_bytes(theirs) == _without_bytes(mine)
    return theirs == mine


def _tables(manifest: Stated) -> dict[str, str]:
    """The sha256 of every table, by its path."""
    return {file["path"]: file["sha256"] for file in manifest["files"] if file["rows"] is not None}


def _without_bytes(manifest: Stated) -> dict[str, Any]:
    """A manifest without the bytes of its tables, whose rows it digests."""
    files = [
        file if file["rows"] is None else {"path": file["path"], "rows": file["rows"]} for file in manifest["files"]
    ]
    return {**manifest, "files": files}


def following(newest: str, theirs: Stated | None, mine: Stated) -> str:
    """The version after `newest`, whose manifest is `theirs` (None where it has none), for a tree of `mine`."""
    match = _VERSION.fullmatch(newest)
    assert match is not None
    major, minor, patch = map(int, match.groups())
    if theirs is not None and _other_columns(theirs.get("columns", {}), mine["columns"]):
        return f"v{major + 1}.0.0"
    if theirs is None or not same_rows(theirs, mine):
        return f"v{major}.{minor + 1}.0"
    return f"v{major}.{minor}.{patch + 1}"


def _other_columns(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> bool:
    """Whether a config that both have has other columns; one without rows has none."""
    return any(theirs[config] != mine[config] for config in theirs.keys() & mine.keys())
