"""The rows of a build or a release, instruction by instruction, for a reader who explores them."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any

from plum_hub.pipeline.published import reading_release
from plum_hub.records import Drop, Instruction, Preference, Sample, SuiteStrength, SuiteVote, TestSuite, Verdict
from plum_hub.release.reading import config_files, instruction_of, read_rows, sample_of, suite_of, verdict_of
from plum_hub.release.schemas import Config
from plum_hub.reports.sources import FoundFolder
from plum_hub.run import Run


@dataclass(kw_only=True)
class ExploredSample:
    """A sample with its verdict and what became of it."""

    sample: Sample
    verdict: Verdict | None = None
    label: bool | None = None
    """True for chosen, False for rejected, None for left out or not labelled yet."""
    left_out: str = ""
    """Why it was left out."""


@dataclass(kw_only=True)
class ExploredInstruction:
    """An instruction with everything that was made from it."""

    instruction: Instruction
    suite: TestSuite | None = None
    evidence: Mapping[str, float | None] = field(default_factory=dict)
    """What is known of the suite's strength, by name."""
    shares: list[float] = field(default_factory=list)
    """For each case, the share of the references that voted for it; empty without a vote."""
    samples: list[ExploredSample] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    """Answers of the generator, or the instruction itself, that were left out."""


def explored(found: FoundFolder, limit: int) -> tuple[list[ExploredInstruction], int]:
    """Read the rows of a build or a release.

    Args:
        found: A folder of kind `build` or `release`.
        limit: Most samples to read. If there are more, instructions are taken at equal distances.

    Returns:
        The instructions in the order in which they were made, and the number of those that were not taken.

    Raises:
        RunError: A file of the run is damaged.
        HubError: A file of the release is damaged.
    """
    if found.kind == "build":
        return _of_run(Run.open(found.path), limit)
    with reading_release(found.name):
        return _of_release(found.path, limit)


def taken(samples: Mapping[str, int], limit: int) -> set[str]:
    """Choose instructions at equal distances whose samples do not exceed a number.

    Args:
        samples: Samples of each instruction, in order.
        limit: Most samples in all.

    Returns:
        The chosen ones; all of them if they fit, at least one.
    """
    total = sum(samples.values())
    if total <= limit:
        return set(samples)
    kept: set[str] = set()
    used = 0
    for (name, count), before in zip(samples.items(), accumulate([0, *samples.values()]), strict=False):
        if used + count <= limit * (before + count) / total:
            kept.add(name)
            used += count
    return kept or {next(iter(samples))}


def _of_run(run: Run, limit: int) -> tuple[list[ExploredInstruction], int]:
    counts = dict.fromkeys((name for (name,) in run.columns(Instruction, "id")), 0)
    for (name,) in run.columns(Sample, "instruction_id"):
        counts[name] = counts.get(name, 0) + 1
    kept = taken(counts, limit)
    entries = {row.id: ExploredInstruction(instruction=row) for row in run.rows(Instruction) if row.id in kept}
    for suite in run.rows(TestSuite):
        if suite.instruction_id in entries and entries[suite.instruction_id].suite is None:
            entries[suite.instruction_id].suite = suite
    for entry, evidence, shares in _evidence(run, entries):
        entry.evidence = {**entry.evidence, **evidence}
        entry.shares = shares or entry.shares
    samples = {row.id: ExploredSample(sample=row) for row in run.rows(Sample) if row.instruction_id in entries}
    for verdict in run.rows(Verdict):
        if verdict.sample_id in samples:
            samples[verdict.sample_id].verdict = verdict
    for name, label in run.columns(Preference, "sample_id", "label"):
        if name in samples:
            samples[name].label = label
    _place(entries, samples, run.rows(Drop))
    return list(entries.values()), len(counts) - len(entries)


def _evidence(
    run: Run, entries: Mapping[str, ExploredInstruction]
) -> Iterator[tuple[ExploredInstruction, dict[str, float | None], list[float]]]:
    """Yield what a run knows of its suites."""
    for strength in run.rows(SuiteStrength):
        entry = entries.get(strength.instruction_id)
        if entry is not None and entry.suite is not None and entry.suite.id == strength.id:
            yield entry, {
                "mutation score": strength.mutation_score,
                "statement coverage": strength.statement_coverage,
                "branch coverage": strength.branch_coverage,
            }, []  # fmt: skip
    for vote in run.rows(SuiteVote):
        entry = entries.get(vote.instruction_id)
        if entry is not None and entry.suite is not None and entry.suite.id == vote.id:
            yield entry, {"voters": len(vote.responses), "agreement": fmean(vote.shares)}, vote.shares


def _of_release(folder: Path, limit: int) -> tuple[list[ExploredInstruction], int]:
    def rows(config: Config, columns: Collection[str] | None = None) -> Iterator[Mapping[str, Any]]:
        return read_rows(config_files(folder, config), columns)

    counts: dict[str, int] = dict.fromkeys(
        (row["instruction_id"] for row in rows("test_suites", ["instruction_id"])), 0
    )
    for row in rows("samples", ["instruction_id"]):
        counts[row["instruction_id"]] += 1
    kept = taken(counts, limit)
    entries: dict[str, ExploredInstruction] = {}
    for row in rows("test_suites"):
        if row["instruction_id"] in kept and row["instruction_id"] not in entries:
            entries[row["instruction_id"]] = ExploredInstruction(
                instruction=instruction_of(row),
                suite=suite_of(row),
                evidence={
                    name.replace("_", " "): row[name]
                    for name in ("mutation_score", "statement_coverage", "branch_coverage", "voters", "agreement")
                    if name in row
                },
                shares=row.get("shares") or [],
            )
    samples = {}
    for row in rows("samples"):
        if row["instruction_id"] in entries:
            samples[row["sample_id"]] = ExploredSample(sample=sample_of(row), verdict=verdict_of(row))
    for row in rows("kto", ["sample_id", "label"]):
        if row["sample_id"] in samples:
            samples[row["sample_id"]].label = row["label"]
    _place(entries, samples, (Drop(**row) for row in rows("dropped")))
    return list(entries.values()), len(counts) - len(entries)


def _place(
    entries: Mapping[str, ExploredInstruction], samples: Mapping[str, ExploredSample], drops: Iterator[Drop]
) -> None:
    """Give each instruction its samples, in order, and each row that was left out its place."""
    by_instruction: dict[str, list[ExploredSample]] = defaultdict(list)
    for one in samples.values():
        by_instruction[one.sample.instruction_id].append(one)
    for name, its in by_instruction.items():
        entries[name].samples = sorted(its, key=lambda one: one.sample.index)
    for drop in drops:
        if drop.id in samples:
            samples[drop.id].left_out = drop.reason
        elif drop.instruction_id in entries:
            entries[drop.instruction_id].drops.append(drop)
