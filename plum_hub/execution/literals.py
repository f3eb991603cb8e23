"""Expected values: Python literals parsed without `eval`, and compared with what a program gave.

Both sides are plain builtins, so no code of a program's author ever runs in this process.
"""

import ast
import math
import re
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

from plum_hub.execution.frame_literals import dtype_name, pandas_value
from plum_hub.execution.frames import Labelled, Moment, agree
from plum_hub.execution.narrow import Narrow
from plum_hub.execution.values import Array

MAX_CHARACTERS = 4_000_000
"""Longest source of an expected value."""
_HEX_THRESHOLD = 1 << 1024
_MAX_ITEMS = 1_000_000  # `list(range(10**12))` has a short source
_NAMES: dict[str, float] = {"nan": math.nan, "inf": math.inf, "True_": True, "False_": False}
_NUMPY_SCALAR = re.compile(r"(bool|str|(u?int|float|complex)\d*)_?")
_NARROW = {"float32": "f", "float16": "e"}
_FLOATS = {"nan", "inf", "infinity"}
_NUMBERS: tuple[type[Any], ...] = (int, float, complex, Fraction, Decimal)
_LONG_INTEGER = re.compile(r"0[xXoObB][0-9a-fA-F_]{500}")
"""The beginning of an integer that Python may refuse to write in decimal: its limit is 640 digits or more."""
_TreeT = TypeVar("_TreeT", bound=ast.AST)
_CONTAINERS: dict[str, Callable[..., Any]] = {
    "set": set, "frozenset": frozenset, "list": list, "tuple": tuple, "dict": dict
}  # fmt: skip


class _InHex(int):
    """An integer of more digits than Python writes in decimal."""

    def __repr__(self) -> str:
        return hex(self)


def syntax_tree(source: str) -> ast.Module:
    """Parse a module such that `ast.unparse` can write it, whatever the length of its hexadecimal integers.

    Args:
        source: Python source.

    Returns:
        The syntax tree, to be written and not to be compiled.

    Raises:
        SyntaxError: The source is not Python; other errors of `ast.parse` are raised too.
    """
    return _writable(ast.parse(source), source)


def expression_tree(source: str) -> ast.expr:
    """Parse an expression as `syntax_tree` does.

    Args:
        source: Python source.

    Returns:
        The expression.

    Raises:
        SyntaxError: The source is no expression; other errors of `ast.parse` are raised too.
    """
    return _writable(ast.parse(source, mode="eval"), source).body


def _writable(tree: _TreeT, source: str) -> _TreeT:
    if _LONG_INTEGER.search(source):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and type(node.value) is int and node.value >= _HEX_THRESHOLD:
                node.value = _InHex(node.value)
    return tree


def parse_literal(source: str) -> Any:
    """Parse the source of a literal.

    Beyond `ast.literal_eval` it accepts what `repr` prints and tests write: `nan`, `inf`, `math.inf`, `float("nan")`,
    `set()`, `frozenset({1})`, `range(3)`, `bytearray(b"a")`, `{1: 2}.keys()`, `Fraction(1, 2)`, `Decimal("0.5")`;
    `list`, `tuple`, `set` or `dict` around at most one literal; and numpy's `array([1, 2])` (also `np.array`, with or
    without `dtype`) and scalars (`np.float64(0.5)`); and pandas' constructors (`pd.DataFrame({"a": [1]})`), see
    `frame_literals`.

    Args:
        source: Python source of at most `MAX_CHARACTERS` characters.

    Returns:
        The value, made of plain builtins, `values.Array` and `frames`.

    Raises:
        ValueError: The source is not such a literal; the message says why.
    """
    if len(source) > MAX_CHARACTERS:
        raise ValueError(f"a literal of {len(source)} characters; at most {MAX_CHARACTERS} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in strings are harmless here
            return _value(ast.parse(source.strip(), mode="eval").body)
    except (SyntaxError, TypeError, RecursionError, MemoryError, ArithmeticError) as error:
        raise ValueError(f"not a literal: {error}") from error


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value) if value is not Ellipsis:
            return value
        case ast.Name(id="nan" | "inf" as name) | ast.Attribute(value=ast.Name(id="math"), attr="nan" | "inf" as name):
            return _NAMES[name]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Set(elts=items):
            return {_value(item) for item in items}
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True) if key is not None}
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=operand):
            number = _number(operand)
            return -number if isinstance(sign, ast.USub) else +number
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as sign, right=right):
            return _complex(left, sign, right)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name != "array":
            return _call(name, arguments)
        case ast.Call(func=ast.Attribute(value=receiver, attr="keys" | "items" as attribute), args=[], keywords=[]):
            return _view(_value(receiver), attribute)
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=name) | ast.Name(id=name),
            args=[argument],
            keywords=[] | [ast.keyword(arg="dtype")],
        ):
            return _numpy_value(name, _value(argument))
        case ast.Attribute(value=ast.Name(id="pd" | "pandas"), attr="NaT" | "NA" as name):
            return Moment(name)
        case ast.Call(func=ast.Attribute() as function, args=arguments, keywords=keywords) if _is_pandas(function):
            given = {
                word.arg or "": _dtype(word.value) if word.arg == "dtype" else _value(word.value) for word in keywords
            }
            return pandas_value(ast.unparse(function).partition(".")[2], [*map(_value, arguments)], given)
        case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr="True_" | "False_" | "nan" | "inf" as name):
            return _NAMES[name]
    raise ValueError(f"not a literal: {ast.unparse(node)[:80]!r}")


