"""Import the modules that tests use and nobody imports.

People leave out the imports of a test. Whether it could run then depended on what the program under test imports.
"""

import ast
import importlib

from plum_hub.answers.source import is_future, missing_names, parse, unparse

_MODULES = (
    "bisect", "cmath", "collections", "copy", "decimal", "fractions", "functools", "heapq", "itertools", "json",
    "math", "operator", "random", "re", "statistics", "string",
)  # fmt: skip
_MEMBERS = {name: frozenset(dir(importlib.import_module(name))) for name in _MODULES}
_PACKAGES = {"np": "numpy", "numpy": "numpy", "pd": "pandas", "pandas": "pandas"}


def with_missing_imports(source: str, entry_point: str) -> str:
    """Import the modules of which tests use members without an import.

    Args:
        source: Tests.
        entry_point: The name that the program must define; "" if unknown. It is never taken for a module.

    Returns:
        Source with the imports before it; unchanged where none is missing, or where it is no Python.
    """
    if not any(f"{name}." in source for name in (*_MODULES, *_PACKAGES)) or (tree := parse(source)) is None:
        return source
    missing = missing_names(tree) - {entry_point}
    imports = [ast.Import([ast.alias(name)]) for name in _MODULES if name in missing and _is_module(name, tree)]
    imports += [
        ast.Import([ast.alias(package, None if name == package else name)])
        for name, package in _PACKAGES.items()
        if name in missing and _members(name, tree) is not None
    ]
    if not imports:
        return source
    future = [node for node in tree.body if is_future(node)]
    return unparse([*future, *imports, *(node for node in tree.body if node not in future)])


def _is_module(name: str, tree: ast.Module) -> bool:
    used = _members(name, tree)
    return used is not None and used <= _MEMBERS[name]


def _members(name: str, tree: ast.Module) -> set[str] | None:
    """Return the attributes of a name that are used; None if it is used otherwise, too."""
    nodes = list(ast.walk(tree))
    owned = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    used = [node.attr for node in owned if isinstance(node.value, ast.Name) and node.value.id == name]
    return set(used) if len(used) == sum(isinstance(node, ast.Name) and node.id == name for node in nodes) else None
