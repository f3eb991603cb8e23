"""Values of pandas: how they leave a jail, and how the judge compares them without pandas.

`encode` writes `{"p": [...]}` for each (`values`), always with its kind first:

    DataFrame, Series, Index    dtypes, names, values (of a DataFrame: of each column), index, columns
    Timestamp                   nanoseconds since year 1 on the clock of its zone, the zone or null
    Timedelta                   nanoseconds
    NaT, NA                     nothing

Only the classes of pandas itself have an encoding, never a subclass. This module also runs inside the jail, so it
imports the standard library only.
"""

import importlib
import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_INDICES = ("Index", "RangeIndex", "MultiIndex", "DatetimeIndex", "TimedeltaIndex", "CategoricalIndex")
_UNIT = re.compile(r"^(datetime64|timedelta64)\[\w+")
_SECONDS_OF_A_DAY = 86_400


@dataclass(frozen=True)
class Moment:
    """A `Timestamp`, `Timedelta`, `NaT` or `NA` outside a jail, where there is no pandas.

    Attributes:
        kind: Name of the class, or of the constant.
        nanoseconds: Since the first day of year 1 in its own zone, or the duration.
        zone: Name of the time zone; None without one.
    """

    kind: str
    nanoseconds: int = 0
    zone: str | None = None


@dataclass(frozen=True)
class Labelled:
    """A `DataFrame`, `Series` or any `Index` outside a jail.

    Attributes:
        kind: `DataFrame`, `Series` or `Index`.
        dtypes: The dtype, or that of each column; "" where an expected value does not determine it.
        names: Name of the series, or the names of the index levels.
        values: The values, or those of each column.
        index: The row labels; None for an index.
        columns: The column labels of a data frame.
    """

    kind: str
    dtypes: tuple[str, ...]
    names: tuple[Any, ...]
    values: list[Any]
    index: "Labelled | None" = None
    columns: "Labelled | None" = None

    def __repr__(self) -> str:
        """Write the values first, because messages are short."""
        labels = f", columns={self.columns.values!r}" if self.columns else ""
        return f"{self.kind}({self.values!r}{labels}, dtypes={self.dtypes!r})"


def preload() -> None:
    """Import pandas in a zygote, once for all programs.

    Two modules of pandas import ctypes, which jails hide, without using it on Linux: they get an empty module.
    """
    had = sys.modules.get("ctypes")
    sys.modules["ctypes"] = types.ModuleType("ctypes")
    importlib.import_module("pandas.testing")
    del sys.modules["ctypes"]
    if had is not None:
        sys.modules["ctypes"] = had


