"""Measure a benchmark's own solutions on this machine, so that no fixed limit is too short for a correct program.

HumanEval and MBPP have limits in seconds that their authors chose on their own machines, and some of their own
solutions come close to them: the solution of Mbpp/123 takes 4.1 s of CPU time on a slow core, and the limit is 3 s.
"""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.references import LIMITS
from plum_hub.benchmarks.setup import prepend_setup
from plum_hub.execution import Judge, Program
from plum_hub.files import write_whole
from plum_hub.home import home
from plum_hub.records import digest

_LIMIT_FACTOR = 4
"""A limit is at least this multiple of the solution's CPU time, as in EvalPlus."""


def raise_limits(name: str, problems: Sequence[Problem], judge: Judge) -> list[Problem]:
    """Raise each fixed limit to a multiple of the CPU time that the benchmark's own solution takes on this machine.

    Measurements are cached in `$PLUM_HUB_HOME/benchmarks`, by machine. Problems that have limits per suite or no
    solution keep their limits.

    Args:
        name: The name of the benchmark.
        problems: The problems to be judged.
        judge: The judge, which must be idle.

    Returns:
        The problems in the same order, with their new limits.

    Raises:
        SandboxError: Programs cannot run here.
    """
    measured = {problem.id: problem for problem in problems if problem.reference and not problem.limits}
    seconds = _seconds(name, measured, judge) if measured else {}
    return [
        replace(
            problem,
            cpu_seconds=max(problem.cpu_seconds, float(math.ceil(_LIMIT_FACTOR * seconds.get(problem.id, 0.0)))),
        )
        for problem in problems
    ]


def _seconds(name: str, problems: Mapping[str, Problem], judge: Judge) -> dict[str, float]:
    path = home() / "benchmarks" / f"{name}-seconds.json"
    known, machine = _read(path), [platform.machine(), platform.node(), judge.harness_version]
    keys = {
        id_: digest(machine, _program(problem).code, [repr(case) for case in problem.suites["base"]])
        for id_, problem in problems.items()
    }
    unmeasured = (problem for id_, problem in problems.items() if keys[id_] not in known)
    # The time of a solution that does not pass says nothing about a correct one.
    new = {
        keys[execution.id]: execution.cpu_seconds if execution.status == "passed" else 0.0
        for execution in judge.run(map(_program, unmeasured))
    }
    if new:
        _write(path, _read(path) | new)
    return {id_: (known | new)[key] for id_, key in keys.items()}


def _program(problem: Problem) -> Program:
    return Program(
        id=problem.id,
        code=prepend_setup(problem.setup, problem.reference or ""),
        entry_point=problem.entry_point,
        cases=problem.cases("base"),
        limits=LIMITS,
    )


def _read(path: Path) -> dict[str, float]:
    """Return the cached measurements; none if the file is damaged, because they can be repeated."""
    try:
        return {str(key): float(value) for key, value in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(path: Path, seconds: Mapping[str, float]) -> None:
    write_whole(path, json.dumps(seconds, indent=0, sort_keys=True) + "\n")
