"""Read rows from users' files, one at a time; errors name the line.

All user input is read here: tasks, programs, suites and training rows. (Files that plum-hub itself appends to are
read by `plum_hub.lines`, which takes a last line without a newline for incomplete.) `file_kinds.SUFFIXES` are
supported: JSON lines, a JSON array of objects or JSON lines (`.json`), CSV and TSV, each also compressed, and Parquet,
Arrow and Feather. All are streamed, except that a JSON array is loaded whole. Lines of a run, whose files can be given
too, lose their checksum.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from plum_hub.errors import InstructionsError
from plum_hub.instructions.file_kinds import DAMAGED, FORMATS, FileKind, file_kind, is_supported, opened
from plum_hub.instructions.tables import Row, arrow_rows, csv_rows, parquet_rows
from plum_hub.lines import has_checksum, without_checksum

_RENAME = "its name says otherwise: rename it to end in"
_CONVERT = "which is not read: unpack or convert it to"
_ONE_A_LINE = "write one object per line, as  jq -c .  does"
_ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
_FORMATS = {
    b"\x1f\x8b": f"gzip, and {_RENAME} .gz",
    b"PAR1": f"Parquet, and {_RENAME} .parquet",
    _ARROW[0]: f"Arrow, and {_RENAME} .arrow",
    _ARROW[1]: f"Arrow, and {_RENAME} .arrow",
    b"FEA1": f"Feather V1, {_CONVERT} .parquet",
    b"\x28\xb5\x2f\xfd": f"Zstandard, and {_RENAME} .zst",
    b"BZh": f"bzip2, and {_RENAME} .bz2",
    b"\xfd7zXZ": f"xz, and {_RENAME} .xz",
    b"PK\x03\x04": f"a ZIP archive (Excel's .xlsx is one), {_CONVERT} .csv or .jsonl",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: fetch it with  git lfs pull",
    b"\xff\xfe": "UTF-16: convert it with  iconv -f utf-16 -t utf-8",
    b"\xfe\xff": "UTF-16: convert it with  iconv -f utf-16 -t utf-8",
}
"""What the first bytes of a file say that is neither text nor what its name promises."""


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
    kind = file_kind(path.name)
    try:
        if kind.format in ("parquet", "arrow", "feather"):
            is_parquet = kind.format == "parquet"
            with path.open("rb") as file:
                _check_format(path, file, (b"PAR1",) if is_parquet else _ARROW)
            yield from (parquet_rows if is_parquet else arrow_rows)(path, columns)
            return
        with opened(path) as file:
            _check_format(path, file)
        lines = kind.format != "json" or _holds_lines(path)
        with opened(path) as file:
            yield from _text_rows(path, file, kind, columns, lines=lines)
    except (*DAMAGED, OSError) as error:
        raise InstructionsError(why_unreadable(path, error)) from error


def _text_rows(
    path: Path, file: BinaryIO, kind: FileKind, columns: Collection[str] | None, *, lines: bool
) -> Iterator[tuple[int, Row]]:
    if kind.format in ("csv", "tsv"):
        ended = (line for part in file for line in part.splitlines(keepends=True))  # also by \r alone, as old Macs do
        decoded = (_decoded(path, line, number) for number, line in enumerate(ended, start=1))
        return csv_rows(path, decoded, "\t" if kind.format == "tsv" else None)
    return (_lines if lines else _array)(path, file, columns)


def why_unreadable(path: Path, error: Exception) -> str:
    """Say why a file cannot be read, and what mends it.

    Args:
        path: The file.
        error: `OSError`, or one of `DAMAGED`.

    Returns:
        One line.
    """
    kind = file_kind(path.name)
    if isinstance(error, FileNotFoundError):
        return f"{path} does not exist: fix the path"
    if isinstance(error, DAMAGED) or (isinstance(error, OSError) and error.errno is None and kind.compression):
        return (
            f"{path} is damaged or not {kind.compression_name} ({error}): fetch it again, or remove "
            f"`{kind.compression}` from its name"
        )
    return f"{path} cannot be read: {' '.join(str(error).split())[:200]}"


def _check_format(path: Path, file: BinaryIO, right: tuple[bytes, ...] = ()) -> None:
    """Refuse, by its first bytes, a file that is neither text in UTF-8 nor begins as is right, and say what it is."""
    begin = file.read(max(map(len, _FORMATS)))
    said = next((said for mark, said in _FORMATS.items() if begin.startswith(mark)), None)
    if said and not begin.startswith(right):
        raise InstructionsError(f"{path} is {said}")


def _holds_lines(path: Path) -> bool:
    """Tell if a `.json` file is JSON lines, as many exports are: one object on the first line, then another line."""
    try:
        with opened(path) as file:
            first, *more = islice((line for line in file if line.strip()), 2)
        return bool(more) and isinstance(json.loads(first.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False


def _lines(path: Path, file: BinaryIO, columns: Collection[str] | None) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(file, start=1):
        where = f"{path}:{number}"
        try:
            text = _decoded(path, without_checksum(line) if has_checksum(line) else line, number).strip()
            if not text:
                continue
            row = _parsed(text, where, columns)
        except json.JSONDecodeError as error:
            several = text[error.pos : error.pos + 1] == "{"
            remedy = _ONE_A_LINE if several else _remedy(path, text, number)
            raise InstructionsError(
                f"{where} is not valid JSON ({error.msg} at column {error.colno}): {remedy}"
            ) from error
        except ValueError as error:
            raise InstructionsError(
                f"{where} is damaged ({error}): delete it, or its row_crc32 if you changed it"
            ) from error
        yield number, _checked(row, where, _remedy(path, text, number))


def _remedy(path: Path, text: str, number: int) -> str:
    """Say what mends a line that is no object: the file may not have one object per line at all."""
    if not is_supported(path.name):
        return f"convert the file to one of {FORMATS}"
    if number == 1 and text[0] == "[":
        return "fix this line, or rename the file to .json if it is one JSON array"
    if text in ("{", "}"):
        return _ONE_A_LINE
    if re.match(r"\{\s*'", text):
        return "it is Python and not JSON: write the rows with json.dumps"
    return "leave out the comma at its end" if text.endswith("},") else "fix or delete this line"


def _array(path: Path, file: BinaryIO, columns: Collection[str] | None) -> Iterator[tuple[int, Row]]:
    content = file.read()
    text = _decoded(path, content)
    if not text.strip():
        return
    try:
        rows = _parsed(text, str(path), columns)
    except json.JSONDecodeError as error:
        several = text[error.pos : error.pos + 1] == "{"
        hint = _ONE_A_LINE if several else "fix this line, or rename the file to .jsonl if it has one object per line"
        raise InstructionsError(f"{path}:{error.lineno} is not valid JSON ({error.msg}): {hint}") from error
    if not isinstance(rows, list):
        unpacking = _unpacking(path, rows)
        if unpacking is not None:
            raise InstructionsError(
                f"{path} is not a JSON array of objects: {unpacking}, or write one object per line (.jsonl)"
            )
        rows = [rows]
    for number, row in enumerate(rows, start=1):
        yield number, _checked(row, f"{path}, element {number}")


def _unpacking(path: Path, content: Any) -> str | None:
    """Say how to get the rows out of JSON that is no array: those of one key or split, or columns of pandas.

    None if it is a single row.
    """
    values = content if isinstance(content, dict) else {}
    lists: dict[str, Any] = {key: value for key, value in values.items() if isinstance(value, list)}
    inside = [key for key, value in lists.items() if all(isinstance(one, dict) for one in value[:1])]
    if any(lists[key] and lists[key][0].keys() & {"role", "from"} for key in inside):  # turns: it is a row itself
        return None
    if inside:
        longest = max(inside, key=lambda key: len(lists[key]))
        inner = ".row" if longest == "rows" and "row" in (lists[longest] or [{}])[0] else ""  # the Hub's viewer
        return f"unpack it with  jq -c '.[\"{longest}\"][]{inner}'  {path}"
    columns = [value for value in values.values() if isinstance(value, dict | list)]
    if len(columns) == len(values) > 0:
        return "it has a value for each column or index: write it with pandas' to_json(..., orient='records')"
    return None if values else "convert it"


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


class _RepeatedKeys(dict[str, Any]):
    """An object that has keys twice, with the last value of each: which is meant only the user knows."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]


