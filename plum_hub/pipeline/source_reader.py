"""A source that is read once, however many shards take their rows from it."""

from collections.abc import Callable, Iterator, Set
from typing import Generic, TypeVar

_T = TypeVar("_T")


class SourceReader(Generic[_T]):
    """Reads rows whose order is that of a run's instructions, so that shard after shard finds its own ones next.

    A shard that comes out of order is found by reading from the start once more. Only one row is held.

    Args:
        opened: Opens the source from its start: pairs of an instruction's id and a row. The rows of an instruction
            stand next to one another.
    """

    def __init__(self, opened: Callable[[], Iterator[tuple[str, _T]]]) -> None:
        self._opened = opened
        self._rows: Iterator[tuple[str, _T]] = iter(())
        self._next: tuple[str, _T] | None = None

    def take(self, wanted: Set[str]) -> Iterator[tuple[str, _T]]:
        """Take the rows of some instructions.

        Args:
            wanted: Ids of the instructions.

        Yields:
            The id and the row, in the order of the source. An instruction without a row is passed over.
        """
        missing, last, fresh = set(wanted), None, False
        while missing or (last is not None and self._peek(last)):
            if self._next is None:
                self._next = next(self._rows, None)
            if self._next is None:
                if fresh:
                    return
                self._rows, fresh = self._opened(), True
                continue
            (name, row), self._next = self._next, None
            if name in missing or name == last:
                missing.discard(name)
                last = name
                yield name, row

    def _peek(self, name: str) -> bool:
        """Return whether the next row belongs to this instruction too."""
        if self._next is None:
            self._next = next(self._rows, None)
        return self._next is not None and self._next[0] == name
