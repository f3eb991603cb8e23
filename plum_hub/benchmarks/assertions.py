"""Convert test cases read from assertions to a sandbox's cases."""

from collections.abc import Iterable

from plum_hub.answers.division import divided
from plum_hub.execution.base import Call, Case
from plum_hub.records import TestCase


def to_cases(cases: Iterable[TestCase]) -> tuple[Case, ...]:
    """Convert calls and statements to a sandbox's cases.

    Args:
        cases: Cases of the kinds `call` and `statement`.

    Returns:
        The converted cases in the same order.
    """
    return tuple(map(_case, cases))


def _case(case: TestCase) -> Case:
    if case.kind == "call":
        return Call(expression=str(case.call), expected=str(case.expected), tolerance=case.tolerance)
    return divided(str(case.statement))
