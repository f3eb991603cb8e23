"""The first rows of a dataset's configs, read from its Parquet files."""

# ruff: noqa: TID253 - part of the server, which is imported late, in its own process
import io
import json
import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from plum_hub.hubs import front_matter
from plum_hub.hubs.git import TreeEntry
from plum_hub.hubs.store import Repo, Store

FIRST, LONGEST = 25, 400
"""Rows that are shown, and characters of a cell."""
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Cell:
    """A value as a table shows it.

    Attributes:
        text: Its first characters.
        cut: Characters that are left out.
        empty: Whether it is null.
    """

    text: str
    cut: int = 0
    empty: bool = False


@dataclass(frozen=True)
class Table:
    """The first rows of some files.

    Attributes:
        columns: Names and types.
        rows: The rows.
        total: Rows of all files.
        problem: Why there is no table; empty if there is one.
    """

    columns: list[tuple[str, str]]
    rows: list[list[Cell]]
    total: int = 0
    problem: str = ""


def configs(card: dict[str, Any], files: list[TreeEntry]) -> dict[str, dict[str, list[TreeEntry]]]:
    """Find the Parquet files of each config and split: as the card declares them, else all files in one config.

    Args:
        card: The front matter.
        files: All files of the repository at the revision.

    Returns:
        Files by config and split.
    """
    parquet = [entry for entry in files if entry.path.endswith(".parquet")]
    declared = card.get("configs")
    found: dict[str, dict[str, list[TreeEntry]]] = {}
    for config in declared if isinstance(declared, list) else ():
        if isinstance(config, dict) and "config_name" in config:
            splits = {name: _matching(patterns, parquet) for name, patterns in _patterns(config).items()}
            found[str(config["config_name"])] = {name: chosen for name, chosen in splits.items() if chosen}
    if not found and parquet:
        splits = {}
        for entry in parquet:
            splits.setdefault(next((it for it in _SPLITS if it in entry.path), "train"), []).append(entry)
        found["default"] = splits
    return {name: splits for name, splits in found.items() if splits}


def first_rows(store: Store, repo: Repo, files: list[TreeEntry]) -> Table:
    """Read the first rows of Parquet files that belong together.

    Args:
        store: The store of the Hub.
        repo: Their repository.
        files: The files, in order.

    Returns:
        A table; with a problem where they cannot be read.
    """
    try:
        opened = [_opened(store, repo, file) for file in files]
        schema, rows = opened[0].schema_arrow, list[dict[str, Any]]()
        for file in opened:
            for batch in file.iter_batches(batch_size=FIRST - len(rows)):
                rows += batch.to_pylist()
                break
            if len(rows) >= FIRST:
                break
    except (pa.ArrowException, OSError) as error:
        return Table([], [], problem=f"{files[0].path} cannot be read as Parquet: {str(error).splitlines()[0]}")
    names = list(schema.names)
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    columns = [(name, str(schema.field(name).type)) for name in names]
    return Table(columns, cells, sum(file.metadata.num_rows for file in opened))


def _opened(store: Store, repo: Repo, entry: TreeEntry) -> Any:
    large = store.pointers(repo.git, {entry.oid: entry.size}).get(entry.oid)
    source = str(store.objects.path(large.sha256)) if large else io.BytesIO(repo.git.blob(entry.oid))
    # A row group may be as long as the file: read of it only what the first rows need.
    return pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 16)


def _patterns(config: dict[str, Any]) -> dict[str, list[str]]:
    """Return the path patterns of each split that a config declares."""
    data_files = config.get("data_files", [f"{config['data_dir']}/**"] if "data_dir" in config else ["**"])
    patterns: dict[str, list[str]] = {}
    for item in data_files if isinstance(data_files, list) else [data_files]:
        if isinstance(item, dict):
            patterns.setdefault(str(item.get("split", "train")), []).extend(front_matter.texts(item.get("path")))
        else:
            patterns.setdefault("train", []).append(str(item))
    return patterns


def _matching(patterns: list[str], files: list[TreeEntry]) -> list[TreeEntry]:
    expressions = [_expression(pattern) for pattern in patterns]
    return [file for file in files if any(it.fullmatch(file.path) for it in expressions)]


def _expression(pattern: str) -> re.Pattern[str]:
    """Translate a path pattern, where `*` stays within a folder and `**` does not."""
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
    return re.compile("".join(meaning.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)


def _cell(value: Any) -> Cell:
    if value is None:
        return Cell("null", empty=True)
    if isinstance(value, (list, dict)):
        value = json.dumps(value, ensure_ascii=False, default=str)
    text = f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)
    return Cell(text[:LONGEST], max(len(text) - LONGEST, 0))
