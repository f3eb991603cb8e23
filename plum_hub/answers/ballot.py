"""Which suites of one instruction can be compared: each reference can run the cases of the others."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from plum_hub.answers.source import FunctionNode, definitions, loaded_names, parse
from plum_hub.answers.suite import ParsedSuite
from plum_hub.records import TestCase, TestSuite

SuiteT = TypeVar("SuiteT", ParsedSuite, TestSuite)


@dataclass(frozen=True)
class Voter(Generic[SuiteT]):
    """A suite that may be compared with others.

    Attributes:
        place: Its position among the suites of the instruction.
        suite: The suite.
        form: `script`, `function` or `class`; None for a suite that cannot be compared.
        arguments: How many arguments the entry point takes; None if that is not known.
        others: Names of the reference that the cases use besides the entry point.
        names: Every name in the cases.
        bound: Those that the cases bind.
    """

    place: int
    suite: SuiteT
    form: str | None
    arguments: int | None
    others: frozenset[str]
    names: frozenset[str]
    bound: frozenset[str]


def largest_ballot(suites: Iterable[ParsedSuite]) -> list[Voter[ParsedSuite]]:
    """Find the largest group of comparable suites.

    Args:
        suites: Suites of one instruction.

    Returns:
        The group; of equally large ones that with the longest suite, then the earliest. Empty without suites.
    """
    ballots: list[list[Voter[ParsedSuite]]] = []
    for place, suite in enumerate(suites):
        voter = voter_of(place, suite)
        ballot = next((one for one in ballots if all(comparable(voter, other) for other in one)), None)
        if ballot is None:
            ballots.append([voter])
        else:
            ballot.append(voter)
    return max(ballots, key=lambda one: (len(one), max(len(voter.suite.cases) for voter in one)), default=[])


def voter_of(place: int, suite: SuiteT) -> Voter[SuiteT]:
    """Read what decides whether a suite can be compared with others.

    Args:
        place: Its position among the suites of the instruction.
        suite: The suite.

    Returns:
        The suite and what was read.
    """
    incomparable = Voter(place, suite, None, None, frozenset(), frozenset(), frozenset())
    if not suite.entry_point:
        return (
            replace(incomparable, form="script") if all(case.kind == "stdio" for case in suite.cases) else incomparable
        )
    reference = parse(suite.reference)
    trees = [parse(source_of(case)) for case in suite.cases if case.kind != "stdio"]
    defined = {} if reference is None else definitions(reference)
    entry = defined.get(suite.entry_point)
    if entry is None or len(trees) < len(suite.cases):
        return incomparable
    known = [tree for tree in trees if tree is not None]
    if len(known) < len(trees):
        return incomparable
    loaded = frozenset(name for tree in known for name in loaded_names(tree))
    bound = frozenset(name for tree in known for name in _bound(tree))
    own = {name for name, node in defined.items() if not isinstance(node, ast.Import | ast.ImportFrom)}
    return Voter(
        place=place,
        suite=suite,
        form="class" if isinstance(entry, ast.ClassDef) else "function",
        arguments=_arguments(entry),
        others=(loaded & own) - {suite.entry_point},
        names=loaded | bound,
        bound=bound,
    )


def _bound(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a tree binds in any scope."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        elif not isinstance(node, ast.keyword):
            values = (getattr(node, field, None) for field in ("arg", "name", "asname", "rest"))
            yield from (value for value in values if isinstance(value, str))


def _arguments(entry: ast.stmt) -> int | None:
    """Count the arguments of a function, or of a class's own constructor; None if they cannot be counted."""
    if isinstance(entry, ast.ClassDef):
        constructors = [node for node in entry.body if isinstance(node, FunctionNode) and node.name == "__init__"]
        if not constructors:
            return None if entry.bases or entry.decorator_list else 0
        count = _arguments(constructors[-1])
        return None if count is None else count - 1
    if not isinstance(entry, FunctionNode) or entry.args.vararg or entry.args.kwarg:
        return None
    return len([*entry.args.posonlyargs, *entry.args.args, *entry.args.kwonlyargs])


def comparable(one: Voter[SuiteT], other: Voter[SuiteT]) -> bool:
    """Tell whether each of two references can run the other's cases.

    Args:
        one: A suite.
        other: Another suite of the same instruction.

    Returns:
        True if they can, once the cases are `renamed`.
    """
    if one.form is None or one.form != other.form or one.others != other.others:
        return False
    mine, theirs = one.suite.entry_point, other.suite.entry_point
    if mine == theirs:
        return True
    can_rename = not ({mine} & (one.bound | other.names) or {theirs} & (other.bound | one.names))
    return can_rename and one.arguments is not None and one.arguments == other.arguments


def renamed(case: TestCase, old: str, new: str) -> TestCase:
    """Rename the entry point in a case.

    Args:
        case: A call or statement.
        old: The entry point.
        new: Its other name, which must not occur in the case yet; `comparable` sees to that.

    Returns:
        The case with the other name.
    """
    if old == new:
        return case
    tree = parse(source_of(case))
    assert tree is not None  # `voter_of` has parsed it
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = new
    source = ast.unparse(tree)
    return replace(case, call=source) if case.kind == "call" else replace(case, statement=f"{source}\n")


def source_of(case: TestCase) -> str:
    """Give the source of a case.

    Args:
        case: The case.

    Returns:
        A call or a statement; "" for a pair of input and output.
    """
    return case.call or case.statement or ""
