"""Find suites that no program can fail, by programs that solve nothing.

What a suite checks cannot be told from its text alone: a test may be called where its failure is only printed, a check
may lie behind a `yield`, the name under test may be bound again. So a suite is run twice: with a program that raises
whatever is called, and with one that returns a new object, equal to nothing. Both can pass a suite only if nothing
looks at what a program gives: one that expects an error fails the second, any other fails the first.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from plum_hub.answers.fixtures import STAND_INS
from plum_hub.answers.source import missing_names, parse
from plum_hub.execution import Judge, Limits, Program
from plum_hub.execution.plain_literals import NotPlainError, plain_call
from plum_hub.judging.cases import program
from plum_hub.judging.inputs import RefusedSuite, SubmittedSuite
from plum_hub.records import TestCase

_RAISES = "def {0}(*arguments, **named):\n    raise AssertionError('a stub')\n"
"""Raises what a failed check raises, since that is what a test may catch and forget."""
_FRESH = """class __Fresh__:
    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return __Fresh__()
    def __call__(self, *arguments, **named):
        return __Fresh__()
"""
_RETURNS = "def {0}(*arguments, **named):\n    return __Fresh__()\n"
_WHY = (
    "a program that raises on every call passes it, and so does one that returns a new object, so that no check of "
    "what the program gives is reached: fix the tests, or remove the suite"
)


def refused_by_stubs(suites: Iterable[SubmittedSuite], judge: Judge, limits: Limits) -> dict[str, RefusedSuite]:
    """Run the suites that might check nothing with programs that solve nothing.

    A suite of calls with plain arguments is not run, since the judge compares what they give.

    Args:
        suites: The suites.
        judge: Runs the programs.
        limits: Limits of a program.

    Returns:
        The refusals, without file and line, by `SubmittedSuite.id`.

    Raises:
        SandboxError: The sandbox failed. Nothing was decided about any suite (law 1).
    """
    asked = {one.id: one for one in suites if _may_check_nothing(one.cases)}
    for head, function in (("", _RAISES), (_FRESH, _RETURNS)):
        passed = {done.id for done in judge.run(_programs(asked, head, function, limits)) if done.status == "passed"}
        asked = {name: one for name, one in asked.items() if name in passed}
    return {name: RefusedSuite(reason="cannot_fail", detail=_WHY) for name in asked}


def _may_check_nothing(cases: Sequence[TestCase]) -> bool:
    kinds = {case.kind for case in cases}
    return "stdio" not in kinds and not (kinds == {"call"} and any(map(_is_plain, cases)))


def _is_plain(case: TestCase) -> bool:
    try:
        plain_call(str(case.call))
    except NotPlainError:
        return False
    return True


def _programs(suites: Mapping[str, SubmittedSuite], head: str, function: str, limits: Limits) -> Iterator[Program]:
    for name, suite in suites.items():
        code = head + "".join(map(function.format, sorted(_names(suite))))
        yield replace(program(name, code, suite.entry_point, suite.cases, limits), decisive=True)


def _names(suite: SubmittedSuite) -> set[str]:
    """Return the names that a program must define: the one under test, and those that its tests do not."""
    trees = [parse(case.statement or case.call or "") for case in suite.cases]
    body = [node for tree in trees if tree is not None for node in tree.body]
    missing = missing_names(ast.Module(body=body, type_ignores=[]))
    entry_point = {suite.entry_point} if suite.entry_point else set()
    return entry_point | {name for name in missing - sys.stdlib_module_names - {STAND_INS} if name[:2] != "__"}
