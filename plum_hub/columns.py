"""Records as Arrow tables, for work on columns rather than rows.

It takes at most a third of the time of Python objects. A table holds exactly what `records.from_json` would return.
pyarrow's JSON reader is as strict as that function, apart from what `RecordSchema._fits` checks. Lines that it refuses
are read one by one.
"""

import json
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from operator import methodcaller
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal

from plum_hub.lines import object_of, rows_of
from plum_hub.records import Preference, Record, from_json

if TYPE_CHECKING:
    import pyarrow as pa

_SCALARS = {str: "string", int: "int64", float: "float64", bool: "bool"}
_PART = 1 << 21
"""Bytes that one thread reads at a time. If a line is longer, lines are read one by one."""
_DEEPEST = 100
"""Levels of nesting that pyarrow is given to read."""
_UNNESTED = bytes(set(range(256)) - set(b"[{\n"))
_BEGINS = methodcaller("startswith", b"{")
_STRINGS, _BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"'), re.compile(rb"[\[\]{}]")
_CONVERSATION = list[dict[Literal["role", "content"], str]]


class LineError(ValueError):
    """A line that is not a record of its kind.

    Args:
        line: Position of the line among those given, from 0.
        why: What is wrong with it.
    """

    def __init__(self, line: int, why: object) -> None:
        super().__init__(str(why))
        self.line = line


@dataclass(frozen=True)
class RecordSchema:
    """The columns of one kind of record."""

    kind: type[Record]
    types: Mapping[str, Any]
    """The Python type of each column."""
    schema: "pa.Schema"

    @classmethod
    def of(cls, kind: type[Record], *, conversational: bool = False) -> "RecordSchema":
        """Return the schema of a kind of record.

        Args:
            kind: The record class.
            conversational: Whether the prompts of preferences are conversations rather than plain text.

        Returns:
            The schema.
        """
        import pyarrow as pa

        types = _types(kind)
        if kind is Preference:
            types["prompt"] = _CONVERSATION if conversational else str
        return cls(kind, types, pa.schema([(name, _arrow(hint)) for name, hint in types.items()]))

    def read(self, lines: bytes) -> "pa.Table":
        """Parse lines into a table.

        Args:
            lines: One or more complete lines.

        Returns:
            One row per line.

        Raises:
            LineError: A line is not a record, or a value does not have the type of its column.
        """
        import pyarrow as pa
        from pyarrow import json as arrow_json

        try:
            rows = rows_of(lines)
        except ValueError:
            return self._one_by_one(lines)
        text = b"\n".join([*rows, b""])
        if _is_fatal(rows, text):
            return self._one_by_one(lines)
        options = arrow_json.ParseOptions(explicit_schema=self.schema, unexpected_field_behavior="error")
        blocks = arrow_json.ReadOptions(block_size=_PART)
        try:
            table = arrow_json.read_json(pa.py_buffer(text), read_options=blocks, parse_options=options)
            table.validate(full=True)  # of texts that are no UTF-8 the reader says nothing
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return self._one_by_one(lines)
        return table if self._fits(table, lines) else self._one_by_one(lines)

    def table(self, rows: Sequence[Record]) -> "pa.Table":
        """Convert records to a table.

        Args:
            rows: Records of this kind.

        Returns:
            One row per record.
        """
        import pyarrow as pa

        return pa.Table.from_pylist([asdict(row) for row in rows], self.schema)

    def _fits(self, table: "pa.Table", lines: bytes) -> bool:
        """Return whether every line became a row, and no value is missing that is required or has a default."""
        gaps = (_has_gaps(chunk, hint) for name, hint in self.types.items() for chunk in table[name].chunks)
        return table.num_rows == lines.count(b"\n") and not any(gaps)

    def _one_by_one(self, lines: bytes) -> "pa.Table":
        import pyarrow as pa

        return pa.concat_tables([self._row(number, line) for number, line in enumerate(lines.split(b"\n")[:-1])])

    def _row(self, number: int, line: bytes) -> "pa.Table":
        kind: Any = self.kind
        try:
            return self.table([from_json(kind, object_of(line))])
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise LineError(number, error) from error


def _is_fatal(rows: Sequence[bytes], text: bytes) -> bool:
    """Return whether pyarrow may abort the process on rows: a null, or nesting deeper than any record has."""
    if b"\r" in text or not all(map(_BEGINS, rows)):  # pyarrow takes \r for the end of a line too
        return True
    most = max(map(len, text.translate(None, _UNNESTED).split(b"\n")))
    return most > _DEEPEST and any(map(_is_deep, rows))


def _is_deep(row: bytes) -> bool:
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", row)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest > _DEEPEST


def has_conversations(line: bytes) -> bool:
    """Tell whether the prompt of a preference is a conversation.

    Args:
        line: One row of preferences, as JSON.

    Returns:
        False also for a line that cannot be parsed.
    """
    try:
        return isinstance(json.loads(line)["prompt"], list)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _types(kind: type) -> dict[str, Any]:
    """Return the type of each field."""
    hints = typing.get_type_hints(kind)
    cls: Any = kind
    return {field.name: hints[field.name] for field in fields(cls)}


def _arrow(kind: Any) -> "pa.DataType":
    """Return the Arrow type for the type of a field."""
    import pyarrow as pa

    if kind in _SCALARS:
        return pa.type_for_alias(_SCALARS[kind])
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return pa.string()
    if origin is UnionType:  # with None
        return _arrow(inner[0])
    if origin in (tuple, list):
        return pa.list_(_arrow(inner[0]))
    return pa.struct([(name, _arrow(hint)) for name, hint in _inner(kind).items()])


def _inner(kind: Any) -> dict[str, Any]:
    """Return the fields of a nested record, or of a message."""
    if typing.get_origin(kind) is dict:
        names, value = typing.get_args(kind)
        return dict.fromkeys(typing.get_args(names), value)
    return _types(kind)


def _has_gaps(array: "pa.Array", kind: Any) -> bool:
    """Return whether an array has a null where the type does not allow None."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is UnionType:
        return False
    if array.null_count:
        return True
    if origin in (tuple, list):
        return _has_gaps(array.flatten(), inner[0])
    if origin is Literal or kind in _SCALARS:
        return False
    return any(_has_gaps(array.field(name), hint) for name, hint in _inner(kind).items())
