"""The computation of the metric `code_eval`: judge programs by tests, and estimate pass@k."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TypeAlias, TypedDict

from plum_hub.answers.checks import read_tests
from plum_hub.execution import Judge, Limits
from plum_hub.judging.inputs import SubmittedSuite
from plum_hub.judging.stream import Judgement, Submission, judge_submissions
from plum_hub.judging.stubs import refused_by_stubs
from plum_hub.passk import pass_at_k


class ProgramResult(TypedDict):
    """The result of one program, in the form of `code_eval`."""

    task_id: int
    """Position of the problem."""
    passed: bool
    result: str
    """`passed`, `timed out`, or `failed:` and the reason."""
    completion_id: int
    """Position of the program among those of the problem."""


Results: TypeAlias = dict[int, list[tuple[int, ProgramResult]]]
"""The results of each problem, by its position: pairs of a program's position and its result."""

_WALL_FACTOR = 10.0
"""Seconds of wall-clock time allowed for each second of CPU time. CPU time decides, so that no correct program fails on
a busy machine."""


def score(
    predictions: Sequence[Sequence[str | None]],
    references: Sequence[str],
    k: int | Sequence[int] = (1, 10, 100),
    *,
    workers: int = 4,
    timeout: float = 3.0,
) -> tuple[dict[str, float], Results]:
    """Judge programs and estimate pass@k.

    Args:
        predictions: The programs of each problem. None, an answer without a program, fails.
        references: The tests of each problem, as Python source.
        k: Value or values of k. Those larger than the number of programs of some problem are left out.
        workers: Programs that run at the same time.
        timeout: CPU seconds of a program.

    Returns:
        The mean pass@k over the problems for each k, and the result of each program.

    Raises:
        ValueError: A reference is not valid Python, or programs that solve nothing pass it; the message names its
            position.
        SandboxError: Programs cannot be run on this machine. This says nothing about them.
    """
    limits = Limits(cpu_seconds=timeout, wall_seconds=_WALL_FACTOR * timeout)
    suites = list(map(_suite, range(len(references)), references))
    results: Results = {task: [] for task in range(len(predictions))}
    texts = [text for group in (*predictions, references) for text in group if text]
    numpy, pandas = (any(name in text for text in texts) for name in ("numpy", "pandas"))
    with Judge(workers, numpy=numpy, pandas=pandas) as judge:
        for name, refusal in refused_by_stubs(suites, judge, limits).items():
            raise ValueError(f"references[{name}]: {refusal.detail}")
        for judgement in judge_submissions(_submissions(predictions, suites), judge, limits, frozenset()):
            task, completion = map(int, judgement.id.split(":"))
            results[task].append((completion, _result(task, completion, judgement)))
    for entries in results.values():
        entries.sort(key=lambda entry: entry[0])
    counts = [(len(entries), sum(entry["passed"] for _, entry in entries)) for entries in results.values()]
    return {
        f"pass@{number}": fmean(pass_at_k(samples, passed, number) for samples, passed in counts)
        for number in ([k] if isinstance(k, int) else k)
        if counts and all(samples >= number for samples, _ in counts)
    }, results


def _suite(task: int, reference: str) -> SubmittedSuite:
    try:
        cases = read_tests(reference)
    except ValueError as error:
        raise ValueError(f"references[{task}] {error}") from error
    return SubmittedSuite(id=str(task), entry_point="", cases=cases, where="")


def _submissions(predictions: Sequence[Sequence[str | None]], suites: Sequence[SubmittedSuite]) -> Iterator[Submission]:
    for programs, suite in zip(predictions, suites, strict=True):
        for completion, code in enumerate(programs):
            yield Submission(
                id=f"{suite.id}:{completion}", code=code, suite_id=suite.id, entry_point="", cases=suite.cases
            )


def _result(task: int, completion: int, judgement: Judgement) -> ProgramResult:
    words = {"passed": "passed", "timed_out": "timed out"}
    result = words.get(judgement.status, f"failed: {judgement.detail.removeprefix('failed: ')}")
    return {
        "task_id": task, "passed": judgement.status == "passed", "result": result, "completion_id": completion,
    }  # fmt: skip
