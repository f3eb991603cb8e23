"""Special cases of EvalPlus 0.3.1 for single tasks of HumanEval+ v0.1.10 and MBPP+ v0.2.0, as data.

JSON has no tuples and complex numbers: MBPP+ stores substitutes, which `restore_arguments` converts back. The other
tables list the tasks whose outputs are compared differently.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_Converter = Callable[[Any], Any]


def _identity(value: Any) -> Any:
    return value


def _list_of(convert: _Converter) -> _Converter:
    return lambda values: [convert(value) for value in values]


def _tuple_of(convert: _Converter) -> _Converter:
    return lambda values: tuple(convert(value) for value in values)


def _if_list(convert: _Converter) -> _Converter:
    return lambda value: convert(value) if isinstance(value, list) else value


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
"""Tasks of MBPP+ and the converters of their arguments; the last converter also applies to all further arguments."""

_CONVERTERS_BY_TASK: Mapping[str, tuple[_Converter, ...]] = {
    f"Mbpp/{number}": turns for numbers, turns in _CONVERTERS for number in numbers
}


def restore_arguments(task: str, arguments: list[Any]) -> list[Any]:
    """Restore the arguments of one call from their JSON form.

    Args:
        task: Id of the task.
        arguments: The arguments as JSON values.

    Returns:
        The arguments with tuples and complex numbers restored.
    """
    converters = _CONVERTERS_BY_TASK.get(task)
    if converters is None:
        return arguments
    return [converters[min(index, len(converters) - 1)](argument) for index, argument in enumerate(arguments)]


SET_TASKS = frozenset(f"Mbpp/{number}" for number in (2, 7, 111, 140, 232, 579, 769))
"""The order and the repetition of elements do not matter."""

EXISTENCE_TASKS = frozenset(f"Mbpp/{number}" for number in (737, 787, 794))
"""A bool is compared as is; of any other value only whether it is None, because a match object has no comparable
value.
"""

ROOT_TASKS = frozenset({"HumanEval/32"})
"""Any x at which the given polynomial is 0, within the tolerance, is correct."""


def _surface_area(base: float, height: float) -> int:
    """Compute the surface area of a square pyramid; the reference takes `height` for the slant height."""
    return round(base**2 + 2 * base * math.hypot(base / 2, height))


def _distance_of_padded(first: int, second: int) -> int:
    """Sum the differences of the digits; the reference ignores digits that one of the numbers lacks."""
    width = max(len(str(first)), len(str(second)))
    pairs = zip(str(first).zfill(width), str(second).zfill(width), strict=True)
    return sum(abs(int(digit) - int(below)) for digit, below in pairs)


SECOND_READINGS: Mapping[str, Callable[..., Any]] = {"Mbpp/558": _distance_of_padded, "Mbpp/581": _surface_area}
"""The text has two readings; the result of the second one is also correct."""
