"""The rows of a training on disk instead of in memory, read by their number."""

from collections.abc import Iterable, Sequence
from typing import Any, overload

from typing_extensions import override

from plum_hub.spool import Spool
from plum_hub.training.lengths import TOOLS, Row


class _StoredRows(Sequence[Row]):
    """Rows on a temporary file; all have the column of tools where any has some: TRL requires a column in all rows."""

    def __init__(self) -> None:
        self.spool = Spool()
        self.with_tools = False

    @override
    def __len__(self) -> int:
        return len(self.spool)

    @overload
    def __getitem__(self, number: int) -> Row: ...

    @overload
    def __getitem__(self, number: slice) -> list[Row]: ...

    @override
    def __getitem__(self, number: int | slice) -> Row | list[Row]:
        """Read a row, or those of a slice."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        row: dict[str, Any] = self.spool[number]
        if self.with_tools:
            row.setdefault(TOOLS, None)
        return row


def stored(rows: Iterable[tuple[Row, str | None]]) -> Sequence[Row]:
    """Write rows to a temporary file, which ends with the sequence.

    Args:
        rows: Rows that JSON can express, each with the tools of its conversation as JSON, or None.

    Returns:
        The rows, read from the file when they are needed.

    Raises:
        RunError: The file cannot be written, as on a full disk.
    """
    kept = _StoredRows()
    for row, tools in rows:
        kept.spool.append(row | {TOOLS: tools} if tools else row)
        kept.with_tools |= bool(tools)
    return kept
