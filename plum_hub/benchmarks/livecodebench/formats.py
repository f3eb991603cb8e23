"""Read and write LiveCodeBench's own result files.

NAME.json            a list of objects: `question_id`, `output_list` (answers), `code_list` (their programs), ...
NAME_eval_all.json   the same with `graded_list` (whether each passed) and `pass@1`; its `compute_scores` reads this
NAME_eval.json       [pass@k overall and by problem, the results of the tests, the first error of each sample]
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from plum_hub.benchmarks.base import Problem
from plum_hub.errors import InstructionsError, UsageError
from plum_hub.execution.base import CaseResult
from plum_hub.files import write_whole
from plum_hub.instructions.cells import list_of
from plum_hub.instructions.file_kinds import DAMAGED, file_kind, opened
from plum_hub.instructions.local import find_local
from plum_hub.passk import pass_at_k

_T = TypeVar("_T")
_KS = (1, 5, 10, 20, 40, 50, 75, 100, 125, 150, 200, 500, 1000)
_CODES: dict[str, tuple[int, str]] = {
    "passed": (1, ""),
    "wrong": (-2, "Wrong Answer"),
    "timed_out": (-3, "Time Limit Exceeded"),
    "raised": (-4, "Runtime Error"),
    "not_run": (-4, "Error during testing"),
}
"""LiveCodeBench's numbers and messages for the outcome of a test."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """The generations for one problem.

    Attributes:
        question_id: Id of the problem.
        answers: The answers, "" where they are unknown.
        programs: The program in each answer.
        graded: Whether each program passed; None if the file does not contain it.
    """

    question_id: str
    answers: tuple[str, ...]
    programs: tuple[str, ...]
    graded: tuple[bool, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class GradedSample:
    """One sample with its results.

    Attributes:
        answer: The model's answer.
        program: The program in the answer.
        cases: Results of the cases in order; empty if there is no program.
    """

    answer: str
    program: str
    cases: tuple[CaseResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every case passed; False without a program."""
        return bool(self.cases) and all(case.outcome == "passed" for case in self.cases)


def read_outputs(path: Path) -> list[Output]:
    """Read the generations of a file, including those of a `_eval_all.json`.

    Args:
        path: The file.

    Returns:
        The generations in file order.

    Raises:
        UsageError: The file cannot be read, or a question occurs twice; the message names the element.
    """
    outputs: dict[str, Output] = {}
    for number, row in enumerate(_rows(path), 1):
        output = _output(row, f"{path}, element {number}")
        if output.question_id in outputs:
            raise UsageError(f"{path}, element {number}: question {output.question_id!r} is a duplicate: delete one")
        outputs[output.question_id] = output
    return list(outputs.values())


def _rows(path: Path) -> list[Any]:
    """Read an array of anything; each row of another kind of file."""
    try:
        if file_kind(path.name).format != "json":
            return [row for _, row in find_local(path).rows()]
        with opened(path) as file:
            rows = json.loads(file.read())
    except InstructionsError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error}): give LiveCodeBench's output") from error
    except (ValueError, RecursionError, *DAMAGED) as error:
        raise UsageError(f"{path} is not JSON in UTF-8, or is truncated ({error}): write it again") from error
    if not isinstance(rows, list):
        raise UsageError(f"{path} is not a JSON array: give LiveCodeBench's output, with question_id and code_list")
    return rows


