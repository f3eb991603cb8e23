"""Remove what would expose the zygote's objects to programs. Runs inside a jail, before any program.

Statements are proved by tokens that only C iterators hold. Three features of Python lead to them: tracing (also through
`sys.monitoring`, and for all threads at once from Python 3.12), the queries of the garbage collector, and a second
instance of a module that has either: imported by name, or created from the interpreter's shared library (which exports
`PyInit_gc`).
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
    """Remove tracing, the collector's queries, and ways to import them again.

    Args:
        packages: Folder of packages whose extension modules programs may load, in addition to the standard library's.
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
    if monitoring := vars(sys).get("monitoring"):  # another way to trace, from Python 3.12
        vars(sys)["monitoring"] = sys.modules["sys.monitoring"] = _deaf(monitoring)


def _deaf(monitoring: types.ModuleType) -> types.ModuleType:
    """Return a module like `sys.monitoring` that never calls back, so that `cProfile` and similar run unharmed."""
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
    """Return a replacement for `_imp.create_dynamic` that loads only installed extension modules.

    The C function would create any module from any shared library. Here each file loads under its own name only,
    through its own caller, implemented in C, which exposes neither that function nor the name it passes. A `ModuleSpec`
    could be made to lie, since it is a Python class.
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
    """Yield name and path of each importable extension module, as the path finder gives them."""
    for top in sys.path:
        for folder, _folders, files in os.walk(top) if top == packages else [(top, (), _files(top))]:
            inner = folder[len(top) + 1 :].replace("/", ".")
            for file in files:
                suffix = next((suffix for suffix in EXTENSION_SUFFIXES if file.endswith(suffix)), None)
                if suffix is not None:
                    name = file[: -len(suffix)]
                    yield f"{inner}.{name}" if inner else name, f"{folder}/{file}"


def _files(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []  # noqa: PTH112, PTH208  pathlib makes forks slower
