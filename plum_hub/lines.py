"""Append-only files of JSON lines. A row is written completely or not at all, however the writing process ends.

A last line without a newline was cut short by a kill: readers skip it, and the next writer removes it.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

from plum_hub.files import reading, writing
from plum_hub.redaction import without_own

Row: TypeAlias = dict[str, Any]
"""One JSON object of a file, as it was read: nothing is known of its keys and values yet."""


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
def appending(path: Path, echo: Callable[[bytes], None] | None = None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Open a file for appending rows.

    Args:
        path: The file. It is made where it is missing, and an incomplete last line is removed.
        echo: Is given each line before it is written.

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
            line = text.encode("utf-8", errors="replace") + b"\n"
            if echo is not None:
                echo(line)
            append_line(line)

        yield append


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


def object_of(line: bytes) -> Row:
    """Parse a line as one JSON object.

    Args:
        line: The line, in UTF-8.

    Returns:
        The object.

    Raises:
        ValueError: The line is not JSON, not an object, or nested too deeply.
    """
    try:
        value = json.loads(line)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__}, not an object")
    return value


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
