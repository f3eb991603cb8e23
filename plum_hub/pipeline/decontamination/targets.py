"""The problems of benchmarks as a release is compared with them."""

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
"""Their tests are those of the benchmarks that they extend, and more: a program that passes them passes those. So
these are compared by their statements and solutions, which need no program to be run."""
_EXAMPLES = re.compile(
    r"^[ \t*#_]*(?:>>>|assert |(?:for )?examples?\b|sample (?:input|output)\b)", re.IGNORECASE | re.MULTILINE
)
_FEWEST = 8
"""Words of a statement without its examples; one of fewer keeps them."""
_METHOD = re.compile(r"def (\w+)\(self")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One problem."""

    task: str
    statement: str
    entry_point: str | None
    """The function that the tests call; None where they do not call one."""
    reference: str | None
    problem: Problem | None
    """Where its tests can be run."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The problems of one benchmark, at a revision."""

    benchmark: str
    revision: str
    problems: tuple[Target, ...]


def targets(name: str, folder: Path | None) -> Targets:
    """The problems of a benchmark that is at hand: it lies in `folder`; or it is HumanEval, which has a package and is
    small enough to be fetched.

    Raises:
        BenchmarkError: it is not at hand, or is another version; or there is no benchmark of this name.
    """
    if name == "humaneval":
        return _humaneval(folder)
    if folder is None:
        raise BenchmarkError(f"{name} is not at hand; give a folder that holds it with --benchmark-data DIR")
    if name in _PLUS:
        found = load_content(_PLUS[name], folder)
        rows = tuple(
            Target(
                task=row["task_id"],
                statement=_statement(row["prompt"], row["entry_point"]),
                entry_point=row["entry_point"],
                reference=row["prompt"] + row["canonical_solution"],
                problem=None,
            )
            for row in found.rows
        )
        return Targets(benchmark=name, revision=found.revision, problems=rows)
    benchmark = load(name, source=folder)
    return Targets(benchmark=name, revision=benchmark.revision, problems=tuple(map(_target, benchmark.problems())))


def _humaneval(folder: Path | None) -> Targets:
    for place in (folder, None) if folder else (None,):
        benchmark = HumanEval(place)
        try:
            problems = tuple(map(_target, benchmark.problems()))
        except BenchmarkError:
            if place is None:
                raise
        else:
            return Targets(benchmark=benchmark.name, revision=benchmark.revision, problems=problems)
    raise AssertionError("the last place either has it or raises")


def _target(problem: Problem) -> Target:
    method = _METHOD.search(problem.starter_code)
    return Target(
        task=problem.id,
        statement=_statement(problem.text, problem.entry_point if problem.kind == "completion" else None),
        entry_point=method[1] if method else problem.entry_point,
        reference=problem.reference,
        problem=problem,
    )


def _statement(text: str, entry_point: str | None) -> str:
    """The words of a task: of a function to be completed, its docstring; and no examples, which a copy may lack."""
    if entry_point is not None and (tree := parse(f"{text}\n    pass\n")) is not None:
        node = definitions(tree).get(entry_point)
        if isinstance(node, DefinitionNode) and (said := ast.get_docstring(node)):
            text = said
    words = _EXAMPLES.split(text, maxsplit=1)[0]
    return words if len(words.split()) >= _FEWEST else text
