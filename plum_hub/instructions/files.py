"""Read rows from users' files, one at a time; errors name the line.

All user input is read here: tasks, programs, suites and training rows. (Files that plum-hub itself appends to are
read by `plum_hub.lines`, which takes a last line without a newline for incomplete.) Supported are JSON lines
(`.jsonl`, `.ndjson`), a JSON array of objects or JSON lines (`.json`), all also with `.gz`, and Parquet (`.parquet`).
JSON lines and Parquet are streamed; a JSON array is loaded whole. Lines of a run, whose files can be given too, lose
their checksum.
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
from plum_hub.lines import without_checksum

Row: TypeAlias = Mapping[str, Any]
"""One row of a user's file: values by column."""

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".ndjson", ".ndjson.gz", ".parquet")
"""File name suffixes that `read_rows` supports."""

_RENAME = "its name says otherwise: rename it to end in"
_CONVERT = "which is not read: unpack or convert it to"
_FORMATS = {
    b"\x1f\x8b": f"gzip, and {_RENAME} .gz",
    b"PAR1": f"Parquet, and {_RENAME} .parquet",
    b"ARROW1": f"Arrow, {_CONVERT} .parquet",
    b"\xff\xff\xff\xff": f"Arrow, {_CONVERT} .parquet",
    b"\x28\xb5\x2f\xfd": f"Zstandard, {_CONVERT} .jsonl.gz",
    b"BZh": f"bzip2, {_CONVERT} .jsonl.gz",
    b"\xfd7zXZ": f"xz, {_CONVERT} .jsonl.gz",
    b"PK\x03\x04": f"a ZIP archive, {_CONVERT} .jsonl.gz",
    b"version ": "a pointer of Git LFS, not the file itself: fetch it with  git lfs pull",
    b"\xff\xfe": "UTF-16: convert it with  iconv -f utf-16 -t utf-8",
    b"\xfe\xff": "UTF-16: convert it with  iconv -f utf-16 -t utf-8",
}
"""What the first bytes of a file say that is neither JSON nor what its name promises."""


def fingerprint(path: Path) -> str:
    """Compute a local file's revision.

    Args:
        path: The file.

    Returns:
        `sha256:` and the first 16 hex digits of the SHA-256 of the file's bytes.

    Raises:
        InstructionsError: The path does not exist, is not a file, or cannot be read.
    """
    if not path.is_file():
        problem = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise InstructionsError(f"{path} {problem}: give --instructions a {', '.join(SUFFIXES)} file, or `starter`")
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
    except OSError as error:
        raise InstructionsError(f"{path} cannot be read ({error.strerror}): fix its permissions") from error


