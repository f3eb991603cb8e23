"""Append-only files of JSON lines: a row is there whole or not at all, whatever ends the process that writes it.

A last line without its newline was torn by a kill: readers leave it out, and the next writer cuts it off.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeAlias

from plum_hub.files import reading, writing

Row: TypeAlias = dict[str, Any]
"""One JSON object of a file, as it was read: nothing is known of its keys and values yet."""


def whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every whole line with its number, from 1; none where there is no file.

    Raises:
        RunError: what is there cannot be read.
    """
    if not path.exists():
        return
    with reading(path) as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield number, line


def whole_blocks(path: Path, size: int = 1 << 23) -> Iterator[tuple[int, bytes]]:
    """The same lines, as many at a time as there are in `size` bytes, or one that is longer; with the first one's
    number.

    Raises:
        RunError: what is there cannot be read.
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
def appending(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Give a function that appends one row, whole and flushed to the system before it returns.

    Raises:
        RunError: the disk is full or the file cannot be written; rows appended before stand.
    """
    with writing(path):
        _cut_torn_line(path)
        file = path.open("ab", buffering=0)
    try:

        def append(row: Mapping[str, Any]) -> None:
            text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
            # Lone surrogates, which a model may well utter, are no text: Parquet and the Hub refuse them.
            line = text.encode("utf-8", errors="replace") + b"\n"
            with writing(path):
                _write_whole(file, line)

        yield append
    finally:
        with writing(path):
            os.fsync(file.fileno())
            file.close()


def object_of(line: bytes) -> Row:
    """Read a line as one JSON object.

    Raises:
        ValueError: it is none.
    """
    try:
        found = json.loads(line)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"a JSON {type(found).__name__}, not an object")
    return found


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
    """Write a line, or nothing of it: what a full disk took of it is cut off again."""
    before = os.fstat(file.fileno()).st_size
    written = 0
    try:
        while written < len(line):
            written += os.write(file.fileno(), line[written:])
    except OSError:
        with suppress(OSError):
            os.ftruncate(file.fileno(), before)
        raise
