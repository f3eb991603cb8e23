"""Every canonical solution, as an answer under every prompt form: what is judged is the solution, or runs as well."""

import ast
import gzip
import json
from collections.abc import Iterator

import pytest

from plum_hub.answers.source import definitions, parse
from plum_hub.benchmarks import load
from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.setup import prepend_setup
from plum_hub.evaluation.protocol import PromptStyle, Protocol, judged_code, problem_prompt
from plum_hub.execution import Judge, Limits
from tests.benchmarks.cut import DATA, needs_data
from tests.benchmarks.running import programs, statuses

pytestmark = [pytest.mark.shared, needs_data]

FILES = {
    "humaneval": ("humaneval/HumanEval.jsonl.gz", 164),
    "humaneval+": ("evalplus/HumanEvalPlus.jsonl.gz", 164),
    "mbpp": ("mbpp/mbpp.jsonl.gz", 974),
    "mbpp-sanitized": ("mbpp/sanitized-mbpp.json.gz", 427),
    "mbpp+": ("evalplus/MbppPlus.jsonl.gz", 378),
}
FORMS: tuple[PromptStyle, ...] = ("chat", "prefilled", "completion", "given")


def problems(name: str) -> Iterator[Problem]:
    """Those of EvalPlus without its inputs, which are literals: its tests use no name but the entry point."""
    file = DATA / FILES[name][0]
    if not name.endswith("+"):
        yield from load(name, source=file).problems()
        return
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            begun = row["prompt"] if name == "humaneval+" else ""
            yield Problem(
                id=row["task_id"],
                text=row["prompt"],
                kind="completion",
                entry_point=row["entry_point"],
                suites={"base": ()},
                cpu_seconds=1.0,
                reference=begun + row["canonical_solution"],
            )


def answered(name: str, problem: Problem, form: PromptStyle) -> str:
    """What is judged of the canonical solution, written as a model writes under a prompt form."""
    reference = problem.reference or ""
    protocol = Protocol(prompt=form, examples="kept" if form == "given" else "removed")
    if form == "given":
        return judged_code(reference, name, problem, protocol)
    asked = problem_prompt(name, problem, protocol)
    text = f"<think>\nHm.\n</think>\n\nHere it is:\n\n```python\n{reference}\n```\nIt works."
    if form == "prefilled":
        text = reference.rstrip() + "\n```\nIt works."
    elif form == "completion":
        text = reference.removeprefix(problem.text)
    ends = [text.index(stop) for stop in asked.sampling.stop if stop in text[1:]] if form != "chat" else []
    code = asked.program(text[: min(ends, default=len(text))], problem.entry_point)
    assert code is not None, problem.id
    return judged_code(code, name, problem, protocol)


def _tree(code: str) -> ast.Module:
    tree = parse(code)  # says nothing of the escapes in some solutions
    assert tree is not None
    return tree


def lost(judged: str, reference: str) -> bool:
    """Whether the judged program is another than the reference; it may hold the prompt's docstring besides."""
    return not {ast.dump(node) for node in _tree(reference).body} <= {ast.dump(node) for node in _tree(judged).body}


@pytest.mark.parametrize("name", FILES)
def test_canonical_solutions_survive_every_prompt_form(name: str) -> None:
    differ: list[tuple[Problem, str]] = []
    count = 0
    for problem in problems(name):
        count += 1
        for form in FORMS:
            judged = answered(name, problem, form)
            if lost(judged, problem.reference or ""):
                differ.append((problem, judged))
    assert count == FILES[name][1]
    assert len({problem.id for problem, _ in differ}) <= count // 50
    run = {f"{problem.id}/{judged}": (problem, judged) for problem, judged in differ if problem.suites["base"]}
    for problem, judged in differ:
        assert problem.entry_point in definitions(_tree(judged))
    asked = [
        program
        for key, (problem, judged) in run.items()
        for program in programs(key, problem, prepend_setup(problem.setup, judged), Limits(cpu_seconds=20))
    ]
    of = {key: problem for key, (problem, _) in run.items()}
    with Judge() as judge:
        for done in judge.run(asked):
            found = statuses(of[done.id.rpartition("/")[0]], done)
            assert found["base"] == "passed", (done.id, done.detail)
