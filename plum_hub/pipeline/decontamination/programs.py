"""Detect functions that are a benchmark's own solution under other names.

Their syntax trees are equal, without what does not run: comments, docstrings, other bare constants and annotations. The
function's own name and the names that it binds are numbered in order of appearance. Names from outside, attributes,
constants and the order of statements must be equal.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from plum_hub.answers.source import FunctionNode, parse, stored_names

_SKIPPED = frozenset({"annotation", "returns", "type_comment", "type_ignores", "type_params", "kind", "ctx"})


@dataclass(frozen=True)
class Function:
    """A function of a program. Its canonical form is computed when needed, since most differ in `shape`."""

    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.node.name

    @property
    def min_arguments(self) -> int:
        """Positional arguments that it requires."""
        return self._named - len(self.node.args.defaults)

    @property
    def max_arguments(self) -> int | None:
        """Positional arguments that it accepts; None for any number."""
        return None if self.node.args.vararg else self._named

    @cached_property
    def shape(self) -> tuple[object, ...]:
        """A cheap property that is equal for functions with equal canonical forms."""
        kinds = (
            ast.Assign if isinstance(item, ast.AnnAssign) else type(item) for item in _without_inert(self.node.body)
        )
        return self._named, *kinds

    @cached_property
    def canonical(self) -> str:
        """Text that is equal for functions that differ only in names and in what does not run.

        "" for a function nested too deeply to be written down; no benchmark has one.
        """
        try:
            return "".join(self._written.parts)
        except RecursionError:
            return ""

    @property
    def size(self) -> int:
        """Number of nodes in the canonical tree."""
        return self._written.size

    @cached_property
    def _written(self) -> "_Writer":
        return _Writer(self.node)

    @property
    def _named(self) -> int:
        return len(self.node.args.posonlyargs) + len(self.node.args.args)


def functions(code: str) -> Iterator[Function]:
    """Parse the functions at the top level of a program.

    Args:
        code: The program.

    Returns:
        The functions; none if the program does not parse.
    """
    tree = parse(code)
    return (Function(node) for node in (tree.body if tree is not None else ()) if isinstance(node, FunctionNode))


class _Writer:
    """Writes the tree of a function in one line."""

    def __init__(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.parts: list[str] = []
        self.size = 0
        self._names: dict[str, str | None] = dict.fromkeys(_bound(function))
        self._write(function)

    def _write(self, node: Any) -> None:
        match node:
            case ast.Name(id=name):
                self._count(f"${self._name(name)}")
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._write(ast.Assign(targets=[target], value=value))
            case ast.AST():
                self._count(f"({type(node).__name__}")
                for field, value in ast.iter_fields(node):
                    if field not in _SKIPPED and value is not None:
                        self._field(node, field, value)
                self.parts.append(")")
            case list():
                self.parts.append("[")
                for item in node:
                    self._write(item)
                self.parts.append("]")
            case _:
                self.parts.append(f" {node!r}")

    def _field(self, node: ast.AST, field: str, value: Any) -> None:
        if isinstance(value, str) and (
            field == "name" or (field == "arg" and isinstance(node, ast.arg))
        ):  # name of a function, class, caught exception or argument
            self.parts.append(f"${self._name(value)}")
        elif field in ("body", "orelse", "finalbody") and isinstance(value, list):
            self._write(_without_inert(value))
        else:
            self._write(value)

    def _count(self, text: str) -> None:
        self.parts.append(text)
        self.size += 1

    def _name(self, name: str) -> str:
        if name not in self._names:
            return name
        if (short := self._names[name]) is None:
            self._names[name] = short = str(sum(one is not None for one in self._names.values()))
        return short


def _bound(function: ast.AST) -> set[str]:
    """Return every name that the function binds, and its own; not those it imports."""
    bound = set()
    for node in ast.walk(function):
        match node:
            case ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                bound.add(name)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                bound |= stored_names(node)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                bound.add(name)
    return bound


def _without_inert(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return a body without docstrings, other bare constants and bare annotations."""
    return [
        item
        for item in body
        if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
        and not (isinstance(item, ast.AnnAssign) and item.value is None)
    ]
