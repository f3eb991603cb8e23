"""What a benchmark's own solutions take on this machine, so that no fixed limit is too short for a right program.

HumanEval and MBPP have limits in seconds that their authors set on their own machines, and some of their own solutions
come near them: that of Mbpp/123 takes 4.1 s of CPU time on a slow core, where 3 s are given.
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
"""A limit is at least so many times what the solution takes, as in EvalPlus."""


def raise_limits(name: str, problems: Sequence[Problem], judge: Judge) -> list[Problem]:
    """Raise each fixed limit to a multiple of the CPU time that the benchmark's own solution takes here.

    What was measured once is kept in `$PLUM_HUB_HOME/benchmarks`, by machine. Problems whose suites have limits of
    their own, or that come without a solution, stay as they are.

    Args:
        name: the benchmark's.
        problems: those that are judged.
        judge: runs nothing else meanwhile.

    Raises:
        SandboxError: programs cannot be run here.
    """
    asked = {problem.id: problem for problem in problems if problem.reference and not problem.limits}
    seconds = _seconds(name, asked, judge) if asked else {}
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
    owed = (problem for id_, problem in problems.items() if keys[id_] not in known)
    # A solution that does not pass says nothing of how long a right one takes.
    fresh = {
        keys[done.id]: done.cpu_seconds if done.status == "passed" else 0.0 for done in judge.run(map(_program, owed))
    }
    if fresh:
        _write(path, _read(path) | fresh)
    return {id_: (known | fresh)[key] for id_, key in keys.items()}


def _program(problem: Problem) -> Program:
    return Program(
        id=problem.id,
        code=prepend_setup(problem.setup, problem.reference or ""),
        entry_point=problem.entry_point,
        cases=problem.cases("base"),
        limits=LIMITS,
    )


def _read(path: Path) -> dict[str, float]:
    """What is kept; nothing where it is damaged, since it can be measured anew."""
    try:
        return {str(key): float(value) for key, value in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(path: Path, found: Mapping[str, float]) -> None:
    write_whole(path, json.dumps(found, indent=0, sort_keys=True) + "\n")
