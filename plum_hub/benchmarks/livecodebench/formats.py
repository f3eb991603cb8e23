"""LiveCodeBench's own files: what was generated, and what came of it.

NAME.json            a list of objects: `question_id`, `output_list` (answers), `code_list` (their programs), ...
NAME_eval_all.json   the same with `graded_list` (whether each passed) and `pass@1`; its `compute_scores` reads this
NAME_eval.json       [pass@k of all and of each problem, the tests' results, what went wrong first]
"""

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from plum_hub.benchmarks.base import Problem
from plum_hub.errors import UsageError
from plum_hub.execution.base import CaseResult
from plum_hub.files import write_whole
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
"""LiveCodeBench's numbers for a test's result, and its words."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """What was generated for one problem: answers ("" where they are not known) and the programs in them."""

    question_id: str
    answers: tuple[str, ...]
    programs: tuple[str, ...]
    graded: tuple[bool, ...] | None = None
    """Whether each program passed, where the file says so."""


@dataclass(frozen=True, kw_only=True)
class GradedSample:
    """One sample and what came of it: the results of its cases, in order."""

    answer: str
    program: str
    cases: tuple[CaseResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every case passed; no program passes no case."""
        return bool(self.cases) and all(case.outcome == "passed" for case in self.cases)


def read_outputs(path: Path) -> list[Output]:
    """The generations of a file, in its order; also those of a `_eval_all.json`.

    Raises:
        UsageError: it cannot be read as such, or a question is there twice; it names the element.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = json.loads(content)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error}): give LiveCodeBench's output") from error
    except (ValueError, RecursionError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} is no JSON in UTF-8, or was cut off ({error}): write it again") from error
    if not isinstance(rows, list):
        raise UsageError(f"{path} is no JSON array: give LiveCodeBench's output, with question_id and code_list")
    outputs: dict[str, Output] = {}
    for number, row in enumerate(rows, 1):
        output = _output(row, f"{path}, element {number}")
        if output.question_id in outputs:
            raise UsageError(f"{path}, element {number}: question {output.question_id!r} is there already: delete one")
        outputs[output.question_id] = output
    return list(outputs.values())


def write_results(
    folder: Path, name: str, problems: Sequence[Problem], graded: Mapping[str, Sequence[GradedSample]]
) -> None:
    """Write the three files of an evaluation.

    Args:
        folder: where.
        name: what LiveCodeBench calls it, such as `Scenario.codegeneration_1_0.0`.
        problems: those that were asked, which are written in this order.
        graded: the samples of each, by its id; as many for each.

    Raises:
        RunError: a file cannot be written.
    """
    rows = [_row(problem, graded[problem.id]) for problem in problems]
    every = [
        row | {"graded_list": passed, "pass@1": fmean(passed), "metadata": _metadata(graded[problem.id])}
        for row, problem in zip(rows, problems, strict=True)
        for passed in [[sample.passed for sample in graded[problem.id]]]
    ]
    results = {
        str(place): [_results(sample) for sample in graded[problem.id]] for place, problem in enumerate(problems)
    }
    metrics = [_metrics([row["graded_list"] for row in every]), results, [row["metadata"] for row in every]]
    for suffix, content in (("", rows), ("_eval", metrics), ("_eval_all", every)):
        write_whole(folder / f"{name}{suffix}.json", json.dumps(content, indent=4))


def _output(row: object, where: str) -> Output:
    if not isinstance(row, dict):
        raise UsageError(f"{where}: is no object, and by its position alone nothing is judged: add question_id")
    name, programs = row.get("question_id"), _all(row.get("code_list"), str)
    if not isinstance(name, str) or programs is None:
        raise UsageError(f"{where}: question_id is to be text, and code_list a list of texts: mend it")
    answers = _all(row.get("output_list", [""] * len(programs)), str)
    graded = None if row.get("graded_list") is None else _all(row["graded_list"], bool)
    if answers is None or (graded is None and row.get("graded_list") is not None):
        raise UsageError(f"{where}: output_list is to be a list of texts, graded_list of true and false: mend it")
    if {len(programs), len(answers)} != {len(programs if graded is None else graded)}:
        raise UsageError(f"{where}: its lists are of different lengths: mend it")
    return Output(question_id=name, answers=answers, programs=programs, graded=graded)


def _all(values: object, kind: type[_T]) -> tuple[_T, ...] | None:
    """The values, if that is what all are."""
    if not isinstance(values, list):
        return None
    found = tuple(value for value in values if isinstance(value, kind))
    return found if len(found) == len(values) else None


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
    """Of each test up to the first that failed, where LiveCodeBench stops."""
    found: list[int | bool] = []
    for case in sample.cases:
        found.append(case.outcome == "passed" or _CODES[case.outcome][0])
        if case.outcome != "passed":
            break
    return found or [_CODES["not_run"][0]]


def _metadata(samples: Sequence[GradedSample]) -> list[str]:
    """What went wrong first in each sample, as JSON in JSON."""
    said = []
    for sample in samples:
        case = next((case for case in sample.cases if case.outcome != "passed"), CaseResult(outcome="not_run"))
        code, message = _CODES[case.outcome]
        told = {} if sample.passed else {"error_code": code, "error_message": message, "error": case.detail}
        said.append(json.dumps(told))
    return said


def _metrics(graded: Sequence[Sequence[bool]]) -> dict[str, Any]:
    """pass@k of all, and of each problem by its place, for each k that all have samples for."""
    detail = {
        f"pass@{k}": {str(place): pass_at_k(len(one), sum(one), k) for place, one in enumerate(graded)}
        for k in _KS
        if all(len(one) >= k for one in graded)
    }
    return {name: fmean(values.values()) for name, values in detail.items()} | {"detail": detail}
