"""The rows of a part as records: suites that can be run, and samples that can be judged by them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from plum_hub.execution.closeness import parse_expected
from plum_hub.records import Instruction, Sample, TestCase, TestSuite, Verdict
from plum_hub.release.reading import instruction_of, sample_of, suite_of, verdict_of
from plum_hub.verification.findings import Findings
from plum_hub.verification.rows import Part, Row

RecordT = TypeVar("RecordT", TestSuite, Sample, Verdict)

_NEEDED = {"call": ("call", "expected"), "statement": ("statement",), "stdio": ("stdin", "stdout")}
"""What a test case of each kind holds."""


@dataclass(frozen=True)
class RecordedSuite:
    """An instruction and its suite."""

    instruction: Instruction
    suite: TestSuite


@dataclass(frozen=True)
class RecordedSample:
    """A sample and its verdict, and the suite by which it can be judged once more."""

    sample: Sample
    verdict: Verdict
    suite: TestSuite


def tasks_of(part: Part, findings: Findings) -> dict[str, RecordedSuite]:
    """The suites that can be run, by their ids."""
    tasks: dict[str, RecordedSuite] = {}
    for row in part["test_suites"]:
        what = f"suite {row['suite_id']}"
        suite = _read(suite_of, row, what, findings)
        if suite is None:
            continue
        if fault := _fault(suite):
            findings.wrong("ids", what, "a suite that can be run", fault)
        elif suite.id in tasks:
            findings.wrong("ids", what, "one row", "several")
        else:
            tasks[suite.id] = RecordedSuite(instruction_of(row), suite)
    return tasks


def judged_of(part: Part, tasks: Mapping[str, RecordedSuite], findings: Findings) -> list[RecordedSample]:
    """The samples that can be judged once more."""
    judged: dict[str, RecordedSample] = {}
    for row in part["samples"]:
        what = f"sample {row['sample_id']}"
        sample = _read(sample_of, row, what, findings)
        verdict = _read(verdict_of, row, what, findings)
        if sample is None or verdict is None:
            continue
        if sample.suite_id not in tasks:
            findings.wrong("ids", f"{what}, its suite", sample.suite_id, "no such suite")
        elif sample.id in judged:
            findings.wrong("ids", what, "one row", "several")
        else:
            judged[sample.id] = RecordedSample(sample, verdict, tasks[sample.suite_id].suite)
    return list(judged.values())


def _read(read: Callable[[Row], RecordT], row: Row, what: str, findings: Findings) -> RecordT | None:
    """Read the record in a row; None where a value has the wrong type."""
    try:
        return read(row)
    except (ValueError, TypeError) as error:
        findings.wrong("schemas", what, "a row that can be read", str(error))
        return None


def _fault(suite: TestSuite) -> str:
    """Why the sandbox could not take a suite's cases; "" where it can."""
    for number, case in enumerate(suite.cases, 1):
        if (fault := _fault_of(case)) is not None:
            return f"case {number}: {fault}"
    return "" if suite.cases else "no cases"


def _fault_of(case: TestCase) -> str | None:
    missing = [name for name in _NEEDED.get(case.kind, ("kind",)) if not isinstance(getattr(case, name), str)]
    if missing or case.kind not in _NEEDED:
        return f"a {case.kind} without {', '.join(missing)}"
    if case.expected is not None:
        try:
            parse_expected(case.expected)
        except ValueError as error:
            return str(error)
    return None