def readers(unsupported: Callable[[type], Exception]) -> dict[type, Callable[[Any], list[Any]]]:
    """Bind the methods of pandas that read its values, before any program could replace them.

    Args:
        unsupported: Makes the exception for a value of a subclass.

    Returns:
        A function for each class, which returns the parts that are encoded.
    """
    pd: Any = importlib.import_module("pandas")
    found: dict[type, Callable[[Any], list[Any]]] = {
        pd.DataFrame: _frame_reader(pd), pd.Series: _series_reader(pd), pd.Timestamp: _moment,
        pd.Timedelta: lambda value: ["Timedelta", _elapsed(value)],
        type(pd.NaT): lambda _: ["NaT"], type(pd.NA): lambda _: ["NA"],
    }  # fmt: skip
    found |= {getattr(pd, name): _index_reader(getattr(pd, name)) for name in _INDICES}

    def exact(kind: type, read: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
        def checked(value: Any) -> list[Any]:
            if type(value) is not kind:
                raise unsupported(type(value))
            return read(value)

        return checked

    return {kind: exact(kind, read) for kind, read in found.items()}


def _frame_reader(pd: Any) -> Callable[[Any], list[Any]]:
    items, listed, dtype = pd.DataFrame.items, pd.Series.tolist, pd.Series.dtype.fget

    def read(value: Any) -> list[Any]:
        columns = [column for _, column in items(value)]
        dtypes, values = [str(dtype(column)) for column in columns], [listed(column) for column in columns]
        return ["DataFrame", dtypes, [], values, value.index, value.columns]

    return read


def _series_reader(pd: Any) -> Callable[[Any], list[Any]]:
    listed, dtype = pd.Series.tolist, pd.Series.dtype.fget
    return lambda value: ["Series", [str(dtype(value))], [value.name], listed(value), value.index, None]


def _index_reader(kind: Any) -> Callable[[Any], list[Any]]:
    listed, names = kind.tolist, kind.names.fget
    return lambda value: ["Index", [str(value.dtype)], [*names(value)], listed(value), None, None]


def _moment(value: Any) -> list[Any]:
    seconds = value.toordinal() * _SECONDS_OF_A_DAY + value.hour * 3600 + value.minute * 60 + value.second
    zone = None if value.tzinfo is None else str(value.tzinfo)
    return ["Timestamp", (seconds * 10**6 + value.microsecond) * 1000 + value.nanosecond, zone]


def _elapsed(value: Any) -> int:
    seconds = int(value.days) * _SECONDS_OF_A_DAY + int(value.seconds)
    return (seconds * 10**6 + int(value.microseconds)) * 1000 + int(value.nanoseconds)


def decoded(parts: Any) -> Labelled | Moment:
    """Make a value from its encoded parts.

    Args:
        parts: Plain builtins; anything may have written them.

    Returns:
        The value.

    Raises:
        ValueError: They are not the parts of a value.
    """
    match parts:
        case ["NaT" | "NA" as kind]:
            return Moment(kind)
        case ["Timestamp", int() as time, None | str() as zone]:
            return Moment("Timestamp", time, zone)
        case ["Timedelta", int() as time]:
            return Moment("Timedelta", time)
        case ["Index", [str() as dtype], list() as names, list() as values, None, None]:
            return Labelled("Index", (dtype,), tuple(names), values)
        case ["Series", [str() as dtype], [name], list() as values, Labelled(kind="Index") as index, None] if len(
            index.values
        ) == len(values):
            return Labelled("Series", (dtype,), (name,), values, index)
        case ["DataFrame", list() as dtypes, [], list() as values, Labelled() as index, Labelled() as columns] if (
            len(dtypes) == len(values) == len(columns.values)
            and all(isinstance(one, str) for one in dtypes)
            and all(isinstance(one, list) and len(one) == len(index.values) for one in values)
        ):
            return Labelled("DataFrame", tuple(dtypes), (), values, index, columns)
    raise ValueError("not an encoded value of pandas")


@dataclass(frozen=True)
class Strictness:
    """What must agree beside labels and values: the arguments of `pandas.testing.assert_frame_equal`.

    Attributes:
        dtype: Compare the dtypes of values, but those of labels only with `index_type`.
        names: Compare the names of series and labels.
        like: Ignore the order of rows and columns.
        index_type: Compare the dtypes of labels.
    """

    dtype: bool = True
    names: bool = True
    like: bool = False
    index_type: bool = True


def agree(actual: Any, expected: Labelled, same: Callable[[Any, Any], bool], rules: Strictness | None = None) -> bool:
    """Compare kind, dtypes, names, labels and values.

    `object` and `str` are one dtype, and so are the units of times, because the version of pandas decides which is
    inferred. Missing values (`None`, nan, `NaT`, `NA`) are equal to one another: the dtype says which is held.

    Args:
        actual: What a program gave.
        expected: What it should have given.
        same: Compares two single values.
        rules: What must agree; None for everything.

    Returns:
        Whether they agree.
    """
    rules = rules or Strictness()
    if not isinstance(actual, Labelled) or actual.kind != expected.kind:
        return False
    if rules.like:
        actual, expected = _ordered(actual), _ordered(expected)
    dtype = rules.index_type if expected.kind == "Index" else rules.dtype
    if len(actual.dtypes) != len(expected.dtypes) or (
        dtype and not all(map(_same_dtype, actual.dtypes, expected.dtypes))
    ):
        return False
    if rules.names and actual.names != expected.names and not _same_all(list(actual.names), list(expected.names), same):
        return False
    for one, other in ((actual.index, expected.index), (actual.columns, expected.columns)):
        if other is not None and not agree(one, other, same, rules):
            return False
    return _same_all(actual.values, expected.values, same)


def _same_dtype(actual: str, expected: str) -> bool:
    return not expected or _plain_dtype(actual) == _plain_dtype(expected)


def _plain_dtype(name: str) -> str:
    return "object" if name == "str" else _UNIT.sub(r"\1[", name)


def _same_all(actual: list[Any], expected: list[Any], same: Callable[[Any, Any], bool]) -> bool:
    return len(actual) == len(expected) and all(
        _same_all(one, other, same)
        if type(one) is list and type(other) is list
        else (is_missing(one) and is_missing(other)) or same(one, other)
        for one, other in zip(actual, expected, strict=True)
    )


def is_missing(value: Any) -> bool:
    """Return whether pandas considers a value missing.

    Args:
        value: One value.

    Returns:
        True for None, nan, `NaT` and `NA`.
    """
    return (
        value is None
        or (type(value) is float and value != value)
        or (isinstance(value, Moment) and value.kind in ("NaT", "NA"))
    )


def _ordered(value: Labelled) -> Labelled:
    """Sort rows and columns by the text of their labels."""
    if value.index is None:
        return value
    rows = _order(value.index)
    index = _taken(value.index, rows)
    if value.columns is None:
        return Labelled(value.kind, value.dtypes, value.names, [value.values[row] for row in rows], index)
    places = _order(value.columns)
    values = [[value.values[place][row] for row in rows] for place in places]
    dtypes = tuple(value.dtypes[place] for place in places)
    return Labelled(value.kind, dtypes, value.names, values, index, _taken(value.columns, places))


def _order(labels: Labelled) -> list[int]:
    return sorted(range(len(labels.values)), key=lambda place: repr(labels.values[place]))


def _taken(labels: Labelled, places: list[int]) -> Labelled:
    return Labelled(labels.kind, labels.dtypes, labels.names, [labels.values[place] for place in places])
