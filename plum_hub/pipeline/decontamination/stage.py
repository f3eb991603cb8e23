"""Stage `decontamination`: leave out what is, or contains, a problem of a benchmark, so that scores of a model that was
trained on the release mean something.

A benchmark is compared where it is at hand (`targets`), once for the run's rows; what was compared is kept in
`comparisons.jsonl`, and what was found is left out with its evidence, an instruction together with its suite and
samples. A row once left out stays so.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from plum_hub.errors import BenchmarkError, RunError
from plum_hub.execution import Judge
from plum_hub.lines import appending, object_of, whole_lines
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.matching import (
    SMALLEST_SOLUTION,
    SUSPICIOUS,
    BenchmarkMatcher,
    ContaminationMatch,
    count,
)
from plum_hub.pipeline.decontamination.targets import Targets, targets
from plum_hub.records import Drop, Instruction, Sample, TestSuite, digest
from plum_hub.release.lineage import ContaminationReport, Decontamination
from plum_hub.run import Run

STAGE = "decontamination"
_FILE = "comparisons.jsonl"
_METHOD = 1
"""Of the rules in this package: other rules compare anew."""


def run_decontamination(context: Context) -> None:
    """Compare the run's rows with every benchmark of the recipe that is at hand and was not compared yet.

    Raises:
        SandboxError: a sample has to be run, and programs cannot be run here.
    """
    run, settings = context.run, context.run.recipe.decontamination
    if not settings.benchmarks:
        return
    rows = _RowSelection.of(run)
    done = {one.benchmark for one in _comparisons(run, rows.digest)}
    owed = _at_hand(context, [name for name in settings.benchmarks if name not in done])
    if not owed:
        return
    context.progress.begin(STAGE, rows.instructions + rows.samples, 0)
    findings = list(_findings(context, owed))
    with run.appending(Drop) as drop:
        left_out = removed_ids(run)
        for one in _drops(run, findings):
            if one.id not in left_out:
                left_out.add(one.id)
                drop(one)
    with appending(_path(run)) as append:
        for benchmark in owed:
            append({"id": _name(run, rows.digest, benchmark.benchmark), **asdict(_row(benchmark, rows, findings))})
    context.progress.end()


def _at_hand(context: Context, names: Sequence[str]) -> list[Targets]:
    """Those of the benchmarks that are at hand; says why the others are not."""
    found, missing = [], {}
    for name in names:
        try:
            found.append(targets(name, context.benchmark_data))
        except BenchmarkError as error:
            missing[name] = str(error)
    if context.benchmark_data is None and len(missing) > 1:
        others = ", ".join(name for name in missing if name != "humaneval")
        context.progress.say(f"{STAGE}: not compared with {others}; --benchmark-data DIR names a folder that has them")
        missing = {name: why for name, why in missing.items() if name == "humaneval"}
    for name, why in missing.items():
        context.progress.say(f"{STAGE}: {name} is not compared: {why}")
    return found


def removed_ids(run: Run) -> set[str]:
    """The ids of all rows that this stage has left out."""
    return {name for name, stage in run.columns(Drop, "id", "stage") if stage == STAGE}


def decontamination_of(run: Run) -> Decontamination:
    """What the run's rows were compared with, and what was found.

    Raises:
        RunError: the list of comparisons is damaged.
    """
    settings = run.recipe.decontamination
    rows = _RowSelection.of(run).digest if _path(run).exists() else ""
    found = {one.benchmark: one for one in _comparisons(run, rows)}
    return Decontamination(
        ngram=settings.ngram,
        overlap=settings.overlap,
        smallest_solution=SMALLEST_SOLUTION,
        suspicious=SUSPICIOUS,
        compared=tuple(found[name] for name in settings.benchmarks if name in found),
        not_compared=tuple(name for name in settings.benchmarks if name not in found),
    )


@dataclass(frozen=True)
class _RowSelection:
    """How many rows are compared, and which."""

    instructions: int
    samples: int
    digest: str

    @classmethod
    def of(cls, run: Run) -> "_RowSelection":
        instructions, samples = sorted(run.ids(Instruction)), sorted(run.ids(Sample))
        ids = hashlib.sha256("\n".join([*instructions, "", *samples]).encode()).hexdigest()
        return cls(len(instructions), len(samples), ids)


def _findings(context: Context, benchmarks: list[Targets]) -> Iterator[ContaminationMatch]:
    """All that is found; the samples of an instruction that is found are not looked at."""
    run, settings = context.run, context.run.recipe.decontamination
    matching = BenchmarkMatcher(benchmarks, settings.ngram, settings.overlap)
    gone = set()
    for instruction in run.rows(Instruction):
        for one in matching.of_instruction(instruction):
            gone.add(instruction.id)
            yield one
        context.progress.advance()
    entry_points = {suite.id: suite.entry_point for suite in run.rows(TestSuite)}
    for sample in run.rows(Sample):
        if sample.instruction_id not in gone:
            yield from matching.of_sample(sample, entry_points[sample.suite_id])
        context.progress.advance()
    if matching.trials:
        with Judge(sandbox=run.recipe.verdicts.sandbox) as judge:
            yield from matching.of_trials(judge)


def _drops(run: Run, findings: Iterable[ContaminationMatch]) -> Iterator[Drop]:
    """A row for everything that is left out; the first finding of a row is its evidence."""
    evidence: dict[str, ContaminationMatch] = {}
    for one in findings:
        evidence.setdefault(one.row, one)
    for instruction in run.rows(Instruction):
        if instruction.id in evidence:
            yield _found(instruction.id, instruction.id, evidence[instruction.id])
    for suite in run.rows(TestSuite):
        if suite.instruction_id in evidence:
            yield _with_instruction(suite.id, suite.instruction_id, evidence[suite.instruction_id])
    for sample in run.rows(Sample):
        if sample.id in evidence:
            yield _found(sample.id, sample.instruction_id, evidence[sample.id])
        elif sample.instruction_id in evidence:
            yield _with_instruction(sample.id, sample.instruction_id, evidence[sample.instruction_id])


def _found(name: str, instruction: str, by: ContaminationMatch) -> Drop:
    return Drop(id=name, stage=STAGE, reason=f"benchmark_{by.measure}", instruction_id=instruction, detail=by.detail)


def _with_instruction(name: str, instruction: str, by: ContaminationMatch) -> Drop:
    return Drop(id=name, stage=STAGE, reason="of_benchmark_instruction", instruction_id=instruction, detail=by.detail)


def _row(benchmark: Targets, rows: _RowSelection, findings: Iterable[ContaminationMatch]) -> ContaminationReport:
    return ContaminationReport(
        benchmark=benchmark.benchmark,
        revision=benchmark.revision,
        tasks=len(benchmark.problems),
        tests_run=any(target.problem is not None for target in benchmark.problems),
        instructions=rows.instructions,
        samples=rows.samples,
        found=count(findings, benchmark.benchmark),
    )


def _comparisons(run: Run, rows: str) -> Iterator[ContaminationReport]:
    """The comparisons of the run's present rows, under its settings."""
    path = _path(run)
    for number, line in whole_lines(path):
        try:
            row = object_of(line)
            name = row.pop("id")
            comparison = ContaminationReport(**row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path}:{number}: not a comparison ({error}); delete this line to compare anew") from error
        if name == _name(run, rows, comparison.benchmark):
            yield comparison


def _name(run: Run, rows: str, benchmark: str) -> str:
    """What a comparison was made from."""
    settings = run.recipe.decontamination
    return digest(_METHOD, benchmark, rows, settings.ngram, settings.overlap)


def _path(run: Run) -> Path:
    return run.path(Drop).with_name(_FILE)
