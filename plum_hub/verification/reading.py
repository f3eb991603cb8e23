"""The rows of a part as records: suites that can be run, and samples that can be judged with them."""

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
"""Fields that a test case of each kind must have."""


@dataclass(frozen=True)
class RecordedSuite:
    """A test suite and its instruction."""

    instruction: Instruction
    suite: TestSuite


@dataclass(frozen=True)
class RecordedSample:
    """A sample, its verdict, and the suite with which it can be judged again."""

    sample: Sample
    verdict: Verdict
    suite: TestSuite


def recorded_suites(part: Part, findings: Findings) -> dict[str, RecordedSuite]:
    """Read the suites of a part.

    Args:
        part: The rows.
        findings: Receives the rows that are not suites that can be run.

    Returns:
        The suites that can be run, by their ids.
    """
    suites: dict[str, RecordedSuite] = {}
    for row in part["test_suites"]:
        what = f"suite {row['suite_id']}"
        suite = _read(suite_of, row, what, findings)
        if suite is None:
            continue
        if error := _error(suite):
            findings.fail("ids", what, "a suite that can be run", error)
        elif suite.id in suites:
            findings.fail("ids", what, "one row", "several")
        else:
            suites[suite.id] = RecordedSuite(instruction_of(row), suite)
    return suites


def recorded_samples(part: Part, suites: Mapping[str, RecordedSuite], findings: Findings) -> list[RecordedSample]:
    """Read the samples of a part, with their verdicts.

    Args:
        part: The rows.
        suites: The suites of the same part, as from `recorded_suites`.
        findings: Receives the rows that are not samples that can be judged.

    Returns:
        The samples that can be judged again.
    """
    samples: dict[str, RecordedSample] = {}
    for row in part["samples"]:
        what = f"sample {row['sample_id']}"
        sample = _read(sample_of, row, what, findings)
        verdict = _read(verdict_of, row, what, findings)
        if sample is None or verdict is None:
            continue
        if sample.suite_id not in suites:
            findings.fail("ids", f"{what}, its suite", sample.suite_id, "no such suite")
        elif sample.id in samples:
            findings.fail("ids", what, "one row", "several")
        else:
            samples[sample.id] = RecordedSample(sample, verdict, suites[sample.suite_id].suite)
    return list(samples.values())


def _read(read: Callable[[Row], RecordT], row: Row, what: str, findings: Findings) -> RecordT | None:
    """Read the record in a row; None where a value has the wrong type."""
    try:
        return read(row)
    except (ValueError, TypeError) as error:
        findings.fail("schemas", what, "a row that can be read", str(error))
        return None


def _error(suite: TestSuite) -> str:
    """Return why the sandbox cannot run the cases of a suite; "" if it can."""
    for number, case in enumerate(suite.cases, 1):
        if (error := _case_error(case)) is not None:
            return f"case {number}: {error}"
    return "" if suite.cases else "no cases"


def _case_error(case: TestCase) -> str | None:
    missing = [name for name in _NEEDED.get(case.kind, ("kind",)) if not isinstance(getattr(case, name), str)]
    if missing or case.kind not in _NEEDED:
        return f"a {case.kind} without {', '.join(missing)}"
    if case.expected is not None:
        try:
            parse_expected(case.expected)
        except ValueError as error:
            return str(error)
    return None
