"""HumanEval+ and MBPP+, judged as EvalPlus 0.3.1 does, but outside the program's process.

A problem has the suites `base` and `plus`, and where the official rule and the strict one differ, also
`base:strict` and `plus:strict`, which compare the same values again. The official rule accepts outputs that are
equal to the reference's. If the task has a tolerance, or else from the first output on that is a float or a list of
floats (1e-6, until the end of the suite), it also accepts outputs that are `close`. The strict rule is `near`
throughout: floats at any depth have the tolerance, and types and integers must match exactly.

HumanEval/32 cannot be passed in EvalPlus 0.3.1, which counts none of its inputs as done: it is judged here by the
intended rule.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.content import BenchmarkVersion, Content, ReleaseFile, Row, load_content
from plum_hub.benchmarks.oracles import EXISTENCE_TASKS, ROOT_TASKS, SECOND_READINGS, SET_TASKS, restore_arguments
from plum_hub.benchmarks.references import Reference, ReferenceOutputs, reference_outputs
from plum_hub.execution.base import Call, Case, Comparison, Reinterpretation
from plum_hub.execution.literals import parse_literal, write_literal
from plum_hub.execution.reserved import reserved

_COLUMNS = frozenset({"task_id", "prompt", "entry_point", "canonical_solution", "base_input", "plus_input", "atol"})
_RELEASES = "https://github.com/evalplus/{}.jsonl.gz"
"""Where EvalPlus takes its inputs from. The datasets on the Hub (`OriginFmt`: test code) have other inputs for 98 of
the 164 tasks of HumanEval+, so that their scores differ.
"""
HUMANEVAL_PLUS = BenchmarkVersion(
    file="HumanEvalPlus.jsonl.gz",
    sha256="42526ec0e7d5f3ee0b06d6ced98f8c8bae3d76519151bfb3d36f79010645bd7f",
    rows=164,
    columns=_COLUMNS,
    origin=ReleaseFile(_RELEASES.format("humanevalplus_release/releases/download/v0.1.10/HumanEvalPlus")),
)
MBPP_PLUS = BenchmarkVersion(
    file="MbppPlus.jsonl.gz",
    sha256="b54e762755248ca411b523c917fa9f93c07b5ff2966bf60b3917b853926a3dad",
    rows=378,
    columns=_COLUMNS,
    origin=ReleaseFile(_RELEASES.format("mbppplus_release/releases/download/v0.2.0/MbppPlus")),
)
_SUITES = ("base", "plus")
_FLOAT_TOLERANCE = 1e-6
_FLOAT = r'-?(?:\d+\.\d+(?:e[-+]\d+)?|\d+e[-+]?\d+|float\("nan"\))'
_FLOATS = re.compile(rf"{_FLOAT}|[\[(]{_FLOAT}(?:, {_FLOAT})*,?[\])]")
_EXISTENCE = f"(lambda given: given if {reserved('isinstance')}(given, {reserved('bool')}) else given is not None)"
_HOLDS_NONE = ("'", '"', "0x", "-0x")
"""Prefixes of strings and very long integers: millions of characters need not be searched for floats."""
_HOLDS_FLOAT = re.compile(rf"(?<![\w.]){_FLOAT}")

_MIN_CALL_SECONDS, _CALL_FACTOR, _MAX_SUITE_SECONDS, _EXTRA_SECONDS = 1.0, 4.0, 60.0, 1.0
"""EvalPlus limits a call to one second or four times the reference's time, and all calls together to one minute plus
one second. These limits are wall time; as CPU time, they are equal for a program that runs alone, and independent of
the load."""
_MIN_SUITE_FACTOR = 6.0
"""Minimum of the limit of all calls, as a multiple of the reference's time. A sandbox first gives a program a quarter
of its time, in which another correct solution should finish (Mbpp/599: 21 s)."""


@dataclass(frozen=True)
class EvalPlus:
    """A benchmark of EvalPlus.

    Args:
        name: `humaneval+` or `mbpp+`.
        published: The version.
        source: A local file, or a folder that contains it; None downloads EvalPlus' release.
    """

    name: str
    published: BenchmarkVersion
    source: Path | None = None

    @property
    def revision(self) -> str:
        """The exact origin of the content; see `Benchmark.revision`."""
        return self._content.revision

    def problems(self) -> Iterator[Problem]:
        """Iterate over all problems; see `Benchmark.problems`.

        Returns:
            The problems in the benchmark's order.

        Raises:
            SandboxError: Programs cannot run here, and the outputs of the references are not cached.
        """
        rows = self._content.rows
        suites = [[_Suite.of(row, name) for name in _SUITES] for row in rows]
        outputs = reference_outputs(self.name, [suite.reference for pair in suites for suite in pair])
        for row, pair in zip(rows, suites, strict=True):
            yield _problem(row, pair, outputs)

    @cached_property
    def _content(self) -> Content:
        return load_content(self.published, self.source)


@dataclass(frozen=True)
class _Suite:
    """The calls of one suite.

    Attributes:
        name: `base` or `plus`.
        task: Id of the task.
        tolerance: The task's own tolerance; 0 if it has none.
        inputs: Arguments of each call.
        reference: The solution, with the calls as the program receives them.
    """

    name: str
    task: str
    tolerance: float
    inputs: Sequence[list[Any]]
    reference: Reference

    @classmethod
    def of(cls, row: Row, name: str) -> "_Suite":
        task, entry_point = row["task_id"], row["entry_point"]
        inputs = [restore_arguments(task, arguments) for arguments in row[f"{name}_input"]]
        calls = [f"{entry_point}({', '.join(map(write_literal, arguments))})" for arguments in inputs]
        if task in SET_TASKS:
            calls = [f"{reserved('set')}({call})" for call in calls]
        if task in EXISTENCE_TASKS:
            calls = [f"{_EXISTENCE}({call})" for call in calls]
        code = row["prompt"] + row["canonical_solution"]
        reference = Reference(id=f"{task} {name}", code=code, entry_point=entry_point, expressions=tuple(calls))
        return cls(name, task, row["atol"], inputs, reference)

    def official(self, outputs: ReferenceOutputs) -> tuple[Call, ...]:
        """Make the cases under EvalPlus' rule, in which the tolerance of floats applies from the first one on."""
        tolerance, cases = self.tolerance, []
        for (call, output), arguments, seconds in zip(outputs.calls, self.inputs, _seconds(outputs), strict=True):
            comparison: Comparison = "equal"
            if self.task in ROOT_TASKS:
                output, comparison = write_literal(arguments[0]), "root_of"
            elif self.task in SECOND_READINGS:
                output, comparison = _readings(self.task, arguments, output), "any_of"
            else:
                tolerance = tolerance or (_FLOAT_TOLERANCE if _FLOATS.fullmatch(output) else 0)
                comparison = "close" if tolerance else "equal"
            case_tolerance = None if comparison in ("equal", "any_of") else tolerance
            cases.append(
                Call(
                    expression=call,
                    expected=output,
                    tolerance=case_tolerance,
                    comparison=comparison,
                    cpu_seconds=seconds,
                )
            )
        return tuple(cases)

    def strict(self, official: Sequence[Call]) -> tuple[Reinterpretation, ...] | None:
        """Make the cases under the strict rule; None if it is equivalent to the official one."""
        if not any(map(_is_read_otherwise, official)):
            return None
        tolerance = self.tolerance or _FLOAT_TOLERANCE
        return tuple(
            Reinterpretation(case=index, comparison="near", tolerance=tolerance) for index in range(len(official))
        )


