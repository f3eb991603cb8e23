"""Places in a syntax tree."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from plum_hub.answers.source import loaded_names, stored_names

_NOT_RUN = {"annotation", "returns", "type_params", "decorator_list", "format_spec"}
"""Fields that a mutant leaves alone: types, decorators and formats of numbers."""
_IMPORTS = (ast.Import, ast.ImportFrom)
_LEFT_ALONE = (*_IMPORTS, ast.Global, ast.Nonlocal)


@dataclass(frozen=True)
class Site:
    """A node and where it hangs."""

    parent: ast.AST
    field: str
    index: int | None
    """Position in a list of nodes; None if the field holds one node."""
    node: ast.AST

    def source_with(self, new: ast.AST, root: ast.AST) -> str:
        """Write the source of the whole tree with another node here; the tree itself stays as it is.

        Args:
            new: The other node.
            root: The tree.

        Returns:
            Python source.
        """
        with self.holding(new):
            return ast.unparse(root)

    @contextmanager
    def holding(self, new: ast.AST) -> Iterator[None]:
        """Have another node here.

        Args:
            new: The other node.

        Yields:
            Nothing.
        """
        self._put(new)
        try:
            yield
        finally:
            self._put(self.node)

    def _put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def sites(root: ast.AST) -> Iterator[Site]:
    """Walk a tree in the order of its source, without what does not run: types, docstrings, imports.

    Args:
        root: The tree; the root itself is no site.

    Yields:
        The place of every node.
    """
    for field, value in ast.iter_fields(root):
        if field in _NOT_RUN:
            continue
        nodes = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, node in nodes:
            if isinstance(node, ast.AST) and not isinstance(node, _LEFT_ALONE) and not is_docstring(node):
                yield Site(root, field, index, node)
                yield from sites(node)


def is_docstring(node: ast.AST) -> bool:
    """Tell whether a statement is a string alone, which does nothing.

    Args:
        node: Any node.

    Returns:
        True if it is.
    """
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def reachable(tree: ast.Module, entry_point: str) -> list[ast.stmt]:
    """List the statements of a module that can decide what its entry point does.

    They are those that bind the entry point, and those that bind a name that one of them reads. Nothing else, such as a
    demonstration below the solution, can change the result of a call.

    Args:
        tree: The module.
        entry_point: Name of the function or class under test; "" for a script, all of which runs.

    Returns:
        Top-level statements in the order of the source, without imports.
    """
    statements = [statement for statement in tree.body if not isinstance(statement, _IMPORTS)]
    binding = {number: stored_names(statement) for number, statement in enumerate(statements)}
    found = {number for number, names in binding.items() if entry_point in names}
    if not found:  # a script, or an entry point that is bound in an unusual way
        return statements
    pending = sorted(found)
    while pending:
        read = loaded_names(statements[pending.pop()])
        new = {number for number, names in binding.items() if names & read} - found
        found |= new
        pending += sorted(new)
    return [statements[number] for number in sorted(found)]