def read_rows(path: Path, columns: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
    """Iterate over the rows of a file.

    Blank lines are skipped, and the last line may lack its newline.

    Args:
        path: The file; the suffix selects the format. Other suffixes than `SUFFIXES` are read as JSON lines.
        columns: Columns to read; None reads all. Rows of Parquet have None in the other columns, which are not
            decoded.

    Yields:
        Each row with its number, from 1: the line in JSON lines, else the position.

    Raises:
        InstructionsError: The file cannot be read or a row is invalid; the message names file and line.
    """
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    try:
        if kind == "parquet":
            with path.open("rb") as file:
                _check_format(path, file, b"PAR1")
            yield from _parquet(path, columns)
            return
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            _check_format(path, file)
            lines = kind != "json" or _holds_lines(file)
            yield from _lines(path, file) if lines else _array(path, file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InstructionsError(
            f"{path} is damaged or not gzip ({error}): fetch it again, or remove `.gz` from its name"
        ) from error
    except OSError as error:
        raise InstructionsError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error


def _check_format(path: Path, file: BufferedIOBase, right: bytes = b"") -> None:
    """Refuse, by its first bytes, a file that is neither text in UTF-8 nor begins as is right, and say what it is."""
    begin = file.read(8)
    file.seek(0)
    said = next((said for mark, said in _FORMATS.items() if begin.startswith(mark)), None)
    if said and not (right and begin.startswith(right)):
        raise InstructionsError(f"{path} is {said}")


def _holds_lines(file: BufferedIOBase) -> bool:
    """Tell if a `.json` file is JSON lines, as many exports are: one object on the first line, then another line."""
    try:
        first, *more = islice((line for line in file if line.strip()), 2)
        return bool(more) and isinstance(json.loads(first.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False
    finally:
        file.seek(0)


def _lines(path: Path, file: BufferedIOBase) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(file, start=1):
        where = f"{path}:{number}"
        try:
            text = _decoded(path, without_checksum(line), number).strip()
            if not text:
                continue
            row = _parsed(text, where)
        except json.JSONDecodeError as error:
            raise InstructionsError(
                f"{where} is not valid JSON ({error.msg} at column {error.colno}): {_remedy(path, text, number)}"
            ) from error
        except ValueError as error:
            raise InstructionsError(
                f"{where} is damaged ({error}): delete it, or its row_crc32 if you changed it"
            ) from error
        yield number, _checked(row, where, _remedy(path, text, number))


def _remedy(path: Path, text: str, number: int) -> str:
    """Say what mends a line that is no object: the file may not have one object per line at all."""
    if not path.name.endswith(SUFFIXES):
        return f"convert the file to one of {', '.join(SUFFIXES)}"
    if number == 1 and text[0] == "[":
        return "fix this line, or rename the file to .json if it is one JSON array"
    return "write one object per line" if text in ("{", "}") else "fix or delete this line"


def _array(path: Path, file: BufferedIOBase) -> Iterator[tuple[int, Row]]:
    content = file.read()
    text = _decoded(path, content)
    if not text.strip():
        return
    try:
        rows = _parsed(text, str(path))
    except json.JSONDecodeError as error:
        hint = "fix this line, or rename the file to .jsonl if it has one object per line"
        raise InstructionsError(f"{path}:{error.lineno} is not valid JSON ({error.msg}): {hint}") from error
    if not isinstance(rows, list):
        raise InstructionsError(
            f"{path} is not a JSON array of objects: convert it, or write one object per line (.jsonl)"
        )
    for number, row in enumerate(rows, start=1):
        yield number, _checked(row, f"{path}, element {number}")


def _decoded(path: Path, content: bytes, number: int | None = None) -> str:
    """Decode UTF-8; `number` is the line of the content, or None for a whole file."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = number or content.count(b"\n", 0, error.start) + 1
        raise InstructionsError(
            f"{path}:{line} is not UTF-8 (byte 0x{error.object[error.start]:02x}): "
            f"convert the file, for example with  iconv -f latin1 -t utf-8"
        ) from error


def _parsed(text: str, where: str) -> Any:
    """Parse JSON.

    Raises:
        JSONDecodeError: The text is not JSON.
        InstructionsError: The JSON exceeds a limit of Python.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise InstructionsError(f"{where} is nested too deeply to be parsed: fix or delete it") from error
    except ValueError as error:  # an integer exceeds Python's limit of digits
        digits = sys.get_int_max_str_digits()
        raise InstructionsError(f"{where} has a number of more than {digits} digits: fix or delete it") from error


def _checked(row: object, where: str, remedy: str = "fix it") -> Row:
    if not isinstance(row, dict):
        raise InstructionsError(f"{where} is a JSON {type(row).__name__}, not an object with columns: {remedy}")
    return row


def _parquet(path: Path, columns: Collection[str] | None) -> Iterator[tuple[int, Row]]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            selected = [name for name in names if columns is None or name in columns]
            unread = dict.fromkeys(name for name in names if name not in selected)
            for batch in file.iter_batches(batch_size=1000, columns=selected):
                for row in batch.to_pylist(maps_as_pydicts="strict"):
                    number += 1
                    yield number, unread | row
    except (pa.ArrowException, ValueError, TypeError, OverflowError, KeyError) as error:
        why = " ".join(str(error).split())[:200]
        raise InstructionsError(
            f"{path} is not readable Parquet after row {number} ({why}): write the file again"
        ) from error
