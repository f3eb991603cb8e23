"""The results of an experiment: what is in `results.json`, and the tables of `results.md`."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Literal

from plum_hub.evaluation.comparison import ScoreGain
from plum_hub.file_record import FileRecord
from plum_hub.training.record import ModelRevision

_OWN_NAMES = {("humaneval+", "base"): "HumanEval", ("humaneval+", "plus"): "HumanEval+", ("mbpp+", "base"): "MBPP",
              ("mbpp+", "plus"): "MBPP+", ("livecodebench", "base"): "LiveCodeBench"}  # fmt: skip


class PublishedAs(FileRecord):
    """Where something was published; all None where nothing was."""

    optional_keys = frozenset({"repo", "tag", "commit", "hub"})

    repo: str | None = None
    """The repository, as NAMESPACE/NAME."""
    tag: str | None = None
    """Tag of the version."""
    commit: str | None = None
    """The commit that the tag stands for."""
    hub: str | None = None
    """Value of `--hub` that finds it again."""


class ExperimentDataset(FileRecord):
    """The rows that methods were trained on."""

    folder: str
    """The run, relative to the experiment."""
    rejected: str
    """The rule of rejection."""
    instructions: int
    """Instructions with a label."""
    chosen: int
    """Samples labelled chosen."""
    rejected_samples: int
    """Samples labelled rejected."""
    self_consistency: float | None
    """Share of responses whose reference passes its own tests; None where suites were given."""
    release: PublishedAs


class ExperimentModel(FileRecord):
    """One trained model."""

    name: str
    """Name within the experiment."""
    method: str
    """`kto`, `dpo` or `sft`."""
    rejected: str | None
    """Its own rule of rejection; None for that of the recipe."""
    checkpoint: str
    """Folder, relative to the experiment."""
    steps: int
    """Optimiser steps."""
    chosen: int
    """Chosen rows that it was trained on."""
    rejected_samples: int
    """Rejected rows that it was trained on."""
    release: PublishedAs


class ModelComparison(FileRecord):
    """What one model gains over another, problem by problem."""

    first: str
    """Name of a model; `base` is the policy."""
    second: str
    """Name of the model that is compared with it."""
    sampled: bool
    """Whether it is the second evaluation, of several samples a problem."""
    gains: tuple[ScoreGain, ...]
    notes: tuple[str, ...]
    """Differences between the two evaluations that a reader needs to know."""


class ExperimentRecord(FileRecord):
    """Everything that `results.json` says."""

    version: Literal[1] = 1
    """Version of the file's format."""
    recipe: str
    """Name or file of the experiment."""
    experiment: str
    """SHA-256 of `experiment.yaml`."""
    at: str
    """When this was written: ISO 8601, in UTC."""
    policy: ModelRevision
    datasets: tuple[ExperimentDataset, ...]
    models: tuple[ExperimentModel, ...]
    comparisons: tuple[ModelComparison, ...]
    """Each later model against each earlier one, the policy first."""


def markdown(record: ExperimentRecord) -> str:
    """Write the results as Markdown.

    Args:
        record: The results.

    Returns:
        A table of the policy and every method for each evaluation, one of methods against each other, and the notes.
    """
    parts = [f"# {record.recipe}", f"Policy: {record.policy.name}, revision `{record.policy.revision}`."]
    parts += [_line(one) for one in record.datasets]
    parts += [
        f"- `{one.name}`: {one.method}, {one.steps:,} steps on {one.chosen:,} chosen and {one.rejected_samples:,} "
        f"rejected rows{_where(one.release)}"
        for one in record.models
    ]
    for sampled, found in groupby(sorted(record.comparisons, key=lambda one: one.sampled), lambda one: one.sampled):
        comparisons = [*found]
        title = "Several samples a problem" if sampled else "pass@1, per cent"
        parts.append(f"## {title}\n\n" + "\n".join(_against_base(comparisons)))
        if between := [one for one in comparisons if one.first != "base"]:
            parts.append("Methods against each other:\n\n" + "\n".join(_between(between)))
        parts += dict.fromkeys(f"Note: {note}" for one in comparisons for note in one.notes)
    return "\n\n".join(parts) + "\n"


def label(gain: ScoreGain) -> str:
    """Return the name under which a score is known.

    Args:
        gain: The score.

    Returns:
        As `HumanEval+`, with the part and the reading where they are not the usual ones.
    """
    name = _OWN_NAMES.get((gain.benchmark, gain.suite), f"{gain.benchmark} {gain.suite}")
    reading = "" if gain.reading == "official" else f" ({gain.reading})"
    return f"{name} {gain.part}".rstrip() + reading


def _against_base(comparisons: Iterable[ModelComparison]) -> Iterator[str]:
    """Yield the lines of the table of all methods beside the policy."""
    ours = [one for one in comparisons if one.first == "base"]
    yield "| tests | problems | base | " + " | ".join(one.second for one in ours) + " |"
    yield "|---|---|---|" + "---|" * len(ours)
    for gains in zip(*(one.gains for one in ours), strict=True):
        first = gains[0]
        cells = " | ".join(f"{100 * one.second:.1f} ({_interval(one)})" for one in gains)
        yield f"| {label(first)} | {first.problems} | {100 * first.first:.1f} | {cells} |"


def _between(comparisons: Iterable[ModelComparison]) -> Iterator[str]:
    yield "| tests | from | to | gain, 95 % |"
    yield "|---|---|---|---|"
    for one in comparisons:
        for gain in one.gains:
            if not gain.part:
                yield f"| {label(gain)} | {one.first} | {one.second} | {_interval(gain)} |"


def _interval(gain: ScoreGain) -> str:
    low, middle, high = (f"{100 * share:+.1f}" for share in (gain.low, gain.gain, gain.high))
    return f"{middle}, {low} to {high}"


def _line(one: ExperimentDataset) -> str:
    shares = "" if one.self_consistency is None else f", self-consistency {one.self_consistency:.1%}"
    return (
        f"- `{one.folder}`: {one.instructions:,} instructions with {one.chosen:,} chosen and {one.rejected_samples:,} "
        f"rejected ({one.rejected}) samples{shares}{_where(one.release)}"
    )


def _where(release: PublishedAs) -> str:
    return f"; {release.repo}@{release.tag or release.commit}" if release.repo else ""
