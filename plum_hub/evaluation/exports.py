"""Write an evaluation in the formats of EvalPlus (samples and eval_results.json) and LiveCodeBench."""

import ast
import json
from collections.abc import Iterator
from typing import Any

from plum_hub.benchmarks.livecodebench import formats as contest
from plum_hub.evaluation.folder import EvaluationFolder, SuiteVerdict
from plum_hub.evaluation.protocol import family
from plum_hub.evaluation.scoring import BenchmarkOutcomes, JudgedSample
from plum_hub.execution.base import Call, Case, CaseResult
from plum_hub.execution.literals import parse_literal

_STATUSES = {"passed": "pass", "timed_out": "timeout"}
"""EvalPlus' words; every other status is `fail`."""

_HASHES = {"humaneval+": "fe585eb4df8c88d844eeb463ea4d0302", "mbpp+": "ee43ecabebf20deef4bb776a405ac5b1"}
"""MD5 of the only versions of these files that are accepted; EvalPlus identifies them by it."""


def write_results(folder: EvaluationFolder, outcomes: BenchmarkOutcomes, date: str) -> Iterator[str]:
    """Write the files of one benchmark for other tools.

    Args:
        folder: The folder of the evaluation.
        outcomes: The results of the benchmark.
        date: When the evaluation began.

    Yields:
        The name of each file.

    Raises:
        RunError: A file cannot be written.
    """
    name = outcomes.chosen.name
    if family(name) == "livecodebench":
        samples = _graded(outcomes)
        problems = [problem for key, problem in outcomes.chosen.problems.items() if key in samples]
        contest.write_results(folder.path, name, problems, samples)
        yield from (f"{name}{ending}.json" for ending in ("", "_eval", "_eval_all"))
        return
    rows = ({"task_id": one.problem, "solution": one.code or ""} for one in outcomes.judged)
    folder.write(f"{name}_samples.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    folder.write(f"{name}_eval_results.json", json.dumps(_evalplus_results(outcomes, date)))
    yield from (f"{name}_samples.jsonl", f"{name}_eval_results.json")


def _evalplus_results(outcomes: BenchmarkOutcomes, date: str) -> dict[str, Any]:
    """Build EvalPlus' `eval_results.json`, under the official reading.

    If a benchmark has no plus cases, the plus fields are null and empty, as under `--base-only`. A sample that fails
    the base cases is not run on the others, and counts as failed there too, as in EvalPlus' scores.

    Args:
        outcomes: The results of the benchmark.
        date: When the evaluation began.

    Returns:
        The JSON object.
    """
    results: dict[str, list[dict[str, Any]]] = {}
    for one in outcomes.judged:
        row: dict[str, Any] = {"task_id": one.problem, "solution": one.code or ""}
        for measure in ("base", "plus"):
            verdict = one.verdicts.get(measure)
            status = None if measure not in outcomes.chosen.measures else "fail"
            row[f"{measure}_status"] = status if verdict is None else _STATUSES.get(verdict.status, "fail")
        for measure in ("base", "plus"):
            row[f"{measure}_fail_tests"] = _fail_tests(outcomes, one, measure)
        results.setdefault(one.problem, []).append(row)
    chosen = outcomes.chosen
    return {"date": date[:16].replace("T", " "), "hash": _HASHES.get(chosen.name, chosen.revision), "eval": results}


def _graded(outcomes: BenchmarkOutcomes) -> dict[str, list[contest.GradedSample]]:
    """Convert samples to the form of LiveCodeBench's files, under the official reading, each with its first failure."""
    rows: dict[str, list[contest.GradedSample]] = {}
    for one in outcomes.judged:
        verdict = one.verdicts["base"]
        cases = [CaseResult(outcome="passed")] * (verdict.failed[0] if verdict.failed else verdict.cases)
        if verdict.failed:
            cases.append(CaseResult(outcome=verdict.outcome, detail=verdict.detail))
        row = contest.GradedSample(answer=one.answer, program=one.code or "", cases=tuple(cases))
        rows.setdefault(one.problem, []).append(row)
    return rows


def _fail_tests(outcomes: BenchmarkOutcomes, one: JudgedSample, measure: str) -> list[Any]:
    """Return the arguments of the first failed case, where EvalPlus stops; nothing for a program that does not load."""
    verdict: SuiteVerdict | None = one.verdicts.get(measure)
    if verdict is None or not verdict.failed or verdict.status not in ("failed", "timed_out"):
        return []
    problem = outcomes.chosen.problems[one.problem]
    return arguments_of(problem.suites[measure][verdict.failed[0]], problem.entry_point)


def arguments_of(case: Case, entry_point: str | None) -> list[Any]:
    """Read the arguments of a case's call of the entry point, as EvalPlus writes them.

    An argument that is not a literal (`3 * 19`, `root`) is written as source: nothing is run to find its value.

    Args:
        case: The case, of any kind.
        entry_point: Name of the function.

    Returns:
        A list that holds the list of arguments; empty if the case is not such a call.
    """
    if not isinstance(case, Call):
        return []
    try:
        tree = ast.parse(case.expression)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # nested too deeply, or a number too long to parse
        return []
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    call = next((node for node in calls if isinstance(node.func, ast.Name) and node.func.id == entry_point), None)
    if call is None:
        return []
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    return [[_argument(argument, case.expression) for argument in arguments]]


def _argument(node: ast.expr, expression: str) -> Any:
    """Return the value of a literal as JSON, or else its source."""
    source = ast.get_source_segment(expression, node) or ""
    try:
        return _json(parse_literal(source))
    except (ValueError, RecursionError):
        return source


def _json(value: Any) -> Any:
    """Return a value as JSON; values that JSON lacks as their `repr`."""
    match value:
        case list() | tuple() | set() | frozenset():
            return [_json(item) for item in value]
        case dict():
            return {str(key): _json(item) for key, item in value.items()}
        case None | bool() | int() | float() | str():
            return value
    return repr(value)
