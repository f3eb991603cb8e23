"""Restore modules that test statements depend on, before each statement. Part of the inside of a jail.

A statement is judged in the process of the program that it tests: `assert Counter(f(x)) == Counter([1])` is only worth
as much as `Counter.__eq__`.
"""

import importlib
import inspect
import operator
import re
import sys
import types
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

_NAMES = frozenset({
    "bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq", "itertools",
    "json", "math", "operator", "pandas", "random", "re", "statistics", "string",
})  # fmt: skip
_PANDAS = ("pandas", "pandas.testing", "pandas._testing", "pandas._testing.asserters", "pandas.core.dtypes.missing")
"""What comparisons of pandas are made of. The last hold functions only."""
_PANDAS_CLASSES = frozenset({"DataFrame", "Series", "Index", "RangeIndex", "MultiIndex", "Timestamp", "Timedelta"})
_COMPARES = frozenset({"__eq__", "__ne__", "__getitem__", "__len__", "__iter__", "__contains__", "__bool__"})
_WORDS = re.compile(r"\w+")
_HEAP_TYPE = 1 << 9  # of `type.__flags__`: a class whose attributes can be set


class Module(NamedTuple):
    """A module as it was before any program ran: its names, and the mutable attributes of what they refer to."""

    name: str
    module: types.ModuleType
    names: tuple[tuple[str, Any], ...]
    settings: tuple[tuple[object, str, Any], ...]
    """Object, attribute and value."""


_KNOWN: dict[str, Module] = {}


def named(source: str) -> tuple[Module, ...]:
    """Import and remember the modules that a statement names. Must be called before any program runs in this process.

    Args:
        source: The statement.

    Returns:
        Those of the restorable modules whose names occur in it.
    """
    names = sorted(_NAMES.intersection(_WORDS.findall(source)))
    if "pandas" in names:
        names.remove("pandas")
        names += _PANDAS if "pandas" in sys.modules else ()
    for name in names:
        if name not in _KNOWN:
            _KNOWN[name] = _remembered(name)
    return tuple(_KNOWN[name] for name in names)


def restored(modules: Iterable[Module]) -> Iterator[object]:
    """Build an iterator that restores modules, using C code only, since the program may have changed ours.

    Args:
        modules: The modules to restore.

    Returns:
        An iterator with one element; requesting it restores them.
    """
    dicts = [sys.modules, *(vars(one.module) for one in modules)]
    items = [[(one.name, one.module) for one in modules], *(one.names for one in modules)]
    objects, attributes, values = [
        [setting[place] for one in modules for setting in one.settings] for place in range(3)
    ]
    steps = chain(map(operator.ior, dicts, items), map(setattr, objects, attributes, values))  # type: ignore[arg-type]
    return map(tuple, iter([steps]))


def _remembered(name: str) -> Module:
    module = importlib.import_module(name)
    names = tuple(vars(module).items())
    if name in _PANDAS:
        return Module(name, module, names, tuple(_pandas_settings(names)))
    own = [value for _, value in names if getattr(value, "__module__", None) == name]
    return Module(name, module, names, tuple(setting for value in own for setting in _settings(value)))


def _pandas_settings(names: Iterable[tuple[str, Any]]) -> Iterator[tuple[object, str, Any]]:
    """Yield the attributes of the functions, and of the main classes also those that they inherit.

    An inherited attribute is set on the class itself, where a program's would have come before it.
    """
    for name, value in names:
        function = value
        while isinstance(function, types.FunctionType):  # some are inside decorators
            yield from _settings(function)
            function = getattr(function, "__wrapped__", None)
        if isinstance(value, type) and name in _PANDAS_CLASSES:
            for attribute in dir(value):
                held = inspect.getattr_static(value, attribute)
                if (attribute[:2] != "__" or attribute in _COMPARES) and _can_be_set(value, attribute, held):
                    yield value, attribute, held
                    yield from _settings(held) if isinstance(held, types.FunctionType) else ()


def _settings(value: object) -> Iterator[tuple[object, str, Any]]:
    """Yield the attributes of a function or class that can be set, with their values."""
    if isinstance(value, types.FunctionType):
        for attribute in ("__code__", "__defaults__", "__kwdefaults__"):
            yield value, attribute, getattr(value, attribute)
    elif isinstance(value, type) and value.__flags__ & _HEAP_TYPE:
        for attribute, held in list(vars(value).items()):
            if _can_be_set(value, attribute, held):
                yield value, attribute, held
                yield from _settings(held) if isinstance(held, types.FunctionType) else ()


def _can_be_set(value: type, attribute: str, held: object) -> bool:
    try:
        setattr(value, attribute, held)
    except (AttributeError, TypeError):
        return False
    return True
