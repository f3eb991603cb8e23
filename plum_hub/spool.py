"""Rows that are on a temporary disk file and not in memory, for stages that need them again or in another order.

The files have no name, so that not even a kill leaves them behind.
"""

import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar, overload

from typing_extensions import override

from plum_hub.files import writing

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 20
"""Bytes that are written at a time."""


_T = TypeVar("_T")


class BytesSpool(Sequence[bytes]):
    """Pieces of bytes on a temporary file, which ends with the object or the process. Memory holds 8 bytes for each.

    The file is in `$TMPDIR`, by default `/tmp`.
    """

    def __init__(self) -> None:
        self._file, self._folder = _opened(self)
        self._ends = array("Q")
        self._pending = bytearray()
        self._written = 0

    def append(self, piece: bytes) -> None:
        """Append a piece.

        Args:
            piece: The bytes.

        Raises:
            RunError: The file cannot be written, as on a full disk.
        """
        self._pending += piece
        self._ends.append(self._written + len(self._pending))
        if len(self._pending) >= _BLOCK:
            self._write()

    @override
    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, number: int) -> bytes: ...

    @overload
    def __getitem__(self, number: slice) -> list[bytes]: ...

    @override
    def __getitem__(self, number: int | slice) -> bytes | list[bytes]:
        """Read a piece, or those of a slice."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        place = range(len(self))[number]
        begin, end = self._ends[place - 1] if place else 0, self._ends[place]
        if begin >= self._written:
            return bytes(self._pending[begin - self._written : end - self._written])
        return os.pread(self._file.fileno(), end - begin, begin)

    def _write(self) -> None:
        with writing(self._folder):
            while self._pending:
                done = self._file.write(self._pending)
                self._written += done
                del self._pending[:done]


class Spool(Sequence[Any]):
    """JSON values on a temporary file, as in `BytesSpool`."""

    def __init__(self) -> None:
        self._texts = BytesSpool()

    def append(self, value: Any) -> None:
        """Append a value.

        Args:
            value: Anything that JSON can express; tuples come back as lists. Lone surrogates are kept.

        Raises:
            RunError: The file cannot be written, as on a full disk.
        """
        self._texts.append(json.dumps(value, separators=(",", ":")).encode("ascii"))

    @override
    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, number: int) -> Any: ...

    @overload
    def __getitem__(self, number: slice) -> list[Any]: ...

    @override
    def __getitem__(self, number: int | slice) -> Any:
        """Read a value, or those of a slice."""
        if isinstance(number, slice):
            return [json.loads(text) for text in self._texts[number]]
        return json.loads(self._texts[number])


class TableSpool:
    """Arrow tables on a temporary file, which ends with the object or the process. Memory holds 8 bytes for each.

    Args:
        folder: Where the file is; `$TMPDIR` by default.

    Raises:
        RunError: The file cannot be made.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file, self._folder = _opened(self, folder)
        self._ends = array("Q", [0])

    def append(self, table: "pa.Table") -> None:
        """Append a table.

        Args:
            table: The table.

        Raises:
            RunError: The file cannot be written, as on a full disk.
        """
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        rest = memoryview(sink.getvalue())
        with writing(self._folder):
            while rest:
                rest = rest[self._file.write(rest) :]
        self._ends.append(self._file.tell())

    def __iter__(self) -> "Iterator[pa.Table]":
        """Read the tables in their order; several iterations do not disturb each other."""
        import pyarrow as pa

        for begin, end in zip(self._ends, self._ends[1:], strict=False):
            yield pa.ipc.open_stream(os.pread(self._file.fileno(), end - begin, begin)).read_all()


class RereadTables(Iterable["pa.Table"]):
    """Tables that are read several times and made once: the first whole iteration leaves them on disk for the others.

    Args:
        tables: The tables.
        folder: A folder on a disk with room for them; its file has no name there.
    """

    def __init__(self, tables: "Iterable[pa.Table]", folder: Path) -> None:
        self._tables, self._folder = tables, folder
        self._whole: TableSpool | None = None

    @override
    def __iter__(self) -> "Iterator[pa.Table]":
        """Yield the tables.

        Raises:
            RunError: They cannot be written.
        """
        if self._whole is not None:
            yield from self._whole
            return
        spool = TableSpool(self._folder)
        for table in self._tables:
            spool.append(table)
            yield table
        self._whole = spool


def _opened(owner: object, folder: Path | None = None) -> tuple[IO[bytes], Path]:
    """Open a file without a name, which is closed with its owner; return it and the folder that it is in."""
    with writing(Path("$TMPDIR")):
        folder = folder or Path(tempfile.gettempdir())
    with writing(folder):
        file: IO[bytes] = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 - closed with the owner
    weakref.finalize(owner, file.close)
    return file, folder


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
