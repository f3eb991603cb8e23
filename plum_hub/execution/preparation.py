"""What a zygote does to its interpreter once, before any program runs. Part of the inside of a jail."""

import _imp
import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn


def seed_for_all() -> None:
    """Have no child draw a seed of its own: a program that draws lots gets the same verdict again."""
    register = os.register_at_fork
    vars(os)["register_at_fork"] = lambda **_hooks: None
    importlib.import_module("random").seed(0)
    vars(os)["register_at_fork"] = register


_HOLES: list[object] = []


def fill_holes() -> None:
    """Keep objects of every size, until those that imports left free between others are used up: what a child makes
    then lies on new pages, which cost a third of a page that it shares and has to copy."""
    _HOLES.extend(_fillings())


def _fillings() -> Iterator[object]:
    for size in range(48, 513, 16):
        yield _until_in_a_row(lambda size=size: bytes(size - 33), size)  # type: ignore[misc]
    yield _until_in_a_row(lambda: 1.5 + len(_HOLES), 32)
    yield _until_in_a_row(object, 16)
    for size in range(544, 4096, 128):
        yield [bytes(size) for _ in range(4)]


def _until_in_a_row(make: Callable[[], object], size: int) -> list[object]:
    """Objects of so many bytes, up to the first ten that lie close behind each other, and 5,000 at most."""
    made: list[object] = []
    row = last = 0
    while row < 10 and len(made) < 5000:
        made.append(make())
        row = row + 1 if 0 < id(made[-1]) - last <= 4 * size else 0
        last = id(made[-1])
    return made


def hide_internals() -> None:
    """Take away what would show a program the objects of the machinery below it: tracing could jump over a failed
    statement, the garbage collector would list the tokens, and a builtin module made anew would bring both back."""

    def nothing(*_arguments: object) -> list[object]:
        return []

    def no_trace(_function: object) -> None:
        return None

    def refuse(spec: Any) -> NoReturn:
        raise ImportError(f"{spec.name} is loaded already")

    vars(gc).update(get_objects=nothing, get_referrers=nothing, get_referents=nothing)
    vars(sys).update(settrace=no_trace, setprofile=no_trace)
    vars(_imp).update(create_builtin=refuse)
    vars(sys).pop("monitoring", None)  # from Python 3.12 on the other way to trace
    sys.modules.pop("sys.monitoring", None)
