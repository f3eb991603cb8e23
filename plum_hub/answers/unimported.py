"""Import what tests and programs use and nobody imports.

People leave out the imports of a test. Whether it could run then depended on what the program under test imports.
"""

import ast
import importlib
from collections import Counter
from collections.abc import Iterable, Set

from plum_hub.answers.source import is_future, loads, missing_names, parse, unparse

_MODULES = (
    "bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq", "itertools",
    "json", "math", "operator", "random", "re", "statistics", "string",
)  # fmt: skip
_MEMBERS = {name: frozenset(dir(importlib.import_module(name))) for name in _MODULES}
_PACKAGES = {"np": "numpy", "numpy": "numpy", "pd": "pandas", "pandas": "pandas"}
_STARRED = ("operator", "math", "string", "bisect", "heapq", "itertools", "functools", "collections")
"""Modules of which contest sites import all, the last of equal names first."""
USUAL_NAMES = {
    **{name: module for module in _STARRED for name in _MEMBERS[module] if not name.startswith("_")},
    **dict.fromkeys(("List", "Dict", "Set", "Tuple", "Optional", "Any", "Union", "Callable", "Iterable"), "typing"),
    "Decimal": "decimal",
    "Fraction": "fractions",
}
"""Names that contest sites define for their programs, by module."""
USUAL_MODULES = frozenset(
    {"math", "re", "heapq", "bisect", "collections", "itertools", "functools", "random", "string"}
)
"""Modules that contest sites import for their programs."""
PLAIN_NAMES = frozenset({
    "Counter", "deque", "defaultdict", "OrderedDict", "Decimal", "Fraction", "sqrt", "ceil", "floor", "gcd",
    "inf", "pi",
})  # fmt: skip
"""Members that mean the same to everybody. Others, such as `compress`, may be a second function of the program."""


def usual_imports(missing: Set[str]) -> list[ast.stmt]:
    """Import what contest sites define.

    Args:
        missing: Names that nothing else defines, nor a program has to.

    Returns:
        Imports of those that are usual.
    """
    modules: list[ast.stmt] = [ast.Import([ast.alias(name)]) for name in sorted(missing & USUAL_MODULES)]
    members = sorted(missing & (USUAL_NAMES.keys() - USUAL_MODULES))
    return modules + [
        ast.ImportFrom(module, [ast.alias(name) for name in members if USUAL_NAMES[name] == module], 0)
        for module in sorted({USUAL_NAMES[name] for name in members})
    ]


def named_imports(statements: Iterable[ast.stmt], names: Set[str]) -> list[ast.stmt]:
    """Take from imports what binds some names.

    Args:
        statements: Statements, of which those that are no imports are left out.
        names: The names.

    Returns:
        Imports that bind nothing else.
    """
    found: list[ast.stmt] = []
    for node in statements:
        if isinstance(node, ast.Import | ast.ImportFrom):
            aliases = [one for one in node.names if (one.asname or one.name).split(".")[0] in names]
            found += [type(node)(**vars(node) | {"names": aliases})] if aliases else []
    return found


def with_imports(tree: ast.Module, imports: Iterable[ast.stmt]) -> str:
    """Put imports before a module, behind those of `__future__`.

    Args:
        tree: The module.
        imports: The imports.

    Returns:
        The source.
    """
    future = [node for node in tree.body if is_future(node)]
    return unparse([*future, *imports, *(node for node in tree.body if node not in future)])


def with_missing_imports(source: str, entry_point: str) -> str:
    """Import the modules of which tests use members without an import, and members that stand there alone.

    A member is imported only where each statement that uses it uses the entry point, too: else it might be what the
    program has to define.

    Args:
        source: Tests.
        entry_point: The name that the program must define; "" if unknown. It is never taken for a module.

    Returns:
        Source with the imports before it; unchanged where none is missing, or where it is no Python.
    """
    if (tree := parse(source)) is None or not (missing := missing_names(tree) - {entry_point}):
        return source
    imports: list[ast.stmt] = [ast.Import([ast.alias(name)]) for name in _MODULES if _is_module(name, tree, missing)]
    imports += [
        ast.Import([ast.alias(package, None if name == package else name)])
        for name, package in _PACKAGES.items()
        if name in missing and _members(name, tree) is not None
    ]
    if plain := missing & PLAIN_NAMES:
        imports += usual_imports(plain - _perhaps_tested(tree, entry_point))
    return with_imports(tree, imports) if imports else source


def _is_module(name: str, tree: ast.Module, missing: Set[str]) -> bool:
    used = _members(name, tree) if name in missing else None
    return used is not None and used <= _MEMBERS[name]


def _members(name: str, tree: ast.Module) -> set[str] | None:
    """Return the attributes of a name that are used; None if it is used otherwise, too."""
    nodes = list(ast.walk(tree))
    owned = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    used = [node.attr for node in owned if isinstance(node.value, ast.Name) and node.value.id == name]
    return set(used) if len(used) == sum(isinstance(node, ast.Name) and node.id == name for node in nodes) else None


def _perhaps_tested(tree: ast.Module, entry_point: str) -> set[str]:
    """Return names that may be a program's: used without the entry point, or called without arguments, as in
    `use(Counter())`."""
    nodes, tested = [*ast.walk(tree)], {entry_point, "candidate"}
    statements = (node for node in nodes if isinstance(node, ast.Assert | ast.Expr | ast.Assign))
    beside = [node for node in statements if tested & {*loads(node)}]
    alone = Counter(loads(tree))
    alone.subtract(name for node in beside for name in loads(node))
    given = (argument for node in nodes if isinstance(node, ast.Call) for argument in node.args)
    made = {ast.unparse(one.func) for one in given if isinstance(one, ast.Call) and not (one.args or one.keywords)}
    return {name for name, count in alone.items() if count} | made
