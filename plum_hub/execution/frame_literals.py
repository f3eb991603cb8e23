"""Expected values of pandas: the source of a constructor, read without pandas."""

import datetime as dt
import math
import re
from typing import Any

from plum_hub.execution.frames import Labelled, Moment, is_missing
from plum_hub.execution.values import Array

_ALIASES = {"int": "int64", "float": "float64", "complex": "complex128", "O": "object", "bool_": "bool"}
_DTYPE = re.compile(
    r"U?[Ii]nt(8|16|32|64)|uint(8|16|32|64)|[Ff]loat(32|64)|complex(64|128)|bool|boolean|object|str|string|category"
)
_NUMBERS = (int, float, complex)
_UNITS = {"weeks": 7 * 86_400, "days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}
_TIME = {"nanoseconds": 1, "microseconds": 10**3, "milliseconds": 10**6} | {
    name: seconds * 10**9 for name, seconds in _UNITS.items()
}


def pandas_value(name: str, arguments: list[Any], keywords: dict[str, Any]) -> Labelled | Moment:
    """Evaluate a constructor of pandas as pandas does.

    Args:
        name: Such as `DataFrame` or `MultiIndex.from_tuples`.
        arguments: The positional arguments: builtins, arrays and values of pandas.
        keywords: The keyword arguments; `dtype` as text.

    Returns:
        The value.

    Raises:
        ValueError: The judge cannot evaluate this call; it then stays part of a statement.
    """
    known = {
        "DataFrame": (_frame, ("data", "index", "columns", "dtype")),
        "Series": (_series, ("data", "index", "dtype", "name")),
        "Index": (_index, ("data", "dtype", "name", "names")),
        "DatetimeIndex": (_times, ("data", "name")),
        "to_datetime": (_times, ("data",)),
        "RangeIndex": (_range, ("start", "stop", "step", "name")),
        "MultiIndex.from_tuples": (_index, ("data", "names")),
        "Timestamp": (_timestamp, ("data", "tz")),
        "Timedelta": (_timedelta, ("data", *_TIME)),
    }
    if name not in known:
        raise ValueError(f"not a literal: a call of pandas.{name}")
    make, parameters = known[name]
    given = {**dict(zip(parameters, arguments, strict=False)), **keywords}
    twice = keywords.keys() & set(parameters[: len(arguments)])
    if len(arguments) > len(parameters) or given.keys() - set(parameters) or twice:
        raise ValueError(f"not a literal: these arguments of pandas.{name}")
    made: Labelled | Moment = make(given)
    return made


def dtype_name(name: str) -> str:
    """Return the full name of a dtype.

    Args:
        name: Such as `int`, `float32` or `category`.

    Returns:
        The name that pandas prints.

    Raises:
        ValueError: The judge does not know it.
    """
    name = _ALIASES.get(name, name)
    if not _DTYPE.fullmatch(name):
        raise ValueError(f"not a literal: the dtype {name!r}")
    return name


def _frame(given: dict[str, Any]) -> Labelled:
    data, labels, dtype = given.get("data"), given.get("columns"), given.get("dtype")
    columns = None if labels is None else _labels(labels)
    named = _columns(data, None if columns is None else columns.values, given.get("index"))
    index = _labels(given["index"]) if given.get("index") is not None else _counted(_height(named))
    names = [label for label, _ in named]
    values = [column if isinstance(column, list) else [column] * len(index.values) for _, column in named]
    if any(len(column) != len(index.values) for column in values):
        raise ValueError("not a literal: columns and index of different lengths")
    typed = [_typed(column, dtype) for column in values]
    if columns is None:
        counted = names == list(range(len(names))) and not isinstance(data, dict)
        columns = _counted(len(names)) if counted else _labels(names)
        if isinstance(data, dict):
            columns = _index({"data": names})
    return Labelled("DataFrame", tuple(one for one, _ in typed), (), [one for _, one in typed], index, columns)


def _columns(data: Any, labels: list[Any] | None, index: Any) -> list[tuple[Any, Any]]:
    """Return label and values of each column; a value that is no list is repeated."""
    if isinstance(data, Array):
        data = _of_one_kind(data.items)
    if data is None or data == []:
        data = {label: [] if index is None else math.nan for label in labels or ()}
    if isinstance(data, dict):
        chosen = list(data) if labels is None else labels
        if any(label not in data for label in chosen):
            raise ValueError("not a literal: columns that the data do not have")
        return [(label, _list(data[label])) for label in chosen]
    if not isinstance(data, list):
        raise ValueError("not a literal: the data of a DataFrame")
    if all(isinstance(row, dict) for row in data):
        names = list(dict.fromkeys(name for row in data for name in row)) if labels is None else labels
        return [(name, [row.get(name, math.nan) for row in data]) for name in names]
    rows = [list(row) if isinstance(row, list | tuple) else [row] for row in data]
    width = len(rows[0])
    if not width or any(len(row) != width for row in rows) or (labels is not None and len(labels) != width):
        raise ValueError("not a literal: rows of different lengths")
    return [(label, [row[place] for row in rows]) for place, label in enumerate(labels or range(width))]


def _height(named: list[tuple[Any, Any]]) -> int:
    """Return the number of rows; without any list, pandas requires an index."""
    lengths = [len(column) for _, column in named if isinstance(column, list)]
    if named and not lengths:
        raise ValueError("not a literal: single values without an index")
    return max(lengths, default=0)


def _series(given: dict[str, Any]) -> Labelled:
    data, labels, name = given.get("data"), given.get("index"), given.get("name")
    if isinstance(data, dict) and labels is None:
        labels, data = _index({"data": list(data)}), list(data.values())
    elif isinstance(data, Labelled) and data.kind == "Index":
        data = data.values
    data = [] if data is None else _list(data)
    if isinstance(data, dict) or (not isinstance(data, list) and labels is None):
        raise ValueError("not a literal: the data of a Series")
    index = _counted(len(data)) if labels is None else _labels(labels)
    values = data if isinstance(data, list) else [data] * len(index.values)
    if len(values) != len(index.values):
        raise ValueError("not a literal: values and index of different lengths")
    dtype, typed = _typed(values, given.get("dtype"))
    return Labelled("Series", (dtype,), (name,), typed, index)


def _index(given: dict[str, Any]) -> Labelled:
    values = _list(given.get("data"))
    if not isinstance(values, list):
        raise ValueError("not a literal: the data of an Index")
    dtype, typed = _typed(values, given.get("dtype"))
    levels = len(values[0]) if values and all(isinstance(item, tuple) for item in values) else 1
    names = given.get("names") or [given.get("name")] * levels
    if not isinstance(names, list | tuple) or len(names) != levels:
        raise ValueError("not a literal: the names of an Index")
    return Labelled("Index", (dtype,), tuple(names), typed)


def _times(given: dict[str, Any]) -> Labelled | Moment:
    data = given.get("data")
    if isinstance(data, str):
        return _timestamp({"data": data})
    if not isinstance(data, list):
        raise ValueError("not a literal: the data of times")
    times = [item if isinstance(item, Moment) or item is None else _timestamp({"data": item}) for item in data]
    return _index({"data": times, "name": given.get("name")})


def _range(given: dict[str, Any]) -> Labelled:
    bounds = [given[name] for name in ("start", "stop", "step") if name in given]
    if not all(type(bound) is int for bound in bounds) or len(found := range(*bounds)) > 10**6:
        raise ValueError("not a literal: the bounds of a RangeIndex")
    return Labelled("Index", ("int64",), (given.get("name"),), list(found))


def _timestamp(given: dict[str, Any]) -> Moment:
    if not isinstance(given.get("data"), str):
        raise ValueError("not a literal: a Timestamp of what is no text")
    time = dt.datetime.fromisoformat(given["data"])
    zone = given.get("tz")
    if time.tzinfo is not None or not isinstance(zone, str | None):
        raise ValueError("not a literal: a Timestamp with an offset")
    seconds = time.toordinal() * 86_400 + time.hour * 3600 + time.minute * 60 + time.second
    return Moment("Timestamp", (seconds * 10**6 + time.microsecond) * 1000, zone)


def _timedelta(given: dict[str, Any]) -> Moment:
    if "data" in given or not all(type(value) is int for value in given.values()):
        raise ValueError("not a literal: a Timedelta other than of whole days, hours, minutes or seconds")
    return Moment("Timedelta", sum(value * _TIME[name] for name, value in given.items()))


def _counted(length: int) -> Labelled:
    return Labelled("Index", ("int64",), (None,), list(range(length)))


def _labels(value: Any) -> Labelled:
    """Return labels that are given as such: of a list, tuples are single labels, unlike the keys of a dictionary."""
    if isinstance(value, Labelled) and value.kind == "Index":
        return value
    labels = _index({"data": value})
    return labels if len(labels.names) == 1 else Labelled("Index", labels.dtypes, (None,), labels.values)


def _list(value: Any) -> Any:
    """Return the values of what holds several; a single value as it is."""
    if isinstance(value, Array):
        return _of_one_kind(value.items)
    if isinstance(value, Labelled):
        if value.kind != "Series" or value.index != _counted(len(value.values)):
            raise ValueError("not a literal: a value of pandas with labels inside another")
        return value.values
    return list(value) if isinstance(value, tuple | range) else value


def _of_one_kind(items: Any) -> Any:
    """Return the elements of an array as numpy holds them: all are floats if one is."""
    rows = items if items and all(isinstance(row, list) for row in items) else [items]
    kinds = {type(item) for row in rows for item in row}
    if len(kinds) < 2:
        return items
    if kinds != {int, float}:
        raise ValueError("not a literal: an array of several kinds")
    floats = [[float(item) for item in row] for row in rows]
    return floats if rows is items else floats[0]


def _typed(values: list[Any], dtype: str | None) -> tuple[str, list[Any]]:
    """Return the dtype that pandas infers or is told, and the values as it holds them."""
    held = [value for value in values if not is_missing(value)]
    numbers = all(isinstance(value, _NUMBERS) and type(value) is not bool for value in held)
    if dtype is None:
        dtype = _inferred(held, complete=len(held) == len(values), numbers=numbers, values=values)
    elif "int" in dtype.lower() and not all(isinstance(value, int) for value in held):
        raise ValueError("not a literal: integers from other values")
    elif dtype in ("str", "string") and not all(isinstance(value, str) for value in held):
        raise ValueError("not a literal: text from other values")
    if dtype.lower().startswith("float") and not all(isinstance(value, int | float) for value in held):
        raise ValueError("not a literal: floats from other values")
    if dtype == "float64":
        return dtype, [value if is_missing(value) else float(value) for value in values]
    return dtype, values


def _inferred(held: list[Any], *, complete: bool, numbers: bool, values: list[Any]) -> str:
    if not held:
        return ""
    kinds = {type(value) for value in held}
    missing = {value.kind for value in values if isinstance(value, Moment)}
    if "NA" in missing or ("NaT" in missing and kinds != {Moment}):
        return "object"
    if kinds == {bool}:
        return "bool" if complete else "object"
    if numbers:
        if complex in kinds:
            return "complex128"
        if float in kinds or not complete:
            return "float64"
        return "int64" if min(held) >= -(1 << 63) and max(held) < 1 << 63 else ""
    if kinds == {str}:
        return "str"
    if kinds == {Moment} and len(shapes := {(value.kind, value.zone) for value in held}) == 1:
        ((kind, zone),) = shapes
        if kind == "Timedelta":
            return "timedelta64[ns]"
        return "datetime64[ns]" if zone is None else f"datetime64[ns, {zone}]"
    return "object"
