"""What EvalPlus 0.3.1 does with single tasks of HumanEval+ v0.1.10 and MBPP+ v0.2.0 beyond comparing outputs, as data.

JSON holds no tuples and complex numbers: MBPP+ stores what stands for them, and `restore_arguments` turns it back. The
rest says which tasks are compared otherwise, and how.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_Converter = Callable[[Any], Any]


def _identity(value: Any) -> Any:
    return value


def _list_of(turn: _Converter) -> _Converter:
    return lambda values: [turn(value) for value in values]


def _tuple_of(turn: _Converter) -> _Converter:
    return lambda values: tuple(turn(value) for value in values)


def _if_list(turn: _Converter) -> _Converter:
    return lambda value: turn(value) if isinstance(value, list) else value


def _all_tuples(value: Any) -> Any:
    return tuple(map(_all_tuples, value)) if isinstance(value, list) else value


_CONVERTERS: tuple[tuple[Iterable[int], tuple[_Converter, ...]], ...] = (
    ((2, 116, 132, 222, 261, 273, 394, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809),
     (tuple,)),
    ((63, 64, 70, 94, 120, 237, 272, 299, 409, 473, 614, 780), (_list_of(tuple),)),
    ((75, 413, 753), (_list_of(tuple), _identity)),
    ((106, 750), (_identity, tuple)),
    ((124,), (float, complex)),
    ((250, 405, 446, 720, 763, 808), (tuple, _identity)),
    ((252,), (complex,)),
    ((259, 445), (_tuple_of(tuple),)),
    ((278,), (_tuple_of(_if_list(tuple)),)),
    ((580, 615, 791), (_all_tuples,)),
    ((722,), (lambda values: {key: tuple(value) for key, value in values.items()}, _identity)),
)  # fmt: skip
"""Tasks of MBPP+, and what becomes of the arguments; the last of the turns is that of all further ones."""

_CONVERTERS_BY_TASK: Mapping[str, tuple[_Converter, ...]] = {
    f"Mbpp/{number}": turns for numbers, turns in _CONVERTERS for number in numbers
}


def restore_arguments(task: str, arguments: list[Any]) -> list[Any]:
    """The arguments of one call, as the task has them."""
    turns = _CONVERTERS_BY_TASK.get(task)
    if turns is None:
        return arguments
    return [turns[min(place, len(turns) - 1)](argument) for place, argument in enumerate(arguments)]


SET_TASKS = frozenset(f"Mbpp/{number}" for number in (2, 7, 111, 140, 232, 579, 769))
"""The order and the number of equal elements do not matter."""

EXISTENCE_TASKS = frozenset(f"Mbpp/{number}" for number in (737, 787, 794))
"""A bool counts as what it is, all else as whether it is not None: a match has no other value to compare."""

ROOT_TASKS = frozenset({"HumanEval/32"})
"""Asked for is any x at which the polynomial given is 0, within the tolerance."""


def _surface_area(base: float, height: float) -> int:
    """Of a square pyramid, where the reference reads `height` as the slant height."""
    return round(base**2 + 2 * base * math.hypot(base / 2, height))


def _distance_of_padded(one: int, other: int) -> int:
    """The sum of the differences of the digits, where the reference leaves out those that one number lacks."""
    width = max(len(str(one)), len(str(other)))
    pairs = zip(str(one).zfill(width), str(other).zfill(width), strict=True)
    return sum(abs(int(digit) - int(below)) for digit, below in pairs)


SECOND_READINGS: Mapping[str, Callable[..., Any]] = {"Mbpp/558": _distance_of_padded, "Mbpp/581": _surface_area}
"""The text can be read in two ways: what the other one gives is right too."""
