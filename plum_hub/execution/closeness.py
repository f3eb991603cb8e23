"""Expected values that more than one value equals: by a tolerance, or as JSON tells a list from no tuple.

They take the place of a literal in a case, as source: `approx([1e6, 0.001], rel=1e-3)`, `isclose(100, rel_tol=0.05)`,
`almost_equal(3, delta=2)`. Like any expected value they stay outside the program's process and are applied to plain
builtins. Each accepts exactly what pytest, `math.isclose` and `unittest` accept; `assert_series_equal(pd.Series([1]))`
accepts what `pandas.testing` accepts, up to the dtypes that depend on the version of pandas (`frames.agree`).
`as_lists([1, [2]])` accepts tuples for lists.
"""

import ast
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from plum_hub.execution.conditions import CONDITIONS, Condition, Raises, condition_of
from plum_hub.execution.frames import Labelled, Strictness, agree
from plum_hub.execution.literals import as_lists, equal, expression_tree, parse_literal, write_literal
from plum_hub.execution.values import Array

_NUMBERS = (int, float, complex, Fraction, Decimal)
_SEQUENCES = (list, tuple, range)


@dataclass(frozen=True)
class Approx:
    """`pytest.approx(expected, rel, abs, nan_ok)`.

    With `reverse` the tolerance is relative to the actual value, as in `approx(f()) == 2.0`.
    """

    expected: Any
    rel: Any = None
    abs: Any = None
    nan_ok: bool = False
    reverse: bool = False

    def accepts(self, actual: Any) -> bool:
        """Compare a value as `actual == pytest.approx(expected)` does.

        Args:
            actual: Made of plain builtins.

        Returns:
            Whether they are equal.
        """
        actual, expected = (self.expected, actual) if self.reverse else (actual, self.expected)
        actual, expected = _elements(actual), _elements(expected)
        if isinstance(expected, dict):
            return (
                isinstance(actual, dict)
                and actual.keys() == expected.keys()
                and all(self._scalar(actual[key], value) for key, value in expected.items())
            )
        if isinstance(expected, _SEQUENCES):
            return (
                isinstance(actual, _SEQUENCES)
                and len(actual) == len(expected)
                and not any(isinstance(item, type(expected)) for item in expected)  # pytest refuses nested ones
                and all(map(self._scalar, actual, expected))
            )
        return not isinstance(expected, set | frozenset) and self._scalar(actual, expected)  # pytest refuses sets

    def _scalar(self, actual: Any, expected: Any) -> bool:
        if isinstance(expected, bool) and not isinstance(actual, bool):
            return False
        if actual == expected:
            return True
        if not all(isinstance(number, _NUMBERS) for number in (actual, expected)):
            return False
        if expected != expected:
            return self.nan_ok and bool(actual != actual)
        if abs(expected) == math.inf:
            return False
        return bool(abs(expected - actual) <= self._tolerance(expected))

    def _tolerance(self, expected: Any) -> Any:
        number: Callable[[str], Any] = Decimal if isinstance(expected, Decimal) else float
        absolute = number("1e-12") if self.abs is None else self.abs
        if self.rel is None and self.abs is not None:
            return absolute
        return max((number("1e-6") if self.rel is None else self.rel) * abs(expected), absolute)


@dataclass(frozen=True)
class IsClose:
    """`math.isclose(actual, expected, rel_tol, abs_tol)`."""

    expected: Any
    rel_tol: Any = 1e-9
    abs_tol: Any = 0.0

    def accepts(self, actual: Any) -> bool:
        """Compare a number by `math.isclose`.

        Args:
            actual: A number; anything else raises what `math.isclose` raises.

        Returns:
            Whether it is close.
        """
        return math.isclose(actual, self.expected, rel_tol=self.rel_tol, abs_tol=self.abs_tol)


@dataclass(frozen=True)
class AlmostEqual:
    """`unittest.TestCase.assertAlmostEqual(actual, expected, places, delta)`."""

    expected: Any
    places: Any = None
    delta: Any = None

    def accepts(self, actual: Any) -> bool:
        """Compare a value by the rule of `assertAlmostEqual`.

        Args:
            actual: A number; anything else raises what the assertion raises.

        Returns:
            Whether it is almost equal.
        """
        if actual == self.expected:
            return True
        difference = abs(actual - self.expected)
        if self.delta is not None:
            return bool(difference <= self.delta)
        return bool(round(difference, 7 if self.places is None else self.places) == 0)


@dataclass(frozen=True)
class PandasEqual:
    """`pandas.testing.assert_frame_equal`, `assert_series_equal` and `assert_index_equal`, with their arguments."""

    expected: Any
    check_dtype: bool = True
    check_names: bool = True
    check_exact: bool = False
    check_like: bool = False
    check_index_type: bool = True
    exact: bool | str = "equiv"
    rtol: Any = 1e-5
    atol: Any = 1e-8

    def accepts(self, actual: Any) -> bool:
        """Compare a value as the assertion does.

        Args:
            actual: Made of plain builtins.

        Returns:
            Whether the assertion holds.
        """
        types = self.check_index_type and self.exact is not False
        rules = Strictness(self.check_dtype, self.check_names, self.check_like, types)
        return isinstance(self.expected, Labelled) and agree(actual, self.expected, self._is_same, rules)

    def _is_same(self, actual: Any, expected: Any) -> bool:
        if not self.check_exact and isinstance(actual, int | float) and isinstance(expected, float):
            return abs(actual - expected) <= self.atol + self.rtol * abs(expected) or actual == expected
        return equal(actual, expected)


