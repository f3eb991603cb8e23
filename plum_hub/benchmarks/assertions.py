"""From test cases as they are read out of assertions to a sandbox's cases."""

from collections.abc import Iterable

from plum_hub.execution.base import Call, Case, Statement
from plum_hub.records import TestCase


def to_cases(cases: Iterable[TestCase]) -> tuple[Case, ...]:
    """The calls and statements, in order."""
    return tuple(map(_case, cases))


def _case(case: TestCase) -> Case:
    if case.kind == "call":
        return Call(expression=str(case.call), expected=str(case.expected), tolerance=case.tolerance)
    return Statement(source=str(case.statement))
