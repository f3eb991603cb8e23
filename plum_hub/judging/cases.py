"""From our records to what a sandbox runs: the one place where a suite's cases become a program's."""

from typing import Literal

from plum_hub.execution import Call, Execution, Limits, Program, Statement, Stdio
from plum_hub.execution.base import Case
from plum_hub.recipe import VerdictsConfig
from plum_hub.records import TestCase


def limits_of(config: VerdictsConfig) -> Limits:
    """The sandbox's limits under a recipe."""
    return Limits(
        cpu_seconds=config.cpu_seconds,
        wall_seconds=config.wall_seconds,
        memory_mb=config.memory_mb,
        output_kb=config.output_kb,
    )


def program(name: str, code: str, entry_point: str, cases: tuple[TestCase, ...], limits: Limits) -> Program:
    """A program to be judged by a suite's cases; `name` comes back with its execution."""
    return Program(id=name, code=code, entry_point=entry_point or None, cases=sandbox_cases(cases), limits=limits)


def sandbox_cases(cases: tuple[TestCase | Case, ...]) -> tuple[Case, ...]:
    """A suite's cases as a sandbox takes them; a benchmark has them so already."""
    return tuple(_case(case) if isinstance(case, TestCase) else case for case in cases)


def judged_at(case: TestCase | Case) -> Literal["outside", "inside"]:
    """Where a case is decided: a statement inside the program's own process, the others outside it."""
    statement = case.kind == "statement" if isinstance(case, TestCase) else isinstance(case, Statement)
    return "inside" if statement else "outside"


def _case(case: TestCase) -> Case:
    match case.kind:
        case "call":
            assert case.call is not None
            assert case.expected is not None
            return Call(expression=case.call, expected=case.expected, tolerance=case.tolerance)
        case "statement":
            assert case.statement is not None
            return Statement(source=case.statement)
        case "stdio":
            assert case.stdin is not None
            assert case.stdout is not None
            return Stdio(stdin=case.stdin, stdout=case.stdout)


def evidence(execution: Execution) -> str:
    """The first thing that went wrong, in one line."""
    for number, case in enumerate(execution.cases, 1):
        if case.outcome not in ("passed", "not_run"):
            return f"{execution.status}: case {number} {case.outcome}: {case.detail}"
    return f"{execution.status}: {execution.detail}"
