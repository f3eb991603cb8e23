"""Rows that are on a temporary disk file and not in memory, found again by their number.

For stages that need rows in another order than that in which they arrive, or some of them again later.
"""

import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Generic, TypeVar, overload

from typing_extensions import override

from plum_hub.files import writing

_BLOCK = 1 << 20
"""Bytes that are written at a time."""


_T = TypeVar("_T")


class Spool(Sequence[Any]):
    """JSON values on a temporary file, which ends with the object or the process. Memory holds 8 bytes for each.

    The file is in `$TMPDIR`, by default `/tmp`, and has no name there, so that not even a kill leaves it behind.
    """

    def __init__(self) -> None:
        with writing(self._folder()):
            self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it is closed with the object
        self._ends = array("Q")
        self._pending = bytearray()
        self._written = 0
        weakref.finalize(self, self._file.close)

    def append(self, value: Any) -> None:
        """Append a value.

        Args:
            value: Anything that JSON can express; tuples come back as lists. Lone surrogates are kept.

        Raises:
            RunError: The file cannot be written, as on a full disk.
        """
        self._pending += json.dumps(value, separators=(",", ":")).encode("ascii")
        self._ends.append(self._written + len(self._pending))
        if len(self._pending) >= _BLOCK:
            self._write()

    @override
    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, number: int) -> Any: ...

    @overload
    def __getitem__(self, number: slice) -> list[Any]: ...

    @override
    def __getitem__(self, number: int | slice) -> Any:
        """Read a value, or those of a slice."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        place = range(len(self))[number]
        begin, end = self._ends[place - 1] if place else 0, self._ends[place]
        if begin >= self._written:
            return json.loads(self._pending[begin - self._written : end - self._written])
        return json.loads(os.pread(self._file.fileno(), end - begin, begin))

    def _write(self) -> None:
        with writing(self._folder()):
            while self._pending:
                done = self._file.write(self._pending)
                self._written += done
                del self._pending[:done]

    @staticmethod
    def _folder() -> Path:
        return Path(tempfile.gettempdir())


class SelectedItems(Sequence[_T], Generic[_T]):
    """Some items of a sequence, in any order, without a copy of them.

    Args:
        items: The sequence.
        places: Positions in it.
    """

    def __init__(self, items: Sequence[_T], places: Sequence[int]) -> None:
        self._items, self._places = items, places

    @override
    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, number: int) -> _T: ...

    @overload
    def __getitem__(self, number: slice) -> list[_T]: ...

    @override
    def __getitem__(self, number: int | slice) -> _T | list[_T]:
        """Read an item, or those of a slice."""
        if isinstance(number, slice):
            return [self._items[place] for place in self._places[number]]
        return self._items[self._places[number]]