def write_results(
    folder: Path, name: str, problems: Sequence[Problem], graded: Mapping[str, Sequence[GradedSample]]
) -> None:
    """Write the three files of an evaluation.

    Args:
        folder: The destination.
        name: LiveCodeBench's name of the evaluation, such as `Scenario.codegeneration_1_0.0`.
        problems: The problems, in the order in which they are written.
        graded: The samples by problem id; equally many for each.

    Raises:
        RunError: A file cannot be written.
    """
    rows = [_row(problem, graded[problem.id]) for problem in problems]
    graded_rows = [
        row | {"graded_list": passed, "pass@1": fmean(passed), "metadata": _metadata(graded[problem.id])}
        for row, problem in zip(rows, problems, strict=True)
        for passed in [[sample.passed for sample in graded[problem.id]]]
    ]
    results = {
        str(index): [_results(sample) for sample in graded[problem.id]] for index, problem in enumerate(problems)
    }
    metrics = [_metrics([row["graded_list"] for row in graded_rows]), results, [row["metadata"] for row in graded_rows]]
    for suffix, content in (("", rows), ("_eval", metrics), ("_eval_all", graded_rows)):
        write_whole(folder / f"{name}{suffix}.json", json.dumps(content, indent=4))


def _output(row: object, where: str) -> Output:
    if not isinstance(row, dict):
        raise UsageError(f"{where}: is not an object, and programs are not judged by position: add question_id")
    name, programs = row.get("question_id"), _all(row.get("code_list"), str)
    name = str(name) if isinstance(name, int) and not isinstance(name, bool) else name
    if not isinstance(name, str):
        raise UsageError(f"{where}: question_id must be a string: fix it")
    if "code_list" not in row:
        raise UsageError(f"{where}: has no code_list: add the programs of its answers")
    if programs is None:
        raise UsageError(f'{where}: code_list must be a list of strings: write "" for an answer without a program')
    answers = _all(row.get("output_list", [""] * len(programs)), str)
    graded = None if row.get("graded_list") is None else _all(row["graded_list"], bool)
    if answers is None or (graded is None and row.get("graded_list") is not None):
        raise UsageError(
            f"{where}: output_list must be a list of strings, graded_list a list of true and false: fix it"
        )
    if {len(programs), len(answers)} != {len(programs if graded is None else graded)}:
        raise UsageError(f"{where}: its lists have different lengths: fix it")
    return Output(question_id=name, answers=answers, programs=programs, graded=graded)


def _all(values: object, kind: type[_T]) -> tuple[_T, ...] | None:
    """Return the values if all of them have the type, else None."""
    values = list_of(values)
    if not isinstance(values, list):
        return None
    matching = tuple(value for value in values if isinstance(value, kind))
    return matching if len(matching) == len(values) else None


def _row(problem: Problem, samples: Sequence[GradedSample]) -> dict[str, Any]:
    tags = problem.tags
    return {
        "question_title": tags["title"],
        "question_content": problem.text,
        "platform": tags["platform"],
        "question_id": problem.id,
        "contest_id": tags["contest"],
        "contest_date": tags["date"],
        "starter_code": problem.starter_code,
        "difficulty": tags["difficulty"],
        "output_list": [sample.answer for sample in samples],
        "code_list": [sample.program for sample in samples],
    }


def _results(sample: GradedSample) -> list[int | bool]:
    """Return the result of each test up to the first failure, where LiveCodeBench stops."""
    results: list[int | bool] = []
    for case in sample.cases:
        results.append(case.outcome == "passed" or _CODES[case.outcome][0])
        if case.outcome != "passed":
            break
    return results or [_CODES["not_run"][0]]


def _metadata(samples: Sequence[GradedSample]) -> list[str]:
    """Return the first error of each sample as a JSON string."""
    metadata = []
    for sample in samples:
        case = next((case for case in sample.cases if case.outcome != "passed"), CaseResult(outcome="not_run"))
        code, message = _CODES[case.outcome]
        error = {} if sample.passed else {"error_code": code, "error_message": message, "error": case.detail}
        metadata.append(json.dumps(error))
    return metadata


def _metrics(graded: Sequence[Sequence[bool]]) -> dict[str, Any]:
    """Return pass@k overall and by problem, for each k for which every problem has enough samples."""
    detail = {
        f"pass@{k}": {str(index): pass_at_k(len(samples), sum(samples), k) for index, samples in enumerate(graded)}
        for k in _KS
        if all(len(samples) >= k for samples in graded)
    }
    return {name: fmean(values.values()) for name, values in detail.items()} | {"detail": detail}
