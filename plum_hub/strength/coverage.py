"""What a suite runs of its reference solution.

Usually a marked form of the reference is run: each statement is preceded by one that notes its number. Where that is
not possible there are probes: the reference with a `raise` put before one statement. If a case comes out differently,
the statement is run; nothing but the outcomes of cases needs to leave the sandbox. What is raised is no `Exception`, so
that the reference's own handlers let it through.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from plum_hub.answers.source import FunctionNode, parse
from plum_hub.strength.sites import is_docstring, reachable
from plum_hub.strength.steps import StepPlaces, counting

_RAISE = ast.parse("raise BaseException('probe')").body[0]
_UNCOUNTED = (ast.Global, ast.Nonlocal)
_LOADED = (*FunctionNode, ast.ClassDef, ast.Import, ast.ImportFrom)
"""Statements of a script that run whatever is read from its standard input."""
_Block: TypeAlias = list[ast.stmt]


@dataclass(frozen=True)
class Probes:
    """The places of a reference that are counted: each statement, then each branch without a statement of its own."""

    marked: str = ""
    """The reference with a statement `__marks__.add(3)` at each place, and its steps counted (`steps.py`)."""
    statements: int = 0
    """Number of statements."""
    lines: tuple[tuple[int, int], ...] = ()
    """First and last line of each statement."""
    branches: tuple[int, ...] = ()
    """For each branch, the number of the place that shows whether it is taken."""
    tree: ast.Module = field(default_factory=lambda: ast.Module(body=[], type_ignores=[]))
    """The reference."""
    places: tuple[tuple[_Block, int], ...] = ()
    """For each place, the list of statements and the position in it. An `else` that is not written is an empty list."""

    @property
    def codes(self) -> Iterator[str]:
        """Yield programs, one for each place: the reference that raises there."""
        for block, number in self.places:
            block.insert(number, _RAISE)
            try:
                yield ast.unparse(self.tree)
            finally:
                del block[number]

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
    places: list[tuple[_Block, int]] = []
    lines: list[tuple[int, int]] = []
    numbers: dict[int, int] = {}
    """Number of the place of a statement, by its identity."""
    for block in blocks:
        for number, statement in enumerate(block):
            if _is_counted(statement, at_top=block is tree.body):
                numbers[id(statement)] = len(places)
                places.append((block, number))
                lines.append((statement.lineno, statement.end_lineno or statement.lineno))
    statements, branches = len(places), list[int]()
    for body in (body for block in blocks for statement in block for body in _branches(statement)):
        place = next((numbers[id(one)] for one in body if id(one) in numbers), None)
        if place is None:
            place = len(places)
            places.append((body, 0))
        branches.append(place)
    return Probes(_marked(tree, places), statements, tuple(lines), tuple(branches), tree, tuple(places))


def _marked(tree: ast.Module, places: list[tuple[_Block, int]]) -> str:
    """Return the source with a mark at each place; the tree stays as it is."""
    before = [(block, [*block]) for block, _ in places]
    for place, (block, number) in sorted(enumerate(places), key=lambda one: -one[1][1]):  # the last of a block first
        block.insert(number, ast.parse(f"__marks__.add({place})").body[0])
    try:
        with counting(StepPlaces.of(tree)):
            return ast.unparse(tree)
    finally:
        for block, statements in before:
            block[:] = statements


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


def _branches(statement: ast.stmt) -> Iterator[_Block]:
    """Yield the branches of a statement; an empty one for an `else` that is not written."""
    if isinstance(statement, ast.If):
        yield statement.body
        yield statement.orelse
    elif isinstance(statement, ast.For | ast.AsyncFor | ast.While):
        yield statement.body
        if statement.orelse:
            yield statement.orelse
    elif isinstance(statement, ast.Try | ast.TryStar):
        yield from (handler.body for handler in statement.handlers)
    elif isinstance(statement, ast.Match):
        yield from (case.body for case in statement.cases)
