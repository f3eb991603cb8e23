"""What the metric `code_eval` computes: programs against tests, and pass@k."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any, TypeAlias

from plum_hub.answers.checks import read_tests
from plum_hub.execution import Judge, Limits
from plum_hub.judging.stream import Judgement, Submission, judged
from plum_hub.passk import pass_at_k

Results: TypeAlias = dict[int, list[tuple[int, dict[str, Any]]]]
"""For each problem, by its position, its programs' positions and what happened to each: `task_id`, `passed`, `result`
(in words) and `completion_id`."""

_WALL_FACTOR = 10.0
"""Wall time allowed for each second of CPU time: CPU time decides, so that a busy machine fails no right program."""


def score(
    predictions: Sequence[Sequence[str]],
    references: Sequence[str],
    k: Sequence[int] = (1, 10, 100),
    *,
    workers: int = 4,
    timeout: float = 3.0,
) -> tuple[dict[str, float], Results]:
    """The mean pass@k over problems, for each k of which every problem has enough programs, and each program's result.

    Args:
        predictions: for each problem its programs.
        references: for each problem its tests, as Python.
        timeout: CPU seconds of a program.

    Raises:
        ValueError: a reference is not Python.
        SandboxError: programs cannot be run here. Says nothing about any of them.
    """
    limits = Limits(cpu_seconds=timeout, wall_seconds=_WALL_FACTOR * timeout)
    submissions = list(_submissions(predictions, references))
    results: Results = {task: [] for task in range(len(predictions))}
    numpy = any("numpy" in text for texts in (*predictions, references) for text in texts)
    with Judge(workers, numpy=numpy) as judge:
        for judgement in judged(submissions, judge, limits, frozenset()):
            task, completion = map(int, judgement.id.split(":"))
            results[task].append((completion, _result(task, completion, judgement)))
    for entries in results.values():
        entries.sort(key=lambda entry: entry[0])
    counts = [(len(entries), sum(entry["passed"] for _, entry in entries)) for entries in results.values()]
    return {
        f"pass@{number}": fmean(pass_at_k(samples, passed, number) for samples, passed in counts)
        for number in k
        if counts and all(samples >= number for samples, _ in counts)
    }, results


def _submissions(predictions: Sequence[Sequence[str]], references: Sequence[str]) -> Iterator[Submission]:
    for task, (programs, reference) in enumerate(zip(predictions, references, strict=True)):
        try:
            cases = read_tests(reference)
        except ValueError as error:
            raise ValueError(f"references[{task}] {error}") from error
        for completion, code in enumerate(programs):
            yield Submission(id=f"{task}:{completion}", code=code, suite_id=str(task), entry_point="", cases=cases)


def _result(task: int, completion: int, judgement: Judgement) -> dict[str, Any]:
    words = {"passed": "passed", "timed_out": "timed out"}
    result = words.get(judgement.status, f"failed: {judgement.detail.removeprefix('failed: ')}")
    return {
        "task_id": task, "passed": judgement.status == "passed", "result": result, "completion_id": completion,
    }  # fmt: skip
