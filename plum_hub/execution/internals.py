"""What a zygote takes away from its interpreter before any program runs. Part of the inside of a jail.

Statements are proved by tokens that C iterators hold. Three things in Python lead to them: tracing (also through
`sys.monitoring`, and for all threads at once from Python 3.12 on), the garbage collector's queries, and a module with
either that is made anew: by its name, or out of the shared library of the interpreter (`PyInit_gc` is a symbol of it).
"""

import _functools  # type: ignore[import-not-found]
import _imp
import functools
import gc
import os
import sys
import types
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any, NoReturn

_TRACERS = ("settrace", "setprofile", "_settraceallthreads", "_setprofileallthreads")


def hide_internals(packages: str = "") -> None:
    """Take away what would show a program the objects of the machinery below it.

    Args:
        packages: a folder of packages whose extension modules programs may load, beside the standard library's.
    """

    def nothing(*_arguments: object) -> list[object]:
        return []

    def no_trace(_function: object) -> None:
        return None

    def refuse(spec: Any) -> NoReturn:
        raise ImportError(f"{spec.name} is loaded already")

    vars(gc).update(get_objects=nothing, get_referrers=nothing, get_referents=nothing)
    vars(sys).update({name: no_trace for name in _TRACERS if hasattr(sys, name)})
    vars(_imp).update(create_builtin=refuse, create_dynamic=_known_extensions(packages))
    if monitoring := vars(sys).get("monitoring"):  # from Python 3.12 on the other way to trace
        vars(sys)["monitoring"] = sys.modules["sys.monitoring"] = _deaf(monitoring)


def _deaf(monitoring: types.ModuleType) -> types.ModuleType:
    """A module like `sys.monitoring` that calls nobody, so that `cProfile` and its like do no harm but run."""
    deaf = types.ModuleType(monitoring.__name__)
    for name, value in vars(monitoring).items():
        if not callable(value):
            vars(deaf)[name] = value
        elif name in ("get_events", "get_local_events"):
            vars(deaf)[name] = lambda *_arguments: 0
        else:
            vars(deaf)[name] = lambda *_arguments: None
    return deaf


def _known_extensions(packages: str) -> Callable[..., types.ModuleType]:
    """What `_imp.create_dynamic` becomes: it loads the extension modules that are installed, each by its own name.

    The C function would make any module out of any shared library. Each file has a caller of its own, in C, that shows
    neither that function nor the name that it is called with; a `ModuleSpec` could be made to lie, which is a class in
    Python.
    """
    create = _imp.create_dynamic
    loaders = {}
    for name, path in _extensions(packages):
        known: Any = types.SimpleNamespace(name=name, origin=path)
        hidden: Any = _functools._lru_cache_wrapper
        loaders[name, path] = hidden(functools.partial(create, known), 0, False, tuple)

    def create_dynamic(spec: Any, _file: object = None) -> types.ModuleType:
        load = loaders.get((spec.name, spec.origin))
        if load is None:
            raise ImportError(f"{spec.name} is no extension module of this Python's", name=spec.name, path=spec.origin)
        made: types.ModuleType = load()
        return made

    return create_dynamic


def _extensions(packages: str) -> Iterator[tuple[str, str]]:
    """Name and path of each extension module that can be imported, as the path finder gives them."""
    for top in sys.path:
        for folder, _folders, files in os.walk(top) if top == packages else [(top, (), _files(top))]:
            inner = folder[len(top) + 1 :].replace("/", ".")
            for file in files:
                suffix = next((suffix for suffix in EXTENSION_SUFFIXES if file.endswith(suffix)), None)
                if suffix is not None:
                    name = file[: -len(suffix)]
                    yield f"{inner}.{name}" if inner else name, f"{folder}/{file}"


def _files(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []  # noqa: PTH112, PTH208  pathlib makes every fork dearer
