"""Stages `screening` and `decontamination`: leave out rows that are, or contain, problems of benchmarks.

Otherwise benchmark scores of a model trained on the release would mean nothing. A benchmark is compared if its data is
available (`targets`), once for the rows of each shard. What was compared is recorded in its `comparisons.jsonl`.
Matches are left out with their evidence, an instruction together with its suite and samples. A row that was left out
stays so.

Instructions are compared before anything is generated for them, so that no answer is paid for that would be left out.
They are compared again with their samples, since a benchmark may have become available meanwhile.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from plum_hub.errors import BenchmarkError, RunError
from plum_hub.execution import Judge
from plum_hub.lines import appending, object_of, replacing, whole_lines
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.matching import (
    SMALLEST_SOLUTION,
    SUSPICIOUS,
    BenchmarkMatcher,
    ContaminationMatch,
    count_matches,
)
from plum_hub.pipeline.decontamination.targets import Targets, targets
from plum_hub.records import Drop, Instruction, Sample, TestSuite, digest
from plum_hub.release.lineage import ContaminationReport, Decontamination
from plum_hub.run import COMPARISONS, Run

STAGE = "decontamination"
"""Name of the stage, and of both in rows that are left out."""
_SCREENING = "screening"
_METHOD = 2
"""Version of the rules in this package; another version compares again."""


def run_screening(context: Context) -> None:
    """Compare the instructions with every benchmark of the recipe that is available and was not compared yet.

    Args:
        context: One shard of the run.

    Raises:
        RunError: A file of the run is damaged or cannot be written.
    """
    _compare(context, _SCREENING)


def run_decontamination(context: Context) -> None:
    """Compare the instructions and samples with every such benchmark.

    Args:
        context: One shard of the run.

    Raises:
        SandboxError: A sample has to be run, and programs cannot be run on this machine.
        RunError: A file of the run is damaged or cannot be written.
    """
    _compare(context, STAGE)


def _compare(context: Context, stage: str) -> None:
    run, settings = context.run, context.run.recipe.decontamination
    if not settings.benchmarks:
        return
    rows = _RowSelection.of(run, with_samples=stage == STAGE)
    done = {one.benchmark for one in _comparisons(run, rows.digest)}
    pending = _available(context, [name for name in settings.benchmarks if name not in done])
    if not pending:
        return
    context.progress.begin(stage, rows.instructions + rows.samples, 0)
    matches = list(_matches(context, pending, rows))
    with run.appending(Drop) as drop:
        left_out = removed_ids(run)
        for one in _drops(run, matches):
            if one.id not in left_out:
                left_out.add(one.id)
                drop(one)
    with appending(_path(run)) as append:
        for benchmark in pending:
            append({"id": _name(run, rows.digest, benchmark.benchmark), **asdict(_row(benchmark, rows, matches))})
    context.progress.end()


def _available(context: Context, names: Sequence[str]) -> list[Targets]:
    """Load the benchmarks that are available, and report why the others are not."""
    available, missing = [], {}
    notes = []
    for name in names:
        found = context.benchmarks.get(name)
        if found is None:
            found = context.benchmarks[name] = _read(name, context.benchmark_data)
        if isinstance(found, BenchmarkError):
            missing[name] = str(found)
        else:
            available.append(found)
    if context.benchmark_data is None and len(missing) > 1:
        others = ", ".join(name for name in missing if name != "humaneval")
        notes.append(f"{STAGE}: not compared with {others}; name a folder with their data with --benchmark-data DIR")
        missing = {name: why for name, why in missing.items() if name == "humaneval"}
    notes += [f"{STAGE}: {name} is not compared: {why}" for name, why in missing.items()]
    for note in filter(context.engines.is_new_note, notes):  # once for all shards
        context.progress.say(note)
    return available


def _read(name: str, folder: Path | None) -> Targets | BenchmarkError:
    """Load a benchmark, or return why that cannot be done."""
    try:
        return targets(name, folder)
    except BenchmarkError as error:
        return error


def removed_ids(run: Run) -> set[str]:
    """Return the ids of all rows that this stage has left out.

    Args:
        run: The run.

    Returns:
        Ids of instructions, suites and samples.
    """
    return {name for name, stage in run.columns(Drop, "id", "stage") if stage == STAGE}


def forget_comparisons(run: Run) -> None:
    """Remove comparisons of other samples than the run has: those that are made again may have another text.

    Args:
        run: One shard of a run.

    Raises:
        RunError: The list of comparisons is damaged, or cannot be written.
    """
    path = _path(run)
    if not path.exists():
        return
    rows = _RowSelection.of(run, with_samples=True).digest
    listed = list(_listed(run))
    kept = [(name, one) for name, one in listed if not one.samples or name == _name(run, rows, one.benchmark)]
    if len(kept) < len(listed):
        with replacing(path) as append:
            for name, one in kept:
                append({"id": name, **asdict(one)})


def decontamination_of(run: Run) -> Decontamination:
    """Summarise what the rows of a run were compared with, and the matches.

    Args:
        run: The run.

    Returns:
        The summary, for the card and the manifest.

    Raises:
        RunError: The list of comparisons is damaged.
    """
    settings = run.recipe.decontamination
    shards = []
    for shard in run.shards:
        rows = _RowSelection.of(shard, with_samples=True).digest if _path(shard).exists() else ""
        shards.append({one.benchmark: one for one in _comparisons(shard, rows)})
    reports = {
        name: _joined([one[name] for one in shards])
        for name in settings.benchmarks
        if all(name in one for one in shards)
    }
    return Decontamination(
        ngram=settings.ngram,
        overlap=settings.overlap,
        smallest_solution=SMALLEST_SOLUTION,
        suspicious=SUSPICIOUS,
        compared=tuple(reports[name] for name in settings.benchmarks if name in reports),
        not_compared=tuple(name for name in settings.benchmarks if name not in reports),
    )


def _joined(reports: Sequence[ContaminationReport]) -> ContaminationReport:
    """Add up the comparisons of all shards with one benchmark."""
    found: Counter[str] = Counter()
    for one in reports:
        found.update(one.found)
    return replace(
        reports[0],
        revision=", ".join(dict.fromkeys(one.revision for one in reports)),
        tests_run=all(one.tests_run for one in reports),
        instructions=sum(one.instructions for one in reports),
        samples=sum(one.samples for one in reports),
        found=dict.fromkeys(reports[0].found, 0) | dict(found),
    )


@dataclass(frozen=True)
class _RowSelection:
    """Which rows are compared, and how many."""

    instructions: int
    samples: int
    digest: str
    with_samples: bool

    @classmethod
    def of(cls, run: Run, *, with_samples: bool) -> "_RowSelection":
        """Return the selection of a run's instructions, and of its samples or not."""
        instructions, samples = sorted(run.ids(Instruction)), sorted(run.ids(Sample)) if with_samples else []
        ids = [*instructions, "", *samples] if with_samples else instructions
        name = hashlib.sha256("\n".join(ids).encode()).hexdigest()
        return cls(len(instructions), len(samples), name, with_samples)


