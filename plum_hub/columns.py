"""Records as Arrow tables, for work that looks at columns rather than at rows: a third of the time of objects, or less.

A table holds exactly what `records.from_json` would give. pyarrow reads JSON as strictly as that function, but for what
`RecordSchema._fits` looks at; lines that it does not read so are read one by one.
"""

import json
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal

from plum_hub.records import Preference, Record, from_json

if TYPE_CHECKING:
    import pyarrow as pa

_SCALARS = {str: "string", int: "int64", float: "float64", bool: "bool"}
_PART = 1 << 21
"""Bytes that one thread reads at a time; where a line is longer, lines are read one by one."""
_DEEPEST = 100
"""Levels of nesting that are read by columns."""
_STRINGS, _BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"'), re.compile(rb"[\[\]{}]")
_CONVERSATION = list[dict[Literal["role", "content"], str]]


class LineError(ValueError):
    """A line that is no record of its kind. `line` is its place among those given, from 0."""

    def __init__(self, line: int, why: object) -> None:
        super().__init__(str(why))
        self.line = line


@dataclass(frozen=True)
class RecordSchema:
    """The columns of one kind of record."""

    kind: type[Record]
    types: Mapping[str, Any]
    """Python's, by the columns' names."""
    schema: "pa.Schema"

    @classmethod
    def of(cls, kind: type[Record], *, conversational: bool = False) -> "RecordSchema":
        """Of a kind; `conversational` says whether the prompts of preferences are conversations or plain text."""
        import pyarrow as pa

        types = _types(kind)
        if kind is Preference:
            types["prompt"] = _CONVERSATION if conversational else str
        return cls(kind, types, pa.schema([(name, _arrow(it)) for name, it in types.items()]))

    def read(self, lines: bytes) -> "pa.Table":
        """The records of whole lines, of which there is one or more.

        Raises:
            LineError: a line is no record, or a value is not of its column's type.
        """
        import pyarrow as pa
        from pyarrow import json as arrow_json

        if any(map(_is_fatal, lines.splitlines())):
            return self._one_by_one(lines)
        how = arrow_json.ParseOptions(explicit_schema=self.schema, unexpected_field_behavior="error")
        parts = arrow_json.ReadOptions(block_size=_PART)
        try:
            found = arrow_json.read_json(pa.py_buffer(lines), read_options=parts, parse_options=how)
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return self._one_by_one(lines)
        return found if self._fits(found, lines) else self._one_by_one(lines)

    def table(self, rows: Sequence[Record]) -> "pa.Table":
        """The same of records that are there as objects."""
        import pyarrow as pa

        return pa.Table.from_pylist([asdict(row) for row in rows], self.schema)

    def _fits(self, table: "pa.Table", lines: bytes) -> bool:
        """Whether each line is a row, and no value is missing that must be there or that has a default."""
        gaps = (_has_gaps(chunk, it) for name, it in self.types.items() for chunk in table[name].chunks)
        return table.num_rows == lines.count(b"\n") and not any(gaps)

    def _one_by_one(self, lines: bytes) -> "pa.Table":
        import pyarrow as pa

        return pa.concat_tables([self._row(number, line) for number, line in enumerate(lines.split(b"\n")[:-1])])

    def _row(self, number: int, line: bytes) -> "pa.Table":
        kind: Any = self.kind
        try:
            return self.table([from_json(kind, json.loads(line))])
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise LineError(number, error) from error


def _is_fatal(line: bytes) -> bool:
    """Whether pyarrow's parser may end the process on a line: a null, and what is nested deeper than any record."""
    if not line.lstrip().startswith(b"{"):
        return True
    if line.count(b"{") + line.count(b"[") <= _DEEPEST:
        return False
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", line)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest > _DEEPEST


def has_conversations(line: bytes) -> bool:
    """Whether the prompt of this preference is a conversation."""
    try:
        return isinstance(json.loads(line)["prompt"], list)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _types(kind: type) -> dict[str, Any]:
    """The type of each field."""
    hints = typing.get_type_hints(kind)
    known: Any = kind
    return {field.name: hints[field.name] for field in fields(known)}


def _arrow(kind: Any) -> "pa.DataType":
    """Arrow's type for a field's."""
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
    return pa.struct([(name, _arrow(it)) for name, it in _inner(kind).items()])


def _inner(kind: Any) -> dict[str, Any]:
    """The fields of a record within a record, or of a message."""
    if typing.get_origin(kind) is dict:
        names, value = typing.get_args(kind)
        return dict.fromkeys(typing.get_args(names), value)
    return _types(kind)


def _has_gaps(array: "pa.Array", kind: Any) -> bool:
    """Whether something is null in it that is never None."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is UnionType:
        return False
    if array.null_count:
        return True
    if origin in (tuple, list):
        return _has_gaps(array.flatten(), inner[0])
    if origin is Literal or kind in _SCALARS:
        return False
    return any(_has_gaps(array.field(name), it) for name, it in _inner(kind).items())
