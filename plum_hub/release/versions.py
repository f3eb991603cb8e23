"""The version of a release, which follows from its content.

Different columns make a major version, different rows a minor one, and anything else, such as the card, a patch. Tags
of versions are `vMAJOR.MINOR.PATCH`, numbers without leading zeros; other tags, such as dates, are ignored.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

FIRST = "v1.0.0"
"""The version of a first release."""
_VERSION = re.compile(r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)

Stated: TypeAlias = Mapping[str, Any]
"""The content of a `manifest.json`, of any version of plum-hub."""


def newest_first(tags: Iterable[str]) -> list[str]:
    """Sort version tags, and leave out all others.

    Args:
        tags: The tags of a repository.

    Returns:
        Its versions, the newest first.
    """
    found = [(tuple(map(int, match.groups())), tag) for tag in tags if (match := _VERSION.fullmatch(tag))]
    return [tag for _, tag in sorted(found, reverse=True)]


def same_rows(theirs: Stated, mine: Stated) -> bool:
    """Tell whether two releases have the same rows.

    If both manifests have digests of their rows, these decide, because the bytes of a Parquet file also depend on the
    version of pyarrow. Otherwise the SHA-256 of every table decides.

    Args:
        theirs: The manifest of one release.
        mine: The manifest of the other.

    Returns:
        True if they have.
    """
    if "content" in theirs and "content" in mine:
        return bool(theirs["content"] == mine["content"])
    return _tables(theirs) == _tables(mine)


def same_release(theirs: Stated, mine: Stated) -> bool:
    """Tell whether two manifests are equal, apart from the bytes that store equal rows.

    Args:
        theirs: The manifest of one release.
        mine: The manifest of the other.

    Returns:
        True if they are.
    """
    if "content" in theirs and "content" in mine:
        return _without_bytes(theirs) == _without_bytes(mine)
    return theirs == mine


def _tables(manifest: Stated) -> dict[str, str]:
    """Return the SHA-256 of every table, by its path."""
    return {file["path"]: file["sha256"] for file in manifest["files"] if file["rows"] is not None}


def _without_bytes(manifest: Stated) -> dict[str, Any]:
    """Return a manifest without the hashes and sizes of its tables, whose rows have a digest of their own."""
    files = [
        file if file["rows"] is None else {"path": file["path"], "rows": file["rows"]} for file in manifest["files"]
    ]
    return {**manifest, "files": files}


def following(newest: str, theirs: Stated | None, mine: Stated) -> str:
    """Return the next version.

    Args:
        newest: The newest version so far.
        theirs: Its manifest; None where it has none.
        mine: The manifest of the release that needs a version.

    Returns:
        The version that follows from what changed.
    """
    match = _VERSION.fullmatch(newest)
    assert match is not None
    major, minor, patch = map(int, match.groups())
    if theirs is not None and _other_columns(theirs.get("columns", {}), mine["columns"]):
        return f"v{major + 1}.0.0"
    if theirs is None or not same_rows(theirs, mine):
        return f"v{major}.{minor + 1}.0"
    return f"v{major}.{minor}.{patch + 1}"


def _other_columns(theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> bool:
    """Tell whether a config of both releases has different columns; one without rows has no columns at all."""
    return any(theirs[config] != mine[config] for config in theirs.keys() & mine.keys())
