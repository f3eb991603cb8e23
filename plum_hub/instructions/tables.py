"""Read rows of tables: CSV and TSV, Parquet, Arrow and Feather.

A CSV has no types, so all of its cells are texts as they stand: `007`, `1`, `true`, `NA` and `null` too; an empty cell
is None. What a column means decides whoever reads it.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from plum_hub.errors import InstructionsError

if TYPE_CHECKING:
    import pyarrow as pa

Row: TypeAlias = Mapping[str, Any]
"""One row of a user's file: values by column."""

_SEPARATORS = ",;\t|"
"""Separators that a CSV may have: the most frequent one of the header, in a tie the first of these."""
_LONGEST_CELL = 1 << 28
"""Characters of a cell; a longer one is a quote that was not closed."""
_NO_NAME = re.compile(
    r"[-+]?[\d.]+(?:e[-+]?\d+)?|true|false|.*\n.*|(?:\S+\s+){6,}\S+|.{61,}", re.IGNORECASE | re.DOTALL
)
"""What no column is called: a number, a truth value, a line break, or more than six words or 60 characters."""
_BATCH = 1000
"""Rows of a table that are converted at a time."""


def csv_rows(path: Path, lines: Iterator[str], separator: str | None) -> Iterator[tuple[int, Row]]:
    """Iterate over the rows of a CSV, whose first line names the columns.

    Args:
        path: The file, for messages.
        lines: Its lines, with their ends.
        separator: What stands between cells; None finds it in the header, or in Excel's `sep=;` before it.

    Yields:
        Each row with the number of its first line. Columns without a name, such as the index of pandas, are left out.

    Raises:
        InstructionsError: The header is none, or a row has another number of cells; the message names the line.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    first = 1
    line = next(lines, "")
    if line.lower().startswith("sep=") and len(line.rstrip("\r\n")) == len("sep=") + 1:
        separator, line, first = line[len("sep=")], next(lines, ""), 2
    separator = separator or _separator(line)
    reader = csv.reader(_chained(line, lines), delimiter=separator, strict=True)
    begin = first
    names: list[str] | None = None
    try:
        for cells in reader:
            where, begin = begin, first + reader.line_num
            if not cells:  # a blank line
                continue
            if names is None:
                names = _header(path, where, cells)
                continue
            if len(cells) != len(names):
                raise InstructionsError(
                    f"{path}:{where} has {len(cells)} cells, and the header {len(names)}: put cells with "
                    f"{_said(separator)} or a line break into double quotes"
                )
            yield where, {name: cell or None for name, cell in zip(names, cells, strict=True) if name}
    except csv.Error as error:
        raise InstructionsError(
            f"{path}:{begin} is not valid CSV ({error}): put cells with {_said(separator)}, a quote or a line break in "
            'double quotes, and write a quote inside as ""'
        ) from error


def _chained(line: str, lines: Iterator[str]) -> Iterator[str]:
    yield line
    yield from lines


def _said(separator: str) -> str:
    return "a tab" if separator == "\t" else f"`{separator}`"


def _separator(header: str) -> str:
    """Find the separator of a header outside of its quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(_SEPARATORS, key=bare.count)


def _header(path: Path, line: int, cells: list[str]) -> list[str]:
    """Check the names of the columns."""
    names = [cell.strip() for cell in cells]
    if wrong := next((name for name in names if _NO_NAME.fullmatch(name)), None):
        raise InstructionsError(
            f"{path}:{line} is no header ({' '.join(wrong.split())[:60]!r} names no column): write the names of the "
            "columns into the first line, such as  instruction"
        )
    if wrong := next((name for name in names if '"' in name), None):
        raise InstructionsError(f"{path}:{line} has a quote in the name {wrong!r}: leave out spaces before quotes")
    if wrong := next((name for name in names if name and names.count(name) > 1), None):
        raise InstructionsError(f"{path}:{line} has the column {wrong!r} twice: rename one of them")
    return names


def parquet_rows(path: Path, columns: Collection[str] | None) -> Iterator[tuple[int, Row]]:
    """Iterate over the rows of a Parquet file.

    Args:
        path: The file.
        columns: Columns to decode; None decodes all. The others are None.

    Yields:
        Each row with its number, from 1.

    Raises:
        InstructionsError: The file cannot be read.
    """
    from pyarrow.parquet import ParquetFile

    def batches() -> Iterator["pa.RecordBatch"]:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            yield from file.iter_batches(batch_size=_BATCH, columns=_selected(names, columns))

    def names() -> list[str]:
        with ParquetFile(path) as file:
            return list(file.schema_arrow.names)

    yield from _rows(path, "Parquet", columns, names, batches)


