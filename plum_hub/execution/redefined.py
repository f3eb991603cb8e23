"""Cases whose expected value names what a program defines itself: of a class `Fraction` of its own, `Fraction(1, 2)`.

The judge reads such a name as the standard library's or numpy's. Only the program knows what its own one is equal to,
so that these cases run whole, in its process.
"""

import ast
import symtable
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace

from plum_hub.execution.base import Call, Case, Program, Reinterpretation, Statement, Steps
from plum_hub.execution.cases import expected
from plum_hub.execution.closeness import Closeness

_READ = ("Fraction", "Decimal", "array", "nan", "inf")
"""Names that `literals` reads. Those of builtins are not among them, because it writes them too, for values."""
_NAMED: OrderedDict[int, tuple[tuple[Case, ...], frozenset[str]]] = OrderedDict()
"""The names in a suite's cases by identity, as in `cases`."""
_MAX_CACHED_SUITES = 1024


def with_redefined_names(program: Program) -> Program:
    """Let cases run whole whose expected value names what the program defines.

    Args:
        program: The program.

    Returns:
        The program with `Statement` for these cases; the same object if there are none.
    """
    names = _own(program.code, _named(program.cases))
    if not names:
        return program
    again = {case.case for case in program.cases if isinstance(case, Reinterpretation)}
    cases = (
        _whole(case) if number not in again and names & _names_of(case) else case
        for number, case in enumerate(program.cases)
    )
    return replace(program, cases=tuple(cases))


def _named(cases: tuple[Case, ...]) -> frozenset[str]:
    known = _NAMED.get(id(cases))
    if known is None or known[0] is not cases:
        known = (cases, frozenset().union(*map(_names_of, cases)))
        _NAMED[id(cases)] = known
        if len(_NAMED) > _MAX_CACHED_SUITES:
            _NAMED.popitem(last=False)
    return known[1]


def _names_of(case: Case) -> set[str]:
    match case:
        case Call(comparison="equal", tolerance=None, cpu_seconds=None):
            return _names_in(case.expected)
        case Steps():  # what it compares may be literals on both sides, of which no step is left
            return _names_in(case.source)
    return set()


def _names_in(source: str) -> set[str]:
    if not any(name in source for name in _READ):
        return set()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {*_READ}


def _own(code: str, names: frozenset[str]) -> set[str]:
    """Return those of the names that a program binds other than by an import."""
    if not any(name in code for name in names):
        return set()
    try:
        table = symtable.symtable(code, "<program>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return set()
    return {name for name in names & {*table.get_identifiers()} if table.lookup(name).is_assigned()}


def _whole(case: Case) -> Case:
    if isinstance(case, Steps):
        return Statement(source=case.source)
    assert isinstance(case, Call)
    with suppress(ValueError):
        if not isinstance(expected(case.expected)[0], Closeness):
            return Statement(source=f"assert ({case.expression}) == ({case.expected})")
    return case