def _seconds(outputs: ReferenceOutputs) -> list[float]:
    """Return the CPU time limit of each call, rounded up to whole seconds so that it rarely varies."""
    return [max(_MIN_CALL_SECONDS, math.ceil(_CALL_FACTOR * seconds)) for seconds in outputs.seconds]


def _limit(outputs: ReferenceOutputs) -> float:
    """Return the CPU time limit of all calls together, in seconds."""
    return max(
        min(sum(_seconds(outputs)), _MAX_SUITE_SECONDS) + _EXTRA_SECONDS,
        math.ceil(_MIN_SUITE_FACTOR * sum(outputs.seconds)),
    )


def _is_read_otherwise(case: Call) -> bool:
    """Return whether the two rules can differ on a case; they agree on a single float within a tolerance."""
    if case.comparison == "close":
        return not re.fullmatch(_FLOAT, case.expected)
    may_hold_float = case.comparison == "equal" and not case.expected.startswith(_HOLDS_NONE)
    return may_hold_float and any(map(case.expected.__contains__, ".en")) and bool(_HOLDS_FLOAT.search(case.expected))


def _readings(task: str, arguments: list[Any], output: str) -> str:
    try:
        return write_literal((parse_literal(output), SECOND_READINGS[task](*arguments)))
    except (ValueError, TypeError):  # these arguments have one reading only
        return f"({output},)"


def _problem(row: Row, suites: Sequence[_Suite], outputs: Mapping[str, ReferenceOutputs]) -> Problem:
    cases: dict[str, tuple[Case, ...]] = {}
    for suite in suites:
        cases[suite.name] = official = suite.official(outputs[suite.reference.id])
        if (strict := suite.strict(official)) is not None:
            cases[f"{suite.name}:strict"] = strict
    limits = {suite.name: _limit(outputs[suite.reference.id]) for suite in suites}
    return Problem(
        id=row["task_id"],
        text=row["prompt"],
        kind="completion",
        entry_point=row["entry_point"],
        suites=cases,
        cpu_seconds=max(limits.values()),
        limits=limits,
        reference=suites[0].reference.code,
    )