def _is_pandas(function: ast.expr) -> bool:
    """Return whether a dotted name begins with pandas."""
    while isinstance(function, ast.Attribute):
        function = function.value
    return isinstance(function, ast.Name) and function.id in ("pd", "pandas")


def _dtype(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(name)) | ast.Name(id=name):
            return dtype_name(name)
        case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=name):
            return dtype_name(name)
    raise ValueError(f"not a literal: the dtype {ast.unparse(node)[:80]!r}")


def _view(value: Any, attribute: str) -> Any:
    """Return the set that a view of a dictionary's keys or items is equal to."""
    if not isinstance(value, dict):
        raise ValueError(f"not a literal: {attribute}() of what is no dictionary")
    return set(value) if attribute == "keys" else set(value.items())


def _numpy_value(name: str, value: Any) -> Any:
    """Return the value of `array([1, 2])` or `np.float64(0.5)`, as numpy prints and tests write them."""
    if name == "array" and isinstance(value, (list, tuple)):
        return Array(as_lists(value))
    if _NUMPY_SCALAR.fullmatch(name) and isinstance(value, (bool, int, float, complex, str)):
        return Narrow(_NARROW[name], value) if name in _NARROW and isinstance(value, int | float) else value
    raise ValueError(f"not a literal: a call of {name!r}")


