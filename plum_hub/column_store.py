"""Small columns of a run's files, kept on temporary files, so that a command parses the rows once for all of them.

A million samples are 1.7 GB of JSON lines. Most commands want ids, statuses and versions of them, one after the other.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from plum_hub.errors import RunError
from plum_hub.spool import TableSpool

if TYPE_CHECKING:
    import pyarrow as pa

_KEPT = frozenset(
    {"id", "instruction_id", "suite_id", "sample_id", "engine", "prompt_digest", "extraction", "prompt_tokens",
     "completion_tokens", "sandbox", "static_check", "status", "label", "stage", "reason"}
)  # fmt: skip
"""The columns that are kept, of whatever kind of row."""
_SMALLEST = 1 << 23
"""Bytes of a file below which nothing is kept: it is parsed soon enough."""
_State: TypeAlias = tuple[int, int, int]


class ColumnStore:
    """The small columns of files that were read to their end, for as long as these files stay the same."""

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[_State, TableSpool]] = {}

    def read(self, path: Path, names: Sequence[str]) -> "Iterable[pa.Table] | None":
        """Read columns that were kept.

        Args:
            path: The file of rows.
            names: The columns.

        Returns:
            Tables of at least these columns, with all rows of the file in its order; None where they were not kept, or
            the file is not the same any more.
        """
        state, spool = self._kept.get(path, (None, None))
        return spool if state == _state(path) and _KEPT.issuperset(names) else None

    def keeping(self, path: Path, tables: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
        """Keep the small columns of tables as they pass by, for when all have passed.

        Where there is no room for them, as on a full disk, nothing is kept.

        Args:
            path: The file of rows.
            tables: All its rows, of which none has been read from it yet.

        Yields:
            The same tables.
        """
        state, spool = _state(path), None
        keeps = state is not None and state[0] >= _SMALLEST and self._kept.get(path, (None,))[0] != state
        for table in tables:
            if keeps:
                try:
                    spool = spool or TableSpool()
                    spool.append(table.select([name for name in table.schema.names if name in _KEPT]))
                except RunError:
                    keeps = False
            yield table
        if keeps and state is not None and spool is not None:
            self._kept[path] = state, spool


def _state(path: Path) -> _State | None:
    """Return what changes whenever a file does; None where it is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
