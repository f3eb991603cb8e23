"""Append-only files of JSON lines. A row is written completely or not at all, however the writing process ends.

A last line without a newline was cut short by a kill: readers skip it, and the next writer removes it. A row ends with
its checksum, the key `row_crc32`: the CRC-32 of the line without this key and the newline, as eight hexadecimal digits.
Rows of earlier versions have none and are read unchecked. It finds faults of disks and memory; whoever wants to hide an
edit can compute it.
"""

import json
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

from plum_hub.files import reading, writing
from plum_hub.redaction import without_own

Row: TypeAlias = dict[str, Any]
"""One JSON object of a file, as it was read: nothing is known of its keys and values yet."""

_KEY = b',"row_crc32":"'
_TAIL = len(_KEY) + len('0a1b2c3d"}')
_WHOLE_TAIL = re.compile(_KEY + rb'[0-9a-f]{8}"}')


def whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read the complete lines of a file.

    Args:
        path: The file. A missing file has no lines.

    Yields:
        The number of each line, from 1, and its bytes with the newline.

    Raises:
        RunError: The file cannot be read.
    """
    if not path.exists():
        return
    with reading(path) as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield number, line


def whole_blocks(path: Path, size: int = 1 << 23) -> Iterator[tuple[int, bytes]]:
    """Read the complete lines of a file in blocks.

    Args:
        path: The file. A missing file has no lines.
        size: Bytes to read at a time. A longer line becomes a block of its own.

    Yields:
        The number of the block's first line, from 1, and the lines of the block.

    Raises:
        RunError: The file cannot be read.
    """
    if not path.exists():
        return
    number, rest = 1, b""
    with reading(path) as file:
        while piece := file.read(size):
            lines, newline, torn = piece.rpartition(b"\n")
            if newline:
                block, rest = b"".join((rest, lines, newline)), torn
                yield number, block
                number += block.count(b"\n")
            else:
                rest += piece


@contextmanager
def appending(
    path: Path, echo: Callable[[bytes], None] | None = None, *, plain: bool = False
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Open a file for appending rows.

    Args:
        path: The file. It is made where it is missing, and an incomplete last line is removed.
        echo: Is given each line before it is written.
        plain: Write rows without checksums, for the programs of others.

    Yields:
        A function that appends one row and hands it to the operating system before it returns. The file is synced to
        disk at the end of the block.

    Raises:
        RunError: The file cannot be written, as on a full disk. Rows that were appended before are kept.
    """
    with appending_lines(path) as append_line:

        def append(row: Mapping[str, Any]) -> None:
            text = without_own(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
            # Models may generate lone surrogates, which are not valid text: Parquet and the Hub refuse them.
            line = text.encode("utf-8", errors="replace")
            line = line + b"\n" if plain else with_checksum(line)
            if echo is not None:
                echo(line)
            append_line(line)

        yield append


@contextmanager
def replacing(path: Path, *, plain: bool = False) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Write a file of rows anew. It is replaced in one step at the end of the block, and stays as it was if that fails.

    Args:
        path: The file.
        plain: As in `appending`.

    Yields:
        A function that appends one row.

    Raises:
        RunError: The file cannot be written.
    """
    fresh = path.with_name(f"{path.name}.new")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
    with appending(fresh, plain=plain) as append:
        yield append
    with writing(path):
        fresh.replace(path)


@contextmanager
def appending_lines(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Open a file for appending lines that are complete already, as another process has written them.

    Args:
        path: The file, as in `appending`.

    Yields:
        A function that appends whole lines and hands them to the operating system before it returns.

    Raises:
        RunError: The file cannot be written. Lines that were appended before are kept.
    """
    with writing(path):
        _cut_torn_line(path)
        file = path.open("ab", buffering=0)
    try:

        def append(lines: bytes) -> None:
            with writing(path):
                _write_whole(file, lines)

        yield append
    finally:
        with writing(path):
            os.fsync(file.fileno())
            file.close()


def with_checksum(row: bytes) -> bytes:
    """Make the line of a row.

    Args:
        row: A JSON object with at least one key, without a newline.

    Returns:
        The row with its checksum and a newline.
    """
    return row[:-1] + _checksum(row) + b"\n"


def has_checksum(line: bytes) -> bool:
    """Tell whether a line of somebody's file ends as rows of this package do.

    Args:
        line: The line, with or without its newline.

    Returns:
        False also for a row of this package whose checksum is damaged in its form: in the files of others another
        column may end in the same letters.
    """
    return _WHOLE_TAIL.fullmatch(line.rstrip(b"\r\n")[-_TAIL:]) is not None


def without_checksum(line: bytes) -> bytes:
    """Check the checksum of a row of this package and remove it.

    Args:
        line: The row as it was written, with or without its newline.

    Returns:
        The row without its checksum and newline. A row without a checksum is not checked.

    Raises:
        ValueError: The checksum is of other bytes, or a part of it is left.
    """
    line = line.rstrip(b"\r\n")
    row, tail = line[:-_TAIL] + b"}", line[-_TAIL:]
    if tail.startswith(_KEY) and tail == _checksum(row):
        return row
    if tail.startswith(_KEY[:6]) or tail.startswith(_KEY[6:], 6):  # whatever byte was changed, one of the two is left
        raise ValueError("its checksum is of other bytes: the line was changed after it was written")
    return line


def rows_of(lines: bytes) -> list[bytes]:
    """Divide lines into rows, and check and remove their checksums: as `without_checksum` for each, in less time.

    Args:
        lines: Complete lines.

    Returns:
        The rows, without checksums and newlines.

    Raises:
        ValueError: A checksum is of other bytes.
    """
    whole = lines.split(b"\n")[:-1]
    rows = [line[:-_TAIL] + b"}" for line in whole]
    stated = b"".join([line[-_TAIL:] for line in whole])
    sums = struct.pack(f">{len(rows)}I", *map(zlib.crc32, rows)).hex(",", 4).encode()
    same = stated == b'%b%b"}' % (_KEY, sums.replace(b",", b'"}' + _KEY))
    return rows if same else [*map(without_checksum, whole)]


def object_of(line: bytes) -> Row:
    """Parse a line as one JSON object, and check and remove its checksum.

    Args:
        line: The line, in UTF-8.

    Returns:
        The object.

    Raises:
        ValueError: The line is not JSON, not an object, nested too deeply, or was changed after it was written.
    """
    try:
        value = json.loads(without_checksum(line))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__}, not an object")
    return value


def _checksum(row: bytes) -> bytes:
    """Return the end of the line of a row, after all but its closing brace."""
    return b'%b%08x"}' % (_KEY, zlib.crc32(row))


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def _write_whole(file: IO[bytes], line: bytes) -> None:
    """Write a line, or nothing of it: if the disk is full, the part that was written is removed again."""
    before = os.fstat(file.fileno()).st_size
    written = 0
    try:
        while written < len(line):
            written += os.write(file.fileno(), line[written:])
    except OSError:
        with suppress(OSError):
            os.ftruncate(file.fileno(), before)
        raise
