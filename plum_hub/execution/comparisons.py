"""The ways in which a value can be what is expected. Both sides are plain builtins here, as in `literals`."""

import math
from typing import Any, TypeAlias

from plum_hub.execution.base import Comparison
from plum_hub.execution.closeness import Closeness, accepts
from plum_hub.execution.literals import equal

_RELATIVE = 1e-7
_INTEGERS = range(-(1 << 63), 1 << 64)
"""The integers that an array holds as numbers."""

_Shape: TypeAlias = tuple[int, ...]


def agrees(actual: Any, expected: Any, tolerance: float | None, comparison: Comparison) -> bool:
    """Whether a value is what is expected. A closeness says itself what it accepts; else the comparison is

    equal       `literals.equal` within the absolute tolerance.
    near        `literals.equal`, with 1e-7 of the expected number added to the tolerance. Types and integers are exact.
    close       equal exactly; or of the same type and length, and then, as arrays, each number within `tolerance` plus
                1e-7 of the expected one. That is the rule of EvalPlus, which asks no more of what lies deeper: arrays
                do not tell lists from tuples, and one row stands for as many as are expected.
    any_of      equal, within the tolerance, to an element of the expected tuple.
    root_of     a number at which the polynomial with the expected coefficients, that of x**0 first, is within the
                tolerance of 0.
    as_list     equal, where a tuple is as good as a list, though not inside another value.
    """
    if isinstance(expected, Closeness):
        return accepts(expected, actual)
    match comparison:
        case "equal":
            return equal(actual, expected, tolerance)
        case "near":
            return equal(actual, expected, tolerance or 0.0, _RELATIVE, exact_integers=True)
        case "close":
            return equal(actual, expected) or _close(actual, expected, tolerance or 0.0)
        case "any_of":
            return any(equal(actual, one, tolerance) for one in expected)
        case "root_of":
            return _is_root(actual, expected, tolerance or 0.0)
        case "as_list":
            return equal([*actual] if isinstance(actual, tuple) else actual, expected, tolerance)


def _is_root(x: Any, coefficients: list[float], tolerance: float) -> bool:
    try:
        return abs(sum(factor * math.pow(x, power) for power, factor in enumerate(coefficients))) <= tolerance
    except (TypeError, ValueError, OverflowError):  # no real number, or none whose powers can be had
        return False


def _close(actual: Any, expected: Any, tolerance: float) -> bool:
    if type(actual) is not type(expected) or (isinstance(expected, list | tuple) and len(actual) != len(expected)):
        return False
    if isinstance(expected, int | float | complex):
        return _near_numbers(actual, expected, tolerance)
    actual_shape, expected_shape = _shape(actual), _shape(expected)
    if actual_shape is None or expected_shape is None:
        return False
    depth = max(len(actual_shape), len(expected_shape))
    return _near(
        _nested(actual, depth - len(actual_shape)), _nested(expected, depth - len(expected_shape)), depth, tolerance
    )


def _shape(value: Any) -> _Shape | None:
    """The shape of nested lists as an array of numbers; None if they are none."""
    if isinstance(value, int):
        return () if value in _INTEGERS else None
    if isinstance(value, float | complex):
        return ()
    if not isinstance(value, list | tuple):
        return None
    shapes = {_shape(item) for item in value}
    if len(shapes) > 1 or None in shapes:
        return None
    return (len(value), *(shapes.pop() or () if shapes else ()))


def _nested(value: Any, times: int) -> Any:
    return _nested([value], times - 1) if times else value


def _near(actual: Any, expected: Any, depth: int, tolerance: float) -> bool:
    if not depth:
        return _near_numbers(actual, expected, tolerance)
    if len(actual) != len(expected):
        if 1 not in (len(actual), len(expected)):
            return False
        longest = 0 if 0 in (len(actual), len(expected)) else max(len(actual), len(expected))
        actual, expected = [*actual] * (longest // len(actual or [0])), [*expected] * (longest // len(expected or [0]))
    return all(_near(one, other, depth - 1, tolerance) for one, other in zip(actual, expected, strict=False))


def _near_numbers(actual: Any, expected: Any, tolerance: float) -> bool:
    if actual == expected:
        return True
    try:
        size = abs(expected)
        return math.isfinite(size) and abs(actual - expected) <= tolerance + _RELATIVE * size
    except OverflowError:  # an integer too large to be a float
        return False