def _matches(context: Context, benchmarks: list[Targets], rows: _RowSelection) -> Iterator[ContaminationMatch]:
    """Yield all matches. Samples of an instruction that matches are not compared."""
    run, settings = context.run, context.run.recipe.decontamination
    matcher = BenchmarkMatcher(benchmarks, settings.ngram, settings.overlap)
    matched = set()
    for instruction in run.rows(Instruction):
        for one in matcher.match_instruction(instruction):
            matched.add(instruction.id)
            yield one
        context.progress.advance()
    if not rows.with_samples:
        return
    entry_points = {suite.id: suite.entry_point for suite in run.rows(TestSuite)}
    for sample in run.rows(Sample):
        if sample.instruction_id not in matched:
            yield from matcher.match_sample(sample, entry_points[sample.suite_id])
        context.progress.advance()
    if matcher.trials:
        with Judge(sandbox=run.recipe.verdicts.sandbox) as judge:
            yield from matcher.match_trials(judge)


def _drops(run: Run, matches: Iterable[ContaminationMatch]) -> Iterator[Drop]:
    """Yield a drop for every row that is left out, by instruction; the first match of a row is its evidence."""
    evidence: dict[str, ContaminationMatch] = {}
    for match in matches:
        evidence.setdefault(match.row, match)
    found: dict[str, list[Drop]] = {name: [] for (name,) in run.columns(Instruction, "id")}
    for name in found.keys() & evidence.keys():
        found[name].append(_match_drop(name, name, evidence[name]))
    for name, instruction in run.columns(TestSuite, "id", "instruction_id"):
        if instruction in evidence:
            found[instruction].append(_with_instruction(name, instruction, evidence[instruction]))
    for name, instruction in run.columns(Sample, "id", "instruction_id"):
        if name in evidence:
            found[instruction].append(_match_drop(name, instruction, evidence[name]))
        elif instruction in evidence:
            found[instruction].append(_with_instruction(name, instruction, evidence[instruction]))
    for drops in found.values():
        yield from drops


def _match_drop(name: str, instruction: str, by: ContaminationMatch) -> Drop:
    return Drop(id=name, stage=STAGE, reason=f"benchmark_{by.measure}", instruction_id=instruction, detail=by.detail)


def _with_instruction(name: str, instruction: str, by: ContaminationMatch) -> Drop:
    return Drop(id=name, stage=STAGE, reason="of_benchmark_instruction", instruction_id=instruction, detail=by.detail)


def _row(benchmark: Targets, rows: _RowSelection, matches: Iterable[ContaminationMatch]) -> ContaminationReport:
    return ContaminationReport(
        benchmark=benchmark.benchmark,
        revision=benchmark.revision,
        tasks=len(benchmark.problems),
        tests_run=any(target.problem is not None for target in benchmark.problems),
        instructions=rows.instructions,
        samples=rows.samples,
        found=count_matches(matches, benchmark.benchmark),
    )


def _comparisons(run: Run, rows: str) -> Iterator[ContaminationReport]:
    """Yield the comparisons of the run's present rows under its settings."""
    for name, comparison in _listed(run):
        if name == _name(run, rows, comparison.benchmark):
            yield comparison


def _listed(run: Run) -> Iterator[tuple[str, ContaminationReport]]:
    """Yield all comparisons of a shard, each with its id."""
    path = _path(run)
    for number, line in whole_lines(path):
        try:
            row = object_of(line)
            name = row.pop("id")
            comparison = ContaminationReport(**row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path}:{number}: not a comparison ({error}); delete this line to compare again") from error
        yield name, comparison


def _name(run: Run, rows: str, benchmark: str) -> str:
    """Return the id of a comparison: the digest of what it was made from."""
    settings = run.recipe.decontamination
    return digest(_METHOD, benchmark, rows, settings.ngram, settings.overlap)


def _path(run: Run) -> Path:
    return run.path(Drop).with_name(COMPARISONS)
