"""Stage `verdicts`: what happened when each sample met its suite: first the static check, then the sandbox.

Equal programs against one suite run once and share the result. Samples are taken in batches, so that a kill loses
seconds of work and memory does not grow with the run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from plum_hub.errors import RunError
from plum_hub.execution import Execution, Judge
from plum_hub.recipe import Recipe
from plum_hub.records import CaseOutcome, Sample, Status, TestSuite, Verdict, digest
from plum_hub.stages.base import Context, carried_over
from plum_hub.stages.programs import evidence, limits_of, program
from plum_hub.static import Finding, check, checker_version

STAGE = "verdicts"
_BATCH = 2000
"""Samples of one mypy call: its start-up is a second or two whatever their number."""

_MIXED = (
    "{run}: its verdicts were made by another version of the sandbox, Python or mypy than is here ({sandbox}, "
    "{static_check}), and verdicts of two are never mixed; judge anew: "
    "plum-hub build-dataset --recipe {run}/recipe.yaml --run {run}-2 --carry-over {run}"
)


@dataclass(frozen=True)
class _Owed:
    """A sample without a verdict; `key` is the same for equal programs against one suite."""

    name: str
    key: str
    sample: Sample
    suite: TestSuite


def run_verdicts(context: Context) -> None:
    """Judge every sample that has no verdict.

    Raises:
        RunError: the run holds verdicts of another version of the sandbox or the static check.
        SandboxError: programs cannot be run here, or the sandbox broke; no verdict is made of that (law 1).
        StaticCheckError: the same for mypy.
    """
    run = context.run
    suites = {suite.id: suite for suite in run.rows(TestSuite)}
    samples = list(run.rows(Sample))
    done = run.ids(Verdict)
    with Judge() as judge, run.appending(Verdict) as append:
        harness = harness_of(run.recipe, judge.harness_version)
        wanted = [_owed(sample, suites, harness) for sample in samples]
        if done - {one.name for one in wanted}:
            raise RunError(_MIXED.format(run=run.folder, **harness))
        owed = {one.name: one for one in wanted if one.name not in done}
        context.progress.begin(STAGE, len(samples), len(samples) - len(owed))
        for verdict in carried_over(context.donor, Verdict, owed):
            if owed.pop(verdict.id, None) is not None:
                append(verdict)
                context.progress.advance()
        rest = list(owed.values())
        for start in range(0, len(rest), _BATCH):
            for verdict in _judge(rest[start : start + _BATCH], judge, run.recipe):
                append(verdict)
                context.progress.advance()
    context.progress.end()


def harness_of(recipe: Recipe, sandbox_version: str) -> dict[str, object]:
    """Everything beside sample and suite that decides about a verdict: part of its id, and of the manifest."""
    settings = recipe.verdicts
    return {
        "sandbox": sandbox_version,
        "static_check": checker_version(frozenset(settings.mypy_codes)),
        "limits": asdict(limits_of(settings)),
    }


def _owed(sample: Sample, suites: dict[str, TestSuite], harness: dict[str, object]) -> _Owed:
    suite = suites.get(sample.suite_id)
    if suite is None:
        raise RunError(f"sample {sample.id}: its suite {sample.suite_id} is not in the run; bring suites.jsonl back")
    return _Owed(digest(sample.id, suite.id, harness), digest(sample.code, suite.id), sample, suite)


def _judge(owed: Sequence[_Owed], judge: Judge, recipe: Recipe) -> Iterator[Verdict]:
    """Verdicts of one batch, each as soon as it is known."""
    alike: dict[str, list[_Owed]] = {}
    for one in owed:
        alike.setdefault(one.key, []).append(one)
    first = {key: group[0] for key, group in alike.items()}
    sources = {key: one.sample.code for key, one in first.items() if one.sample.code is not None}
    findings = check(sources, frozenset(recipe.verdicts.mypy_codes))
    runnable: list[_Owed] = []
    for key, one in first.items():
        if one.sample.code is None:
            yield from (_verdict(same, "no_code", "no code in the answer") for same in alike[key])
            continue
        finding = findings[key]
        if finding.status == "ok":
            runnable.append(one)
        else:
            yield from (_verdict(same, finding.status, _said(finding)) for same in alike[key])
    limits = limits_of(recipe.verdicts)
    programs = (
        program(one.key, one.sample.code or "", one.suite.entry_point, one.suite.cases, limits) for one in runnable
    )
    for execution in judge.run(programs):
        yield from (_executed(same, execution) for same in alike[execution.id])


def _said(finding: Finding) -> str:
    return "; ".join(f"line {error.line}: {error.message} [{error.code}]" for error in finding.errors)


def _verdict(one: _Owed, status: Status, detail: str) -> Verdict:
    """A verdict without a run."""
    return Verdict(
        id=one.name,
        sample_id=one.sample.id,
        suite_id=one.suite.id,
        instruction_id=one.suite.instruction_id,
        status=status,
        cases=tuple(CaseOutcome(outcome="not_run") for _ in one.suite.cases),
        detail=detail,
        cpu_seconds=None,
        peak_memory_mb=None,
    )


def _executed(one: _Owed, execution: Execution) -> Verdict:
    return Verdict(
        id=one.name,
        sample_id=one.sample.id,
        suite_id=one.suite.id,
        instruction_id=one.suite.instruction_id,
        status=execution.status,
        cases=tuple(CaseOutcome(outcome=case.outcome, detail=case.detail) for case in execution.cases),
        detail="" if execution.status == "passed" else evidence(execution),
        cpu_seconds=execution.cpu_seconds,
        peak_memory_mb=execution.peak_memory_mb,
    )
