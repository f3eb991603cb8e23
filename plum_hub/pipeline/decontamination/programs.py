"""Whether a function is a benchmark's own solution under other names: equal syntax trees, without what does not run.

Left out are comments, docstrings, other bare constants and annotations; the function's own name and whatever it binds
go by the order in which they appear. Names from outside, attributes, constants and the order of statements stay.
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
    """A function of a program. Its tree is written down only when it is asked for, since most differ at a glance."""

    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def name(self) -> str:
        """What calls it."""
        return self.node.name

    @property
    def fewest(self) -> int:
        """Arguments that it must be given by position."""
        return self._named - len(self.node.args.defaults)

    @property
    def most(self) -> int | None:
        """Arguments that it may be given by position; None for any number."""
        return None if self.node.args.vararg else self._named

    @cached_property
    def glance(self) -> tuple[object, ...]:
        """Of functions with equal forms, this is equal too."""
        kinds = (ast.Assign if isinstance(item, ast.AnnAssign) else type(item) for item in _running(self.node.body))
        return self._named, *kinds

    @cached_property
    def form(self) -> str:
        """The same text for functions that are the same but for names and what does not run; "" for one nested too deep
        to be written down, which no benchmark has."""
        try:
            return "".join(self._written.parts)
        except RecursionError:
            return ""

    @property
    def size(self) -> int:
        """Nodes of the tree that `form` stands for."""
        return self._written.size

    @cached_property
    def _written(self) -> "_Writer":
        return _Writer(self.node)

    @property
    def _named(self) -> int:
        return len(self.node.args.posonlyargs) + len(self.node.args.args)


def functions(code: str) -> Iterator[Function]:
    """The functions at the top level of a program; none where it does not parse."""
    tree = parse(code)
    return (Function(node) for node in (tree.body if tree is not None else ()) if isinstance(node, FunctionNode))


class _Writer:
    """Writes a function's tree in one line."""

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
        ):  # of a function, class, caught exception or argument
            self.parts.append(f"${self._name(value)}")
        elif field in ("body", "orelse", "finalbody") and isinstance(value, list):
            self._write(_running(value))
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
    """Every name that the function binds anywhere inside, and its own; not what it imports."""
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


def _running(body: list[ast.stmt]) -> list[ast.stmt]:
    """A body without docstrings, other bare constants and mere announcements of a type."""
    return [
        item
        for item in body
        if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
        and not (isinstance(item, ast.AnnAssign) and item.value is None)
    ]
