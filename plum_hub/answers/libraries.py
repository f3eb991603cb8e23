"""Let calls use pandas without the imports of their suite, so that the judge can compare what they give."""

import ast
from collections.abc import Iterable
from dataclasses import replace

from plum_hub.answers.plain import PANDAS_CHECKS
from plum_hub.answers.source import loaded_names, parse, stored_names, substitute
from plum_hub.execution.literals import expression_tree
from plum_hub.records import TestCase

_LIBRARIES = ("pandas", "numpy")


def with_own_imports(case: TestCase, imports: Iterable[ast.stmt]) -> TestCase:
    """Replace `pd` in a call by an expression that imports pandas, and `np` beside it by one that imports numpy.

    Args:
        case: A case; only a call that uses or expects pandas is changed.
        imports: The imports of the suite.

    Returns:
        The case. If it needs nothing but these libraries, it needs no import any more.
    """
    bound = {
        alias.asname or alias.name: alias.name
        for node in imports
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name in _LIBRARIES
    }
    used = {name for text in (case.call, case.expected) for name in _names(text)} & bound.keys()
    if case.call is None or "pandas" not in {bound[name] for name in used}:
        return case
    values = {name: ast.parse(f"__import__({bound[name]!r})", mode="eval").body for name in bound}
    return replace(case, call=ast.unparse(substitute(expression_tree(case.call), values)))


def are_pandas(imports: Iterable[ast.stmt]) -> bool:
    """Return whether imports bind only pandas, numpy and the assertions of pandas, which become plain cases.

    Args:
        imports: Statements.

    Returns:
        False if one binds anything else, or none is of pandas.
    """
    modules: set[str] = set()
    for node in imports:
        match node:
            case ast.Import(names=names) if all(alias.name in _LIBRARIES for alias in names):
                modules |= {alias.name for alias in names}
            case ast.ImportFrom(module="pandas.testing") if stored_names(node) <= {*PANDAS_CHECKS}:
                modules.add("pandas")
            case _:
                return False
    return "pandas" in modules


def _names(text: str | None) -> set[str]:
    tree = parse(text or "")
    return set() if tree is None else loaded_names(tree)
