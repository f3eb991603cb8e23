"""The problems of benchmarks that a release is compared with."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from plum_hub.answers.source import DefinitionNode, definitions, parse
from plum_hub.benchmarks import load
from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.content import load_content
from plum_hub.benchmarks.evalplus import HUMANEVAL_PLUS, MBPP_PLUS
from plum_hub.benchmarks.humaneval import HumanEval
from plum_hub.errors import BenchmarkError

_PLUS = {"humaneval+": HUMANEVAL_PLUS, "mbpp+": MBPP_PLUS}
"""The tests of these benchmarks include those of the benchmarks they extend, so a program that passes them passes those
too. They are compared by statement and solution only, which runs no programs."""
_EXAMPLES = re.compile(
    r"^[ \t*#_]*(?:>>>|assert |(?:for )?examples?\b|sample (?:input|output)\b)", re.IGNORECASE | re.MULTILINE
)
_METHOD = re.compile(r"def (\w+)\(self")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One problem."""

    task: str
    statement: str
    """The task in words, without examples, which a copy may lack."""
    with_examples: str
    """The task in words and examples."""
    entry_point: str | None
    """The function that the tests call; None if they call none."""
    reference: str | None
    """The benchmark's solution; None if it has none."""
    problem: Problem | None
    """The problem with its tests; None if they are not run."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The problems of one benchmark, at a revision."""

    benchmark: str
    revision: str
    problems: tuple[Target, ...]


def targets(name: str, folder: Path | None) -> Targets:
    """Load the problems of a benchmark that is available locally, or HumanEval, which is small enough to be downloaded.

    Args:
        name: Name of the benchmark.
        folder: Folder with the data of benchmarks, or None.

    Returns:
        The problems.

    Raises:
        BenchmarkError: The benchmark is unknown, not available, or of another version.
    """
    if name == "humaneval":
        return _humaneval(folder)
    if folder is None:
        raise BenchmarkError(f"{name} is not available; name a folder with its data with --benchmark-data DIR")
    if name in _PLUS:
        data = load_content(_PLUS[name], folder)
        rows = tuple(
            Target(
                task=row["task_id"],
                statement=without_examples(words := task_in_words(row["prompt"], row["entry_point"])),
                with_examples=words,
                entry_point=row["entry_point"],
                reference=row["prompt"] + row["canonical_solution"],
                problem=None,
            )
            for row in data.rows
        )
        return Targets(benchmark=name, revision=data.revision, problems=rows)
    benchmark = load(name, source=folder)
    return Targets(benchmark=name, revision=benchmark.revision, problems=tuple(map(_target, benchmark.problems())))


def _humaneval(folder: Path | None) -> Targets:
    for source in (folder, None) if folder else (None,):
        benchmark = HumanEval(source)
        try:
            problems = tuple(map(_target, benchmark.problems()))
        except BenchmarkError:
            if source is None:
                raise
        else:
            return Targets(benchmark=benchmark.name, revision=benchmark.revision, problems=problems)
    raise AssertionError("the last source either has it or raises")


def _target(problem: Problem) -> Target:
    method = _METHOD.search(problem.starter_code)
    words = task_in_words(problem.text, problem.entry_point if problem.kind == "completion" else None)
    return Target(
        task=problem.id,
        statement=without_examples(words),
        with_examples=words,
        entry_point=method[1] if method else problem.entry_point,
        reference=problem.reference,
        problem=problem,
    )


def task_in_words(text: str, entry_point: str | None) -> str:
    """Read the task of a problem in words, with its examples.

    Args:
        text: The problem's prompt.
        entry_point: The function to complete, whose docstring counts; None for a task in words.

    Returns:
        The words.
    """
    if entry_point is not None and (tree := parse(f"{text}\n    pass\n")) is not None:
        node = definitions(tree).get(entry_point)
        if isinstance(node, DefinitionNode) and (docstring := ast.get_docstring(node)):
            return docstring
    return text


def without_examples(words: str) -> str:
    """Cut a task where its examples begin.

    Args:
        words: The task, as `task_in_words` returns it.

    Returns:
        What is before them.
    """
    return _EXAMPLES.split(words, maxsplit=1)[0]
