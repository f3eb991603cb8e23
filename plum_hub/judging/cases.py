"""Convert suites to what a sandbox runs: the only place where the cases of a suite become those of a program."""

from typing import Literal

from plum_hub.answers.division import divided
from plum_hub.execution import Call, Execution, Judge, Limits, Program, Statement, Stdio
from plum_hub.execution.base import Case
from plum_hub.recipe import VerdictsConfig
from plum_hub.records import TestCase


def limits_of(config: VerdictsConfig) -> Limits:
    """Convert the limits of a recipe to those of a sandbox.

    Args:
        config: The section of the recipe.

    Returns:
        The limits of one program.
    """
    return Limits(
        cpu_seconds=config.cpu_seconds,
        wall_seconds=config.wall_seconds,
        memory_mb=config.memory_mb,
        output_kb=config.output_kb,
    )


def judge_of(config: VerdictsConfig, workers: int | None = None) -> Judge:
    """Make the judge that a recipe asks for.

    Args:
        config: The section of the recipe.
        workers: Programs that run at a time; one per core if not set.

    Returns:
        The judge, with nothing started.

    Raises:
        SandboxError: The sandbox does not have the packages that programs may use.
    """
    return Judge(workers, sandbox=config.sandbox, numpy=config.numpy, pandas=config.pandas)


def program(name: str, code: str, entry_point: str, cases: tuple[TestCase, ...], limits: Limits) -> Program:
    """Build a program that is judged by the cases of a suite.

    Args:
        name: Id of the program, which its execution repeats.
        code: Source code.
        entry_point: Name of the function or class under test; "" for a script.
        cases: The cases.
        limits: What the program may use.

    Returns:
        The program.
    """
    return Program(id=name, code=code, entry_point=entry_point or None, cases=sandbox_cases(cases), limits=limits)


def sandbox_cases(cases: tuple[TestCase | Case, ...]) -> tuple[Case, ...]:
    """Convert the cases of a suite. Cases of benchmarks are in the sandbox's form already.

    Args:
        cases: The cases.

    Returns:
        The cases, in the same order.
    """
    return tuple(_case(case) if isinstance(case, TestCase) else case for case in cases)


def judged_at(case: TestCase | Case) -> Literal["outside", "inside"]:
    """Tell where a case is decided.

    Args:
        case: The case.

    Returns:
        `inside` the program's own process for a statement that could not be taken apart, otherwise `outside`.
    """
    return "inside" if isinstance(_case(case) if isinstance(case, TestCase) else case, Statement) else "outside"


def _case(case: TestCase) -> Case:
    match case.kind:
        case "call":
            assert case.call is not None
            assert case.expected is not None
            return Call(expression=case.call, expected=case.expected, tolerance=case.tolerance)
        case "statement":
            assert case.statement is not None
            return divided(case.statement)
        case "stdio":
            assert case.stdin is not None
            assert case.stdout is not None
            return Stdio(stdin=case.stdin, stdout=case.stdout)


def evidence(execution: Execution) -> str:
    """Describe the first failure of an execution.

    Args:
        execution: An execution that did not pass.

    Returns:
        One line.
    """
    for number, case in enumerate(execution.cases, 1):
        if case.outcome not in ("passed", "not_run"):
            return f"{execution.status}: case {number} {case.outcome}: {case.detail}"
    return f"{execution.status}: {execution.detail}"
