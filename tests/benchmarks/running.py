"""A problem's suites as programs, and what each suite comes to, by either rule."""

from collections.abc import Iterator

from plum_hub.benchmarks.base import Problem
from plum_hub.execution import Execution, Limits, Program
from plum_hub.execution.base import Reinterpretation


def programs(name: str, problem: Problem, code: str, limits: Limits) -> Iterator[Program]:
    """One for each suite that is run."""
    for suite, cases in problem.suites.items():
        if cases and not isinstance(cases[0], Reinterpretation):
            yield Program(
                id=f"{name}/{suite}",
                code=code,
                entry_point=problem.entry_point,
                cases=problem.cases(suite),
                limits=limits,
            )


def statuses(problem: Problem, done: Execution) -> dict[str, str]:
    """By suite."""
    suite = done.id.rpartition("/")[2]
    readings = [suite, f"{suite}:strict"] if problem.has_strict_reading(suite) else [suite]
    size = len(done.cases) // len(readings)
    found: dict[str, str] = {}
    for place, reading in enumerate(readings):
        passed = all(case.outcome == "passed" for case in done.cases[place * size : (place + 1) * size])
        found[reading] = done.status if done.status not in ("passed", "failed") else "passed" if passed else "failed"
    return found
