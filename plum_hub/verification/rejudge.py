"""The samples of a release, judged once more by its own suites and limits."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from plum_hub.execution import Judge
from plum_hub.judging.cases import evidence, limits_of, program
from plum_hub.judging.stream import Judgement, Submission, judge_submissions
from plum_hub.progress import Progress
from plum_hub.records import CaseOutcome, Status, TestSuite
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.verification.findings import Findings
from plum_hub.verification.provenance import Provenance
from plum_hub.verification.reading import RecordedSample

_LETTERS = {"passed": "p", "wrong": "w", "raised": "r", "timed_out": "t", "not_run": "-"}


def rejudge(
    samples: Iterable[RecordedSample], terms: Provenance, judge: Judge, findings: Findings, progress: Progress
) -> None:
    """Judge samples, and compare status and the outcome of each case. What differs is judged a second time, so that a
    program that is not the same twice is told from a verdict that is wrong.

    Raises:
        SandboxError, StaticCheckError: nothing is said of what was not judged (law 1).
    """
    differing, shown = [], partial(_shown, terms.recipe.preferences)
    for one, judgement in _judged(samples, terms, judge, progress):
        if shown(one.verdict.status, one.verdict.cases) == shown(judgement.status, judgement.cases):
            findings.compared["verdicts"] += 1
        else:
            differing.append((one, judgement))
    again = dict(_again([one for one, _ in differing], terms, judge))
    for one, judgement in differing:
        second = again[one.sample.id]
        found = shown(judgement.status, judgement.cases)
        steady = found == shown(second.status, second.cases)
        what = f"sample {one.sample.id}" + ("" if steady else ", which is not the same twice")
        published = shown(one.verdict.status, one.verdict.cases)
        said = f": {judgement.detail}" if judgement.detail else ""
        findings.wrong("verdicts", what, published, f"{found}{said}" if steady else f"{found}, then {second.status}")


def check_references(suites: Iterable[TestSuite], terms: Provenance, judge: Judge, findings: Findings) -> None:
    """Run the reference solution of each suite, which passes it (law 3).

    Raises:
        SandboxError: as `rejudge`.
    """
    limits = limits_of(terms.recipe.verdicts)
    programs = (
        program(suite.id, suite.reference, suite.entry_point, suite.cases, limits)
        for suite in suites
        if suite.reference
    )
    for execution in judge.run(programs):
        if execution.status == "passed":
            findings.compared["suites"] += 1
        else:
            findings.wrong("suites", f"suite {execution.id}, its reference", "passed", evidence(execution))


def _judged(
    samples: Iterable[RecordedSample], terms: Provenance, judge: Judge, progress: Progress
) -> Iterator[tuple[RecordedSample, Judgement]]:
    waiting: dict[str, RecordedSample] = {}

    def submissions() -> Iterator[Submission]:
        for number, one in enumerate(samples):
            waiting[str(number)] = one  # not by the sample's id, which a bad release may have twice
            suite = one.suite
            yield Submission(
                id=str(number),
                code=one.sample.code,
                suite_id=suite.id,
                entry_point=suite.entry_point,
                cases=suite.cases,
            )

    settings = terms.recipe.verdicts
    for judgement in judge_submissions(submissions(), judge, limits_of(settings), frozenset(settings.mypy_codes)):
        progress.advance()
        yield waiting.pop(judgement.id), judgement


def _again(samples: list[RecordedSample], terms: Provenance, judge: Judge) -> Iterator[tuple[str, Judgement]]:
    for one, judgement in _judged(samples, terms, judge, Progress()):
        yield one.sample.id, replace(judgement, id=one.sample.id)


def _shown(rule: PreferencesConfig, status: Status, cases: Iterable[CaseOutcome]) -> str:
    """A verdict in a few words: `failed, rejected (ppw)`, with a letter for each case."""
    label = {True: "chosen", False: "rejected", None: "no label"}[rule.label(status)]
    return f"{status}, {label} ({''.join(_LETTERS.get(case.outcome, '?') for case in cases)})"