def _repeated_key(parsed: Any, columns: Collection[str] | None) -> str | None:
    """Name a key that an object has twice in what is read of rows."""
    waiting: list[Any] = []
    for row in filter(lambda one: isinstance(one, dict), parsed if isinstance(parsed, list) else [parsed]):
        read = [key for key in row if columns is None or key in columns]
        waiting += [row[key] for key in read]
        if isinstance(row, _RepeatedKeys) and (found := next((key for key in row.repeated if key in read), None)):
            return found
    while waiting:
        one = waiting.pop()
        if isinstance(one, _RepeatedKeys):
            return str(one.repeated[0])
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return None


def _parsed(text: str, where: str, columns: Collection[str] | None) -> Any:
    """Parse JSON.

    Raises:
        JSONDecodeError: The text is not JSON.
        InstructionsError: The JSON exceeds a limit of Python, or an object that is read has a key twice.
    """
    any_repeated = False

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal any_repeated
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        any_repeated = True
        return _RepeatedKeys(pairs)

    try:
        found = json.loads(text, object_pairs_hook=made)
        if any_repeated and (key := _repeated_key(found, columns)) is not None:
            raise InstructionsError(
                f"{where} has the key {key!r} twice in one object: delete one of them, or keep the last of each with  "
                "jq -c ."
            )
        return found
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
