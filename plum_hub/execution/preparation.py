"""Prepare a zygote's interpreter once, before any program runs. Part of the inside of a jail."""

import importlib
import os
from collections.abc import Callable, Iterator


def seed_for_all() -> None:
    """Seed `random` once for all children, so that a program that uses it gets the same verdict again."""
    register = os.register_at_fork
    vars(os)["register_at_fork"] = lambda **_hooks: None
    importlib.import_module("random").seed(0)
    vars(os)["register_at_fork"] = register


_HOLES: list[object] = []


def fill_holes() -> None:
    """Allocate objects of every size until the gaps that imports left are filled.

    A child's objects are then placed on new pages, which cost a third of a shared page that has to be copied.
    """
    _HOLES.extend(_fillings())


def _fillings() -> Iterator[object]:
    for size in range(48, 513, 16):
        yield _until_in_a_row(lambda size=size: bytes(size - 33), size)  # type: ignore[misc]
    yield _until_in_a_row(lambda: 1.5 + len(_HOLES), 32)
    yield _until_in_a_row(object, 16)
    for size in range(544, 4096, 128):
        yield [bytes(size) for _ in range(4)]


def _until_in_a_row(make: Callable[[], object], size: int) -> list[object]:
    """Create objects of `size` bytes until ten are adjacent in memory, at most 5,000."""
    made: list[object] = []
    row = last = 0
    while row < 10 and len(made) < 5000:
        made.append(make())
        row = row + 1 if 0 < id(made[-1]) - last <= 4 * size else 0
        last = id(made[-1])
    return made
