"""Judging the samples of a release again, with its own suites and limits."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice

from plum_hub.execution import Judge
from plum_hub.judging.cases import evidence, limits_of, program
from plum_hub.judging.stream import Judgement, Submission, judge_submissions
from plum_hub.progress import Progress
from plum_hub.records import CaseOutcome, Status, TestSuite
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.verification.findings import Findings
from plum_hub.verification.provenance import Provenance
from plum_hub.verification.reading import RecordedSample

_GROUP = 20_000
"""Samples that are judged before those that differ, which are held in memory, are judged again."""
_LETTERS = {"passed": "p", "wrong": "w", "raised": "r", "timed_out": "t", "not_run": "-"}


def rejudge(
    samples: Iterable[RecordedSample], provenance: Provenance, judge: Judge, findings: Findings, progress: Progress
) -> None:
    """Judge samples again, and compare their status and the outcome of each case.

    Samples that differ are judged a second time, which distinguishes a nondeterministic program from a wrong verdict.

    Args:
        samples: The samples to judge.
        provenance: What the release was made with.
        judge: The judge on this machine.
        findings: Receives the results.
        progress: Progress reporter; advances with each sample.

    Raises:
        SandboxError: The sandbox failed; nothing is reported about samples that were not judged (law 1).
        StaticCheckError: The static check failed; likewise.
    """
    remaining = iter(samples)
    while (first := next(remaining, None)) is not None:
        _rejudge_group(chain([first], islice(remaining, _GROUP - 1)), provenance, judge, findings, progress)


def _rejudge_group(
    samples: Iterable[RecordedSample], provenance: Provenance, judge: Judge, findings: Findings, progress: Progress
) -> None:
    differing, summarize = [], partial(_summary, provenance.recipe.preferences)
    for one, judgement in _judged(samples, provenance, judge, progress):
        if summarize(one.verdict.status, one.verdict.cases) == summarize(judgement.status, judgement.cases):
            findings.compared["verdicts"] += 1
        else:
            differing.append((one, judgement))
    repeated = dict(_repeat([one for one, _ in differing], provenance, judge))
    for one, judgement in differing:
        second = repeated[one.sample.id]
        found = summarize(judgement.status, judgement.cases)
        reproducible = found == summarize(second.status, second.cases)
        what = f"sample {one.sample.id}" + ("" if reproducible else ", which is not reproducible")
        published = summarize(one.verdict.status, one.verdict.cases)
        detail = f": {judgement.detail}" if judgement.detail else ""
        findings.fail(
            "verdicts", what, published, f"{found}{detail}" if reproducible else f"{found}, then {second.status}"
        )


def check_references(suites: Iterable[TestSuite], provenance: Provenance, judge: Judge, findings: Findings) -> None:
    """Check that the reference solution of each suite passes it (law 3).

    Args:
        suites: The suites.
        provenance: What the release was made with.
        judge: The judge on this machine.
        findings: Receives the results.

    Raises:
        SandboxError: The sandbox failed.
    """
    limits = limits_of(provenance.recipe.verdicts)
    programs = (
        program(suite.id, suite.reference, suite.entry_point, suite.cases, limits)
        for suite in suites
        if suite.reference
    )
    for execution in judge.run(programs):
        if execution.status == "passed":
            findings.compared["suites"] += 1
        else:
            findings.fail("suites", f"suite {execution.id}, its reference", "passed", evidence(execution))


def _judged(
    samples: Iterable[RecordedSample], provenance: Provenance, judge: Judge, progress: Progress
) -> Iterator[tuple[RecordedSample, Judgement]]:
    pending: dict[str, RecordedSample] = {}

    def submissions() -> Iterator[Submission]:
        for number, one in enumerate(samples):
            pending[str(number)] = one  # not by the sample's id, which a damaged release may contain twice
            suite = one.suite
            yield Submission(
                id=str(number),
                code=one.sample.code,
                suite_id=suite.id,
                entry_point=suite.entry_point,
                cases=suite.cases,
            )

    settings = provenance.recipe.verdicts
    for judgement in judge_submissions(submissions(), judge, limits_of(settings), frozenset(settings.mypy_codes)):
        progress.advance()
        yield pending.pop(judgement.id), judgement


def _repeat(samples: list[RecordedSample], provenance: Provenance, judge: Judge) -> Iterator[tuple[str, Judgement]]:
    for one, judgement in _judged(samples, provenance, judge, Progress()):
        yield one.sample.id, replace(judgement, id=one.sample.id)


def _summary(rule: PreferencesConfig, status: Status, cases: Iterable[CaseOutcome]) -> str:
    """Summarize a verdict as `failed, rejected (ppw)`, with a letter for each case."""
    label = {True: "chosen", False: "rejected", None: "no label"}[rule.label(status)]
    return f"{status}, {label} ({''.join(_LETTERS.get(case.outcome, '?') for case in cases)})"
