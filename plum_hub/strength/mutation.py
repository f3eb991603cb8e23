"""Mutants: the reference solution of a suite with one small fault each."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from plum_hub.answers.source import parse
from plum_hub.strength.editing import EditedSource, SourceEditor
from plum_hub.strength.normal import NormalForms
from plum_hub.strength.operators import OPERATORS, OPERATORS_OF
from plum_hub.strength.sites import Site, reachable, sites
from plum_hub.strength.turns import in_turn

MOST = 20
"""Mutants of one suite, by default."""
_TOO_DEEP = (RecursionError, ValueError)
"""What the analysis of a source raises that is nested too deeply, or has an integer that is too long to print."""


@dataclass(frozen=True)
class Mutant:
    """A program with one fault."""

    operator: str
    """Name of the operator that made the fault (`operators.OPERATORS`)."""
    line: int
    """Line of the reference that has the fault, from 1."""
    code: str
    counting: str
    """The code with its steps counted (`steps.py`)."""


@dataclass(frozen=True)
class _Fault:
    """A fault that was not written as source yet."""

    operator: str
    site: Site
    new: ast.AST


def mutants(reference: str, entry_point: str, *, most: int = MOST, seed: str = "") -> list[Mutant]:
    """Make mutants of a reference solution.

    Only code that the entry point can reach by name is changed. Mutants that are equal to the reference, or to another
    mutant, once constants are folded and dead code is removed (`normal.NormalForms`), are left out. If there are more
    than `most`, they are drawn evenly from the operators. Equal arguments give equal mutants on every machine.

    Args:
        reference: Source of the solution.
        entry_point: Name of the function or class under test; "" for a script.
        most: Largest number of mutants.
        seed: Seed of the draw, such as the id of the suite.

    Returns:
        The mutants in the order of the draw, so that the first ones are such a draw too; none if it does not parse.
    """
    tree = parse(reference)
    if tree is None:
        return []
    try:
        found = _drawn(reference, tree, entry_point, most, seed)
    except _TOO_DEEP:
        return []
    return [Mutant(fault.operator, _line(fault.site), one.code, one.counting) for fault, one in found]


def _drawn(
    reference: str, tree: ast.Module, entry_point: str, most: int, seed: str
) -> list[tuple[_Fault, EditedSource]]:
    """Take faults of each operator in turn until there are enough distinct mutants."""
    forms, editor = NormalForms(tree), SourceEditor(reference, tree)
    seen, found = {forms.of()}, list[tuple[_Fault, EditedSource]]()
    for fault in _shuffled(tree, entry_point, seed):
        if len(found) >= most:
            break
        with fault.site.holding(fault.new):
            form = forms.of(fault.site.parent)
        if form not in seen and (edited := editor.with_node(fault.site, fault.new)) is not None:
            found.append((fault, edited))
        seen.add(form)
    return found


def _shuffled(tree: ast.Module, entry_point: str, seed: str) -> Iterator[_Fault]:
    """Return all faults: one of each operator, then another of each, in an order that the seed decides."""
    queues: list[list[_Fault]] = []
    for name, faults in _by_operator(tree, entry_point).items():
        Random(f"{seed} {name}").shuffle(faults)  # seeded by a text: not by its hash, which differs between processes
        queues.append(faults)
    return in_turn(queues)


def _by_operator(tree: ast.Module, entry_point: str) -> dict[str, list[_Fault]]:
    found: dict[str, list[_Fault]] = {name: [] for name in OPERATORS}
    within = {id(statement) for statement in reachable(tree, entry_point)}
    counts = False
    for site in sites(tree):
        if site.parent is tree:
            counts = id(site.node) in within
        for name, operator in OPERATORS_OF.get(type(site.node), ()) if counts else ():
            found[name] += [_Fault(name, site, new) for new in operator(site.node)]
    return found


def _line(site: Site) -> int:
    """Return the line of a site; a `for` of a comprehension and a slice have none of their own."""
    return int(getattr(site.node, "lineno", getattr(site.parent, "lineno", 1)))
