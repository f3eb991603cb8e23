"""Read pytest's parametrisations: which tests there are of one function, and with which arguments."""

import ast
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TypeVar

from plum_hub.answers.marks import marks_of
from plum_hub.answers.plain import called_name

_NodeT = TypeVar("_NodeT", bound=ast.AST)


@dataclass(frozen=True)
class Loop:
    """A loop around a test, as source."""

    target: str
    table: str


@dataclass(frozen=True)
class Variant:
    """A test of one function: with rows that have the same marks."""

    loops: tuple[Loop, ...] = ()
    """The outermost last."""
    arguments: tuple[tuple[str, str], ...] = ()
    """Parameters of the test, with the variable of a loop."""
    indirect: tuple[tuple[str, str], ...] = ()
    """Fixtures, with the variable of a loop that is their `request.param`."""
    marks: tuple[ast.expr, ...] = ()
    """Marks of the rows."""


def variants(decorators: Iterable[ast.expr], tables: Mapping[str, ast.expr]) -> list[Variant]:
    """Find the tests that the parametrisations of a function make.

    Args:
        decorators: All its decorators, and those of its class.
        tables: What the module binds names to, once and for all.

    Returns:
        The tests, one for each combination of marks of rows.

    Raises:
        ValueError: A parametrisation is not literal enough.
    """
    found = [Variant()]
    for decorator in decorators:
        if isinstance(decorator, ast.Call) and called_name(decorator.func) == "parametrize":
            found = [variant for before in found for variant in _parametrized(before, decorator, tables)]
    return found


def parametrized_fixture(name: str, params: ast.expr, before: Variant, tables: Mapping[str, ast.expr]) -> list[Variant]:
    """Find the tests that the parameters of a fixture make of one.

    Args:
        name: The fixture.
        params: The value of its `params`.
        before: The test.
        tables: As for `variants`.

    Returns:
        The tests.
    """
    variable = f"__{len(before.loops)}_0__"
    return [
        replace(
            before, loops=(*before.loops, Loop(variable, table)), indirect=(*before.indirect, (name, variable)),
            marks=(*before.marks, *marks),
        )
        for table, marks in _split(params, tables)
    ]  # fmt: skip


def _parametrized(before: Variant, call: ast.Call, tables: Mapping[str, ast.expr]) -> list[Variant]:
    words = {str(word.arg): word.value for word in call.keywords}
    given = [*call.args, *(words[name] for name in ("argnames", "argvalues") if name in words)]
    if len(given) < 2:
        raise ValueError(f"line {call.lineno}: parametrize has no names and values: write both")
    names = _names(given[0])
    variables = [f"__{len(before.loops)}_{index}__" for index in range(len(names))]
    several = len(names) > 1 or not isinstance(given[0], ast.Constant)
    target = "".join(f"{one}, " for one in variables) if several else variables[0]
    bound, indirect = dict(zip(names, variables, strict=True)), _indirect(words.get("indirect"), names)
    return [
        replace(
            before,
            loops=(*before.loops, Loop(target, table)),
            arguments=(*before.arguments, *((name, one) for name, one in bound.items() if name not in indirect)),
            indirect=(*before.indirect, *((name, bound[name]) for name in indirect)),
            marks=(*before.marks, *marks),
        )
        for table, marks in _split(given[1], tables)
    ]


def _names(names: ast.expr) -> list[str]:
    found: list[str] = []
    match names:
        case ast.Constant(value=str(text)):
            found = [name.strip() for name in text.split(",") if name.strip()]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            texts = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
            found = texts if len(texts) == len(items) else []
    if not found:
        raise ValueError(f"line {names.lineno}: parametrize has no literal names: write them as a string")
    return found


def _indirect(value: ast.expr | None, names: Sequence[str]) -> list[str]:
    match value:
        case None | ast.Constant(value=False):
            return []
        case ast.Constant(value=True):
            return list(names)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [str(item.value) for item in items if isinstance(item, ast.Constant)]
    raise ValueError(f"line {value.lineno}: parametrize has an indirect that is not literal: write it out")


def _split(table: ast.expr, tables: Mapping[str, ast.expr]) -> list[tuple[str, tuple[ast.expr, ...]]]:
    """Return the table, as source, divided into the rows without marks and each row with marks."""
    if isinstance(table, ast.Name) and any(map(_row_marks, getattr(tables.get(table.id), "elts", ()))):
        table = tables[table.id]
    marked: list[tuple[ast.expr, tuple[ast.expr, ...]]] = []
    parts: list[tuple[ast.expr, tuple[ast.expr, ...]]] = [(table, ())]
    if isinstance(table, ast.List | ast.Tuple):
        marked = [(row, marks) for row in table.elts if (marks := _row_marks(row))]
        rest = [row for row in table.elts if not _row_marks(row)]
        parts = [(ast.List(elts=rest, ctx=ast.Load()), ())] if rest or not marked else []
    elif any(_row_marks(node) for node in ast.walk(table) if isinstance(node, ast.expr)):
        raise ValueError(f"line {table.lineno}: marks of a pytest.param are not in a list of rows: write the rows out")
    parts += [(ast.List(elts=[row], ctx=ast.Load()), marks) for row, marks in marked]
    return [(ast.unparse(without_params(part)), marks) for part, marks in parts]


def _row_marks(row: ast.expr) -> tuple[ast.expr, ...]:
    match row:
        case ast.Call(func=ast.Attribute(attr="param"), keywords=words):
            return tuple(mark for word in words if word.arg == "marks" for mark in marks_of(word.value))
    return ()


def without_params(node: _NodeT) -> _NodeT:
    """Replace `pytest.param(1, 2, id="x")` by the row (1, 2) everywhere in a node.

    Args:
        node: An expression or statement; it is not modified.

    Returns:
        A copy.
    """
    found: _NodeT = _ParamRows().visit(deepcopy(node))
    return found


class _ParamRows(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Attribute(attr="param"), args=args):
                return args[0] if len(args) == 1 else ast.Tuple(elts=args, ctx=ast.Load())
        return node