def as_lists(value: Any) -> Any:
    """Replace every tuple by a list, in lists and in the values of dictionaries too.

    Args:
        value: Made of plain builtins.

    Returns:
        The value, as JSON could hold it.
    """
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    return [as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def _number(node: ast.expr) -> Any:
    number = _value(node)
    if type(number) not in (int, float, complex):
        raise ValueError(f"not a number: {ast.unparse(node)[:80]!r}")
    return number


def _complex(left: ast.expr, sign: ast.operator, right: ast.expr) -> complex:
    real, imaginary = _number(left), _number(right)
    if type(real) is complex or type(imaginary) is not complex:
        raise ValueError("a sum is not a literal, unless it is a complex number")
    return complex(real + imaginary if isinstance(sign, ast.Add) else real - imaginary)


def _call(name: str, arguments: list[ast.expr]) -> Any:
    values = [_value(argument) for argument in arguments]
    match name, values:
        case "float", [str() as text] if text.strip().lstrip("+-").lower() in _FLOATS:
            return float(text)
        case "Fraction", [int(), *rest] if len(rest) < 2 and all(type(item) is int for item in values):
            return Fraction(*values)
        case "Decimal", [int() | str() as number]:
            return Decimal(number)
        case "range", [int(), *rest] if len(rest) < 3 and all(type(item) is int for item in values):
            return range(*values)
        case "bytes" | "bytearray", [bytes() | list() as content]:
            return bytes(content)
        case _ if name in _CONTAINERS and len(values) < 2 and all(len(item) <= _MAX_ITEMS for item in values):
            return _CONTAINERS[name](*values)
    raise ValueError(f"not a literal: a call of {name!r}")


def write_literal(value: Any) -> str:
    """Write a value as source that `parse_literal` reads back.

    Apart from types without another notation the source contains no names, so it means the same in any program's scope.

    Args:
        value: Made of plain builtins and `values.Array`.

    Returns:
        Python source.

    Raises:
        ValueError: It holds a value of pandas.
    """
    match value:
        case float():
            return {"nan": 'float("nan")', "inf": "1e999", "-inf": "-1e999"}.get(text := repr(value), text)
        case int() if type(value) is int and abs(value) >= _HEX_THRESHOLD:
            return hex(value)  # Python limits the decimal digits that it parses and prints
        case list():
            return f"[{', '.join(map(write_literal, value))}]"
        case tuple():
            return f"({', '.join(map(write_literal, value))}{',' * (len(value) == 1)})"
        case set() | frozenset() if value:
            items = f"{{{', '.join(map(write_literal, value))}}}"
            return items if type(value) is set else f"frozenset({items})"
        case dict():
            return f"{{{', '.join(f'{write_literal(key)}: {write_literal(item)}' for key, item in value.items())}}}"
        case Array(items):
            return f"array({write_literal(items)})"
        case Labelled() | Moment():
            raise ValueError("a value of pandas, which is not written as a literal")
    return repr(value)


def largest_hashed(value: Any) -> int:
    """Count the elements of the largest set or dictionary in a value.

    Args:
        value: Made of plain builtins.

    Returns:
        The number of elements; 0 if it contains neither.
    """
    match value:
        case dict():
            return max([len(value), *(largest_hashed(item) for pair in value.items() for item in pair)])
        case set() | frozenset():
            return max([len(value), *(largest_hashed(item) for item in value)])
        case list() | tuple():
            return max((largest_hashed(item) for item in value), default=0)
        case Labelled(values=values):
            return largest_hashed(values)
    return 0


def equal(
    actual: Any, expected: Any, tolerance: float | None = None, relative: float = 0.0, *, exact_integers: bool = False
) -> bool:
    """Compare two values of plain builtins as `==` does, with nan equal to nan.

    Args:
        actual: What a program gave.
        expected: What it should have given.
        tolerance: Difference that numbers may have, as in `abs(actual - expected) <= tolerance`; None for none. Applies
            inside containers, except to the elements of a set and the keys of a dictionary.
        relative: This fraction of the expected number is added to the tolerance.
        exact_integers: Apply the tolerance to floats and complex numbers only.

    Returns:
        Whether they are equal.
    """
    if isinstance(actual, Array) is not isinstance(expected, Array):
        # Python asks for the truth of an array of comparisons, which only one of a single element has.
        one, other = _only(actual), _only(expected)
        is_one = one is not _NAN and other is not _NAN
        return is_one and equal(one, other, tolerance, relative, exact_integers=exact_integers)
    inexact = isinstance(expected, (float, complex)) or isinstance(actual, (float, complex))
    if inexact or (tolerance is not None and not exact_integers and isinstance(expected, _NUMBERS)):
        return _equal_numbers(actual, expected, tolerance, relative)

    def same(one: Any, other: Any) -> bool:
        return equal(one, other, tolerance, relative, exact_integers=exact_integers)

    match expected:
        case Array(items):
            return same(actual.items, items)
        case Labelled():
            return agree(actual, expected, same)
        case list() | tuple() if type(actual) is type(expected):
            return len(actual) == len(expected) and all(map(same, actual, expected))
        case dict() if type(actual) is dict:
            if len(actual) != len(expected):
                return False
            values_by_key = {_key(key): value for key, value in actual.items()}
            return all(
                _key(key) in values_by_key and same(values_by_key[_key(key)], value) for key, value in expected.items()
            )
        case set() | frozenset() if isinstance(actual, (set, frozenset)):
            return {_key(item) for item in actual} == {_key(item) for item in expected}
    return bool(actual == expected)


def _equal_numbers(actual: Any, expected: Any, tolerance: float | None, relative: float) -> bool:
    if not (isinstance(actual, _NUMBERS) and isinstance(expected, _NUMBERS)):
        return False
    same = bool(actual == expected or (actual != actual and expected != expected))
    if tolerance is None:
        return same
    try:
        if relative and math.isfinite(size := abs(expected)):
            tolerance += relative * size
        difference = abs(actual - expected)  # raises for a Decimal and a float, even equal ones
        return same or bool(difference <= tolerance)
    except (ArithmeticError, TypeError):  # such as an int too large for a float
        return False


def _only(value: Any) -> Any:
    """Return the only element of nested lists, or the value itself if it is none; `_NAN` for several or none."""
    while isinstance(value, (Array, list, tuple)):
        value = value.items if isinstance(value, Array) else value[0] if len(value) == 1 else _NAN
    return value


_NAN = object()


def _key(value: Any) -> Any:
    """Make a value hashable such that nan is found again, which sets and dictionaries do not do by themselves."""
    if isinstance(value, (float, complex)) and value != value:
        return _NAN
    if isinstance(value, tuple):
        return tuple(_key(item) for item in value)
    return frozenset(_key(item) for item in value) if isinstance(value, frozenset) else value
