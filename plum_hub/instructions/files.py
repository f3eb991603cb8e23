"""Read rows from a user's file, one at a time, and say which line is at fault when one is.

This is the one reader of what users bring: tasks, programs, suites, rows to train on. (What plum-hub appends itself is
read by `plum_hub.lines`, for which a last line without a newline is torn.) Read are JSON lines (`.jsonl`), a JSON array
of objects or JSON lines (`.json`), both also with `.gz`, and Parquet (`.parquet`). JSON lines and Parquet are streamed;
a JSON array is held in memory whole.
"""

import gzip
import hashlib
import json
import sys
import zlib
from collections.abc import Collection, Iterator, Mapping
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from plum_hub.errors import InstructionsError

Row: TypeAlias = Mapping[str, Any]

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")
"""The endings of a file's name that `read_rows` knows."""


def fingerprint(path: Path) -> str:
    """`sha256:` and the first 16 hex digits of the SHA-256 of the file's bytes: a local file's revision.

    Raises:
        InstructionsError: the file is not there, is no file, or cannot be read.
    """
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise InstructionsError(f"{path} {what}: give --instructions a {', '.join(SUFFIXES)} file, or `starter`")
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
    except OSError as error:
        raise InstructionsError(f"{path} cannot be read ({error.strerror}): mend its permissions") from error


def read_rows(path: Path, columns: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
    """Yield each row with its number: the line in JSON lines, else the position; both from 1. Blank lines are skipped,
    and the last line may lack its newline.

    Args:
        path: the file; its name's ending says what it is. One of another ending than `SUFFIXES` is read as JSON lines.
        columns: the columns that are needed. In the rows of Parquet the others are None, and never decoded; left out,
            all are read.

    Raises:
        InstructionsError: naming file and line, while iterating.
    """
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    try:
        if kind == "parquet":
            yield from _parquet(path, columns)
            return
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            lines = kind != "json" or _holds_lines(file)
            yield from _lines(path, file) if lines else _array(path, file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InstructionsError(f"{path} is damaged or not gzip ({error}): fetch it again, or drop `.gz`") from error
    except OSError as error:
        raise InstructionsError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def _holds_lines(file: BufferedIOBase) -> bool:
    """Whether a `.json` file holds one object a line, as many exports do: its first line is a whole object, and another
    follows."""
    try:
        first, *more = islice((line for line in file if line.strip()), 2)
        return bool(more) and isinstance(json.loads(first.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False
    finally:
        file.seek(0)


def _lines(path: Path, file: BufferedIOBase) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(file, start=1):
        text = _decoded(path, line, number).strip()
        if not text:
            continue
        where = f"{path}:{number}"
        try:
            row = _parsed(text, where)
        except json.JSONDecodeError as error:
            raise InstructionsError(
                f"{where} is not valid JSON ({error.msg} at column {error.colno}): mend or delete that line"
            ) from error
        yield number, _checked(row, where)


def _array(path: Path, file: BufferedIOBase) -> Iterator[tuple[int, Row]]:
    content = file.read()
    text = _decoded(path, content)
    if not text.strip():
        return
    try:
        rows = _parsed(text, str(path))
    except json.JSONDecodeError as error:
        hint = "mend that line, or name the file .jsonl if it holds one object a line"
        raise InstructionsError(f"{path}:{error.lineno} is not valid JSON ({error.msg}): {hint}") from error
    if not isinstance(rows, list):
        raise InstructionsError(
            f"{path} holds no JSON array of objects: make it one, or write one object a line (.jsonl)"
        )
    for number, row in enumerate(rows, start=1):
        yield number, _checked(row, f"{path}, element {number}")


def _decoded(path: Path, content: bytes, number: int | None = None) -> str:
    """The content as text; `number` is the line it comes from, found by counting where it is a whole file."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = number or content.count(b"\n", 0, error.start) + 1
        raise InstructionsError(
            f"{path}:{line} is not UTF-8 (byte 0x{error.object[error.start]:02x}): "
            f"convert the file, as with  iconv -f latin1 -t utf-8"
        ) from error


def _parsed(text: str, where: str) -> Any:
    """The JSON value.

    Raises:
        JSONDecodeError: it is none.
        InstructionsError: it is one that Python does not read.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise InstructionsError(f"{where} is nested too deeply to be read: mend or delete it") from error
    except ValueError as error:  # an integer longer than Python's limit
        digits = sys.get_int_max_str_digits()
        raise InstructionsError(f"{where} has a number of more than {digits} digits: mend or delete it") from error


def _checked(row: object, where: str) -> Row:
    if not isinstance(row, dict):
        raise InstructionsError(f"{where} is a JSON {type(row).__name__}, not an object with columns: mend that line")
    return row


def _parquet(path: Path, columns: Collection[str] | None) -> Iterator[tuple[int, Row]]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = [name for name in names if columns is None or name in columns]
            unread = dict.fromkeys(name for name in names if name not in wanted)
            for batch in file.iter_batches(batch_size=1000, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield number, unread | row
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        why = " ".join(str(error).split())[:200]
        raise InstructionsError(f"{path} is not readable Parquet after row {number} ({why}): write it again") from error
