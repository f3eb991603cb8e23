"""What a suite runs of its reference solution, found out by probes.

A probe is the reference with a `raise` put before one statement. If a case comes out differently, the statement is run;
nothing but the outcomes of cases needs to leave the sandbox. What is raised is no `Exception`, so that the reference's
own handlers let it through.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from plum_hub.answers.source import FunctionNode, parse
from plum_hub.strength.sites import is_docstring, reachable

_RAISE = ast.parse("raise BaseException('probe')").body[0]
_UNCOUNTED = (ast.Global, ast.Nonlocal)
_LOADED = (*FunctionNode, ast.ClassDef, ast.Import, ast.ImportFrom)
"""Statements of a script that run whatever is read from its standard input."""
_Block: TypeAlias = list[ast.stmt]


@dataclass(frozen=True)
class Probes:
    """The probes of a reference."""

    codes: tuple[str, ...] = ()
    """Programs: one for each statement, then one for each branch without a statement of its own."""
    statements: int = 0
    """Number of statements."""
    lines: tuple[tuple[int, int], ...] = ()
    """First and last line of each statement."""
    branches: tuple[int, ...] = ()
    """For each branch, the position in `codes` of the probe that shows whether it is taken."""

    def statement_at(self, line: int) -> int | None:
        """Find the innermost statement on a line of the reference.

        Args:
            line: The line, from 1.

        Returns:
            Its number; None if no statement that is counted has the line.
        """
        found = [number for number, (first, last) in enumerate(self.lines) if first <= line <= last]
        return max(found, key=lambda number: self.lines[number][0], default=None)


def probes(reference: str, entry_point: str) -> Probes:
    """Make the probes of a reference solution.

    Counted are the statements in functions that the entry point can reach by name; of a script, all but imports and
    definitions. The branches are the bodies of `if`, `for`, `while`, `except` and `case`, and the `else` of an `if`,
    also where it is not written.

    Args:
        reference: Source of the solution.
        entry_point: Name of the function or class under test; "" for a script.

    Returns:
        The probes; none if the source does not parse.
    """
    tree = parse(reference)
    if tree is None:
        return Probes()
    try:
        return _probes(tree, list(_counted_blocks(tree, entry_point)))
    except (RecursionError, ValueError):  # nested too deeply, or an integer is too long to print
        return Probes()


def _probes(tree: ast.Module, blocks: list[_Block]) -> Probes:
    codes: list[str] = []
    lines: list[tuple[int, int]] = []
    places: dict[int, int] = {}
    """Position of the probe of a statement, by its identity."""
    for block in blocks:
        for number, statement in enumerate(block):
            if _is_counted(statement, at_top=block is tree.body):
                places[id(statement)] = len(codes)
                codes.append(_source_with_raise(tree, block, number))
                lines.append((statement.lineno, statement.end_lineno or statement.lineno))
    statements, branches = len(codes), list[int]()
    for owner, body in (pair for block in blocks for statement in block for pair in _branches(statement)):
        place = next((places[id(one)] for one in body if id(one) in places), None)
        if place is None:
            place = len(codes)
            codes.append(_source_with_raise(tree, body, 0) if body else _source_with_else(tree, owner))
        branches.append(place)
    return Probes(tuple(codes), statements, tuple(lines), tuple(branches))


def _counted_blocks(tree: ast.Module, entry_point: str) -> Iterator[_Block]:
    """Yield the lists of statements whose execution depends on the cases."""
    if not entry_point:
        yield tree.body
    for statement in reachable(tree, entry_point):
        yield from _blocks(statement, counted=not entry_point and not isinstance(statement, ast.ClassDef))


def _blocks(node: ast.AST, *, counted: bool) -> Iterator[_Block]:
    """Yield the lists of statements below a node; those outside of functions only if `counted`."""
    counted = counted or isinstance(node, FunctionNode)
    for _, value in ast.iter_fields(node):
        if not isinstance(value, list):
            continue
        if counted and value and isinstance(value[0], ast.stmt):
            yield value
        for inner in value:
            if isinstance(inner, ast.stmt | ast.ExceptHandler | ast.match_case):
                yield from _blocks(inner, counted=counted)


def _is_counted(statement: ast.stmt, *, at_top: bool) -> bool:
    if isinstance(statement, _UNCOUNTED) or is_docstring(statement):
        return False
    return not (at_top and isinstance(statement, _LOADED))


def _branches(statement: ast.stmt) -> Iterator[tuple[ast.stmt, _Block]]:
    """Yield the branches of a statement; an empty one for an `else` that is not written."""
    if isinstance(statement, ast.If):
        yield statement, statement.body
        yield statement, statement.orelse
    elif isinstance(statement, ast.For | ast.AsyncFor | ast.While):
        yield statement, statement.body
        if statement.orelse:
            yield statement, statement.orelse
    elif isinstance(statement, ast.Try | ast.TryStar):
        yield from ((statement, handler.body) for handler in statement.handlers)
    elif isinstance(statement, ast.Match):
        yield from ((statement, case.body) for case in statement.cases)


def _source_with_raise(tree: ast.Module, block: _Block, number: int) -> str:
    block.insert(number, _RAISE)
    try:
        return ast.unparse(tree)
    finally:
        del block[number]


def _source_with_else(tree: ast.Module, owner: ast.stmt) -> str:
    assert isinstance(owner, ast.If)
    owner.orelse = [_RAISE]
    try:
        return ast.unparse(tree)
    finally:
        owner.orelse = []