def arrow_rows(path: Path, columns: Collection[str] | None) -> Iterator[tuple[int, Row]]:
    """Iterate over the rows of an Arrow file, in the format of files (Feather) or of streams (`save_to_disk`).

    Args:
        path: The file.
        columns: Columns to decode; None decodes all. The others are None.

    Yields:
        Each row with its number, from 1.

    Raises:
        InstructionsError: The file cannot be read.
    """
    import pyarrow as pa

    def names() -> list[str]:
        with pa.memory_map(str(path)) as source, _reader(source) as reader:
            return list(reader.schema.names)

    def batches() -> Iterator["pa.RecordBatch"]:
        with pa.memory_map(str(path)) as source, _reader(source) as reader:
            stored = (
                map(reader.get_batch, range(reader.num_record_batches))
                if isinstance(reader, pa.ipc.RecordBatchFileReader)
                else reader
            )
            for batch in stored:
                some = batch.select(_selected(batch.schema.names, columns))
                yield from (some.slice(start, _BATCH) for start in range(0, len(some), _BATCH))

    yield from _rows(path, "Arrow", columns, names, batches)


def _reader(source: Any) -> Any:
    import pyarrow as pa

    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    return pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)


def _selected(names: list[str], columns: Collection[str] | None) -> list[str]:
    return [name for name in names if columns is None or name in columns]


def _rows(
    path: Path,
    kind: str,
    columns: Collection[str] | None,
    names: Callable[[], list[str]],
    batches: Callable[[], Iterable["pa.RecordBatch"]],
) -> Iterator[tuple[int, Row]]:
    """Convert the batches of a table to rows; columns that no batch has are None."""
    import pyarrow as pa

    number = 0
    try:
        unread = dict.fromkeys(known := names())
        if twice := next((name for name, count in Counter(_selected(known, columns)).items() if count > 1), None):
            raise InstructionsError(f"{path} has the column {twice!r} twice: rename one of them")
        for batch in batches():
            for row in decoded(batch, batch.schema):
                number += 1
                yield number, unread | row
    except (pa.ArrowException, ValueError, TypeError, OverflowError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, and not what is on it
            raise
        why = " ".join(str(error).split())[:200]
        raise InstructionsError(
            f"{path} is not readable {kind} after row {number} ({why}): write the file again"
        ) from error


def decoded(batch: "pa.RecordBatch | pa.Table", schema: "pa.Schema") -> Iterator[dict[str, Any]]:
    """Convert a batch of a table to rows.

    Args:
        batch: The batch.
        schema: Its schema, perhaps with the features of `datasets`.

    Yields:
        Each row: its objects without the null fields that Arrow gives them, since every object of a column has the
        fields of all the others; objects that are stored as JSON whole; and the names of classes for their numbers.
    """
    features = _features(schema)
    decoders = {field.name: one for field in schema if (one := _decoder(field.type, features.get(field.name)))}
    for row in batch.to_pylist(maps_as_pydicts="strict"):
        yield row | {name: decode(row[name]) for name, decode in decoders.items() if name in row}


def class_name(value: Any, names: Sequence[str]) -> Any:
    """Return the name of a class of `datasets`.

    Args:
        value: Its number, perhaps as the text of a CSV.
        names: The names of all classes.

    Returns:
        The name; None for -1, which is no class. Any other value unchanged.
    """
    if isinstance(value, str) and value not in names and value.strip().lstrip("-").isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value < len(names):
        return value
    return None if value == -1 else names[value]


def _features(schema: "pa.Schema") -> dict[str, Any]:
    """Return the features that `datasets` writes into a schema; none where it was not written by it."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _decoder(kind: Any, feature: Any) -> Callable[[Any], Any] | None:
    """Return what decodes a value of a type of Arrow, of which `datasets` may know more; None where nothing does."""
    import pyarrow as pa

    known = feature if isinstance(feature, dict) else {}
    names = known.get("names")
    if known.get("_type") == "ClassLabel" and isinstance(names, list) and all(isinstance(one, str) for one in names):
        return lambda value: class_name(value, names)
    if isinstance(kind, getattr(pa, "JsonType", ())):
        return lambda value: None if value is None else json.loads(value)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inside = feature[0] if isinstance(feature, list) and feature else known.get("feature")
        if inner := _decoder(kind.value_type, inside):
            return lambda value: None if value is None else [inner(one) for one in value]
    elif pa.types.is_struct(kind):
        inners = {field.name: _decoder(field.type, known.get(field.name)) or _unchanged for field in kind}
        return lambda value: value and {name: inners[name](one) for name, one in value.items() if one is not None}
    return None


def _unchanged(value: Any) -> Any:
    return value
