"""Write out what a test module names once and uses under that name: marks, checks of unittest, and annotations."""

import ast
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from plum_hub.answers.plain import CHECK_METHODS
from plum_hub.answers.source import FunctionNode, loaded_names, stored_names, substitute

_MARKS = ("pytest.mark.", "unittest.skip", "unittest.expectedFailure")
FRAMEWORKS = frozenset({"unittest", "pytest", "_pytest"})
_NodeT = TypeVar("_NodeT", bound=ast.stmt)


def without_aliases(statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Replace names of marks, and of checks, by what they stand for.

    Args:
        statements: The statements of a module, which name the frameworks as `pytest` and `unittest`.

    Returns:
        The statements, without the assignments that gave these names. A name that is bound twice stays.
    """
    found = _without(list(statements))
    return [_Functions().visit(node) for node in found]


class _Functions(ast.NodeTransformer):
    """Replaces the names inside functions."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._replaced(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._replaced(node)

    def _replaced(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.body = _without(node.body) or [ast.Pass()]
        return node


def _without(body: list[_NodeT]) -> list[ast.stmt]:
    """Replace in a body the names that it gives to marks and checks."""
    named = {name: value for node in body for name, value in _names(node) if _is_known(value)}
    if not named:
        return list(body)
    bound = Counter(name for node in body for name in _bound(node))
    values = {name: value for name, value in named.items() if bound[name] == 1}
    kept = [node for node in body if not ((pairs := _names(node)) and all(name in values for name, _ in pairs))]
    return [substitute(node, values) for node in kept]


def _bound(node: ast.stmt) -> Iterable[str]:
    """Return each name that a statement binds, in it or in functions inside it, as often as it does."""
    if isinstance(node, (*FunctionNode, ast.ClassDef)):
        return [node.name, *(name for item in node.body for name in stored_names(item))]
    stored = [item.id for item in ast.walk(node) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)]
    return stored or stored_names(node)


def _names(node: ast.stmt) -> list[tuple[str, ast.expr]]:
    """Return the names that an assignment gives, with their values."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name != "pytestmark":
            return [(name, value)]
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(values):
            return [(one.id, value) for one, value in zip(names, values, strict=True) if isinstance(one, ast.Name)]
    return []


def _is_known(value: ast.expr) -> bool:
    match value:
        case ast.Attribute(value=ast.Name() | ast.Call(), attr=name) if name in CHECK_METHODS:
            return True
    if isinstance(value, ast.List | ast.Tuple):
        return bool(value.elts) and all(map(_is_mark, value.elts))
    return _is_mark(value)


def _is_mark(value: ast.expr) -> bool:
    root = value
    while isinstance(root, ast.Attribute | ast.Call):
        root = root.func if isinstance(root, ast.Call) else root.value
    return isinstance(root, ast.Name) and root is not value and ast.unparse(value).startswith(_MARKS)


def with_quoted_annotations(statements: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Turn annotations that name a framework into texts, as `from __future__ import annotations` does.

    A sandbox has no frameworks, and no test depends on its annotations.

    Args:
        statements: The statements of a module, which name the frameworks as `pytest` and `unittest`; they are modified.

    Returns:
        The statements.
    """
    kept = list(statements)
    for node in (item for top in kept for item in ast.walk(top)):
        field = "returns" if isinstance(node, FunctionNode) else "annotation"
        annotation = getattr(node, field, None)
        if isinstance(annotation, ast.expr) and loaded_names(annotation) & FRAMEWORKS:
            setattr(node, field, ast.copy_location(ast.Constant(value=ast.unparse(annotation)), annotation))
    return kept