@dataclass(frozen=True)
class AsLists:
    """A value that was kept as JSON, which has no tuples: each of its lists may have been one."""

    expected: Any

    def accepts(self, actual: Any, tolerance: float | None = None) -> bool:
        """Compare a value as JSON would hold it.

        Args:
            actual: Made of plain builtins.
            tolerance: Absolute difference that numbers may have; None for 0.

        Returns:
            Whether they are equal, with lists for tuples.
        """
        return equal(as_lists(actual), self.expected, tolerance)


Closeness = Approx | IsClose | AlmostEqual | PandasEqual | AsLists | Condition | Raises

_CHECKS = ("check_dtype", "check_names", "check_exact", "check_like", "check_index_type")
_CONSTRUCTORS: dict[str, tuple[type[Any], frozenset[str]]] = {
    "approx": (Approx, frozenset({"rel", "abs", "nan_ok", "reverse"})),
    "isclose": (IsClose, frozenset({"rel_tol", "abs_tol"})),
    "almost_equal": (AlmostEqual, frozenset({"places", "delta"})),
    "as_lists": (AsLists, frozenset()),
    **{
        f"assert_{kind}_equal": (PandasEqual, frozenset({*_CHECKS, "exact", "rtol", "atol"}))
        for kind in ("frame", "series", "index")
    },
}
_CONDITIONS = CONDITIONS | {"raises"}
_AS_LISTS = "as_lists("


def parse_expected(source: str, *, conditions: bool = False) -> Any:
    """Parse the source of an expected value.

    Args:
        source: A literal (`literals.parse_literal`), or a call of `approx`, `isclose`, `almost_equal`, `as_lists` or
            an assertion of `pandas.testing` with literals.
        conditions: Whether it may be a condition (`conditions`) too.

    Returns:
        The value, or a `Closeness`.

    Raises:
        ValueError: The source is neither; the message says why.
    """
    name = source.strip().partition("(")[0]
    if conditions and name in _CONDITIONS:
        return _condition(source)
    return _closeness(source) if name in _CONSTRUCTORS else parse_literal(source)


def write_json_value(value: Any) -> str:
    """Write a value that was kept as JSON as an expected value.

    Args:
        value: Made of plain builtins.

    Returns:
        Its literal, in `as_lists(...)` if it has a list and no tuple.
    """
    source = write_literal(value)
    return f"{_AS_LISTS}{source})" if _holds_list(value) and as_lists(value) == value else source


def _holds_list(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and any(map(_holds_list, value.values())))


def is_json_value(expected: str) -> bool:
    """Tell whether an expected value was kept as JSON and has a list.

    Args:
        expected: The source of any expected value.

    Returns:
        True for `as_lists(...)`.
    """
    return expected.startswith(_AS_LISTS)


def without_as_lists(expected: str) -> str:
    """Return an expected value as the literal that people write.

    Args:
        expected: The source of any expected value.

    Returns:
        What `as_lists(...)` holds; anything else unchanged.
    """
    return expected[len(_AS_LISTS) : -1] if is_json_value(expected) else expected


def accepts(expected: Closeness, actual: Any) -> bool:
    """Compare a value with a closeness; what Python would raise counts as not accepted.

    Args:
        expected: The closeness.
        actual: Made of plain builtins.

    Returns:
        Whether it is accepted.
    """
    try:
        return expected.accepts(actual)
    except (TypeError, ValueError, ArithmeticError):
        return False


def _closeness(source: str) -> Closeness:
    try:
        node = expression_tree(source.strip())
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"not a literal: {error}") from error
    match node:
        case ast.Call(func=ast.Name(id=name), args=[value], keywords=keywords) if name in _CONSTRUCTORS:
            constructor, allowed = _CONSTRUCTORS[name]
            settings = {word.arg: parse_literal(ast.unparse(word.value)) for word in keywords if word.arg in allowed}
            if len(settings) == len(keywords) and all(map(_is_setting, settings.items())):
                closeness: Closeness = constructor(parse_literal(ast.unparse(value)), **settings)
                return closeness
    raise ValueError(f"not a literal: {source[:80]!r}")


def _condition(source: str) -> Condition | Raises:
    match expression_tree(source.strip()):
        case ast.Call(func=ast.Name(id=name), args=[value], keywords=keywords):
            words = {str(word.arg): parse_literal(ast.unparse(word.value)) for word in keywords}
            return condition_of(name, parse_literal(ast.unparse(value)), words)
    raise ValueError(f"not a literal: {source[:80]!r}")


def _is_setting(item: tuple[str | None, Any]) -> bool:
    """Check a keyword argument. One that Python would reject is the test author's error, not the program's."""
    name, value = item
    if name in ("nan_ok", "reverse", *_CHECKS):
        return isinstance(value, bool)
    if name == "exact":
        return isinstance(value, bool) or value == "equiv"
    if name == "places":
        return isinstance(value, int)
    return value is None or (
        isinstance(value, int | float | Fraction | Decimal) and value == value and (value >= 0 or name == "delta")
    )


def _elements(value: Any) -> Any:
    return value.items if isinstance(value, Array) else value
