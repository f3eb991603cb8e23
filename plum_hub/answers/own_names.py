"""Keep functions of a suite's or a program's own apart from those of the libraries that checks are read by.

`approx`, `isclose` and the like are read as pytest's and `math`'s wherever they stand alone, as people leave out the
imports. A test module that defines or imports such a name from elsewhere means its own function, and a program whose
entry point has the name is called by it.
"""

import ast

from plum_hub.answers.plain import CLOSENESS_CALLS
from plum_hub.answers.source import DefinitionNode, FunctionNode, parse, unparse

_READ = frozenset({*CLOSENESS_CALLS, "isclose"})
_HOMES = frozenset({"pytest", "math", "pandas.testing"})


def with_own_names(source: str, entry_point: str) -> str:
    """Rename what tests define under the name of a library's check, and write calls of such an entry point otherwise.

    Args:
        source: Tests.
        entry_point: The name that the program must define; "" if unknown.

    Returns:
        Equivalent source; unchanged where there is no such name, or where it is no Python.
    """
    if not any(name in source for name in _READ) or (tree := parse(source)) is None:
        return source
    members = {id(node) for owner in ast.walk(tree) if isinstance(owner, ast.ClassDef) for node in _members(owner)}
    own = {name for node in ast.walk(tree) if id(node) not in members for name in _bound(node)} & _READ
    renamed = _Renamed(own, ({entry_point} - own) & _READ)
    return unparse(renamed.visit(tree).body) if renamed.names or renamed.tested else source


def _members(owner: ast.ClassDef) -> list[ast.AST]:
    """Return what gives a class its attributes, which are not found by their names alone."""
    members: list[ast.AST] = []
    for node in owner.body:
        members += [node] if isinstance(node, FunctionNode) else vars(node).get("targets", [])
    return members


def _bound(node: ast.AST) -> list[str]:
    """Return the names that a node binds to something else than the library's check."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            return [name]
        case ast.ImportFrom(module=module, names=names) if module not in _HOMES:
            return [alias.asname or alias.name for alias in names]
    return [node.name] if isinstance(node, DefinitionNode) else []


class _Renamed(ast.NodeTransformer):
    """Gives names an underscore, and hides the name of the function under test in `[approx][0]`."""

    def __init__(self, names: set[str], tested: set[str]) -> None:
        self.names = names
        self.tested = tested

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        names = {id(member): vars(member).get("name", vars(member).get("id")) for member in _members(node)}
        self.generic_visit(node)
        for member in _members(node):
            field = "name" if isinstance(member, FunctionNode) else "id"
            if names[id(member)] is not None:
                setattr(member, field, names[id(member)])
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field in ("id", "name", "arg") if not isinstance(node, ast.alias | ast.keyword) else ("asname",):
            if getattr(node, field, None) in self.names:
                setattr(node, field, self._other(getattr(node, field)))
        if isinstance(node, ast.alias) and node.asname is None and node.name in self.names:
            node.asname = self._other(node.name)
        if isinstance(node, ast.Global | ast.Nonlocal):
            node.names = [self._other(name) if name in self.names else name for name in node.names]
        if isinstance(node, ast.Name) and node.id in self.tested:
            held = ast.List(elts=[node], ctx=ast.Load())
            return ast.Subscript(value=held, slice=ast.Constant(value=0), ctx=ast.Load())
        return node

    @staticmethod
    def _other(name: str) -> str:
        return f"own_{name}"
