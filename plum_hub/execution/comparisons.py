"""The rules by which a value equals the expected one. Both sides are plain builtins, as in `literals`."""

import math
from typing import Any, TypeAlias

from plum_hub.execution.base import Comparison
from plum_hub.execution.closeness import AsLists, Closeness, accepts
from plum_hub.execution.literals import equal
from plum_hub.execution.narrow import Narrow

_RELATIVE = 1e-7
_INTEGERS = range(-(1 << 63), 1 << 64)
"""The integers that a numpy array stores as numbers."""

_Shape: TypeAlias = tuple[int, ...]


def agrees(actual: Any, expected: Any, tolerance: float | None, comparison: Comparison) -> bool:
    """Compare a value with the expected one.

    The comparisons are:

    - `equal`: `literals.equal` within the absolute tolerance.
    - `near`: `literals.equal`, with 1e-7 of the expected number added to the tolerance. Types and integers are exact.
    - `close`: Exactly equal; or of the same type and length and then, as arrays, each number within `tolerance` plus
      1e-7 of the expected one. This is the rule of EvalPlus, which does not look deeper: arrays do not tell lists from
      tuples, and one row is broadcast to as many as expected.
    - `any_of`: Equal, within the tolerance, to an element of the expected tuple.
    - `root_of`: A number at which the polynomial with the expected coefficients, that of x**0 first, is within the
      tolerance of 0.
    - `as_list`: Equal, where a tuple may replace a list, except inside another value.

    Args:
        actual: Made of plain builtins.
        expected: The expected value; a closeness decides by its own rule.
        tolerance: Absolute difference that numbers may have, those in `as_lists` too; None for 0.
        comparison: One of the rules above.

    Returns:
        Whether the value is accepted.
    """
    if isinstance(expected, AsLists):
        return expected.accepts(actual, tolerance)
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
    except (TypeError, ValueError, OverflowError):  # not a real number, or its powers overflow
        return False


def _close(actual: Any, expected: Any, tolerance: float) -> bool:
    actual = float(actual) if isinstance(actual, Narrow) else actual
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
    """Return the shape of nested lists as an array of numbers; None if they do not form one."""
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
    except OverflowError:  # an integer too large for a float
        return False
