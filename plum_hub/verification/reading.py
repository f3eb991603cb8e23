"""The rows of a part as records: suites that can be run, and samples that can be judged by them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from plum_hub.execution.closeness import parse_expected
from plum_hub.pipeline.published import instruction_of
from plum_hub.records import Instruction, RecordT, Sample, TestCase, TestSuite, Verdict, from_json
from plum_hub.verification.findings import Findings
from plum_hub.verification.rows import Part, Row

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
        suite = _read(TestSuite, row, "suite_id", what, findings)
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
        sample = _read(Sample, row, "sample_id", what, findings)
        verdict = _read(Verdict, row, "verdict_id", what, findings)
        if sample is None or verdict is None:
            continue
        if sample.suite_id not in tasks:
            findings.wrong("ids", f"{what}, its suite", sample.suite_id, "no such suite")
        elif sample.id in judged:
            findings.wrong("ids", what, "one row", "several")
        else:
            judged[sample.id] = RecordedSample(sample, verdict, tasks[sample.suite_id].suite)
    return list(judged.values())


def _read(kind: type[RecordT], row: Row, name: str, what: str, findings: Findings) -> RecordT | None:
    """The record in a row, whose id is in the column `name`; None where a value has a wrong form."""
    names = {one.name for one in fields(kind)} & row.keys()
    try:
        return from_json(kind, {**{key: row[key] for key in names}, "id": row[name]})
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
