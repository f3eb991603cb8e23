"""The content of a report: every figure that it shows, as one record."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from plum_hub.cards import StageCount
from plum_hub.evaluation.comparison import ScoreGain
from plum_hub.records import Score
from plum_hub.release.lineage import InstructionSource, SelfConsistency
from plum_hub.rounds.gain import RoundGain
from plum_hub.statistics import Distribution
from plum_hub.training.curves import Curve

Origin: TypeAlias = Literal["here", "paper"]
"""Who measured a number: the runs of the report, or the paper."""


@dataclass(frozen=True, kw_only=True)
class ReportedModel:
    """A model that took part, and how it was sampled."""

    role: str
    """`policy` or `generator`."""
    name: str
    revision: str
    engine: str
    sampling: str
    """Temperature, top-p and most tokens, in words."""


@dataclass(frozen=True, kw_only=True)
class BuildFacts:
    """The figures of a build or of a released dataset."""

    name: str
    revision: str
    """`sha256:…` of the run's sealed recipe, or the commit of the release: as a training names what it read."""
    models: tuple[ReportedModel, ...]
    sources: tuple[InstructionSource, ...]
    data: str
    """Short name of the instructions, as `oss-instruct`."""
    suites_from: str | None
    """Where the suites come from, if no generator wrote them."""
    samples_per_suite: int
    rule: str
    """Name of the labelling rule."""
    negatives: str
    """What the rule rejects: `failing`, `non_executable` or `both`."""
    harness: str
    """Version of the sandbox; "" if nothing was judged."""
    stages: tuple[StageCount, ...]
    """Rows that each stage kept and left out."""
    statuses: Mapping[str, int]
    """Verdicts by status."""
    chosen: int
    rejected: int
    pass_ratios: tuple[int, ...]
    """Suites by the share of their samples that pass them, in ten bins from 0 to 1."""
    self_consistency: SelfConsistency | None
    """None if no generator wrote suites."""
    evidence: Mapping[str, Distribution]
    """Distributions of what is known of the suites without gold tests, by name, as `mutation score`."""


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """A training: what was trained on what, and its curves."""

    name: str
    method: str
    model: str
    revision: str
    data: str
    """What it was trained on, as its record names it."""
    data_revision: str
    on_policy: bool | None
    finished: bool
    steps: int
    instructions: int
    chosen: int
    rejected: int
    settings: Mapping[str, Any]
    """Settings that determine what is learnt."""
    curves: tuple[Curve, ...]


@dataclass(frozen=True, kw_only=True)
class RoundFacts:
    """A round of sampling and training, measured on instructions that no round trains on."""

    name: str
    """The folder of the rounds."""
    number: int
    """From 1."""
    started_with: str
    """The model that was sampled and trained."""
    started_with_revision: str
    model: str
    """The model that the round ended with."""
    revision: str
    published: str
    """Repository and tag of that model; "" if it was not published."""
    samples_each: int | None
    """Samples of each instruction."""
    instructions: int
    """Instructions that the round trained on."""
    chosen: int
    rejected: int
    steps: int
    gain: RoundGain
    decision: str
    """Whether another round followed, and why."""


@dataclass(frozen=True, kw_only=True)
class EvaluationFacts:
    """The scores of one evaluation."""

    name: str
    model: str
    revision: str
    asked: str
    """Samples of each problem and their temperature, in words."""
    terms: tuple[str, ...]
    """What the scores rest on, one line per benchmark."""
    scores: tuple[Score, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ReportedGain:
    """What a training gained, from two evaluations on the same problems."""

    training: str
    method: str
    before: str
    """Name of the base's evaluation."""
    after: str
    """Name of the trained model's evaluation."""
    asked: str
    """How that one was asked, as in `EvaluationFacts`."""
    gain: ScoreGain


@dataclass(frozen=True, kw_only=True)
class LabelTruth:
    """Labels of one way to make suites, beside the verdicts of gold tests."""

    name: str
    """The folder of the comparison."""
    suites: str
    """How the suites were made, as `best` or `vote`."""
    problems: int
    chosen: int
    right_chosen: int
    """Chosen samples that pass the gold tests."""
    rejected: int
    right_rejected: int
    """Rejected samples that fail the gold tests."""


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """One line of a table: a model under one method."""

    origin: Origin
    model: str
    data: str
    item: str
    """`Baseline`, `PLUM`, `Rel. +` and so on."""
    evaluation: str = ""
    """Name of the evaluation that measured it, and how it was asked; "" for published rows and for builds."""
    values: tuple[float | None, ...]
    """Per cent, in the order of the columns; None where it was not measured."""
    intervals: tuple[tuple[float, float] | None, ...] = ()
    """95 % intervals of `values`; empty for published rows, which have none."""


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table or figure of the paper, with the rows of this report before the published ones."""

    id: str
    """As `table2`."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    missing: str | None
    """Which run would fill it; None if it has a row of this report."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Everything that a report states; the rows of its explorer are beside it."""

    title: str
    version: str
    """Version of plum-hub that made the report."""
    builds: tuple[BuildFacts, ...]
    trainings: tuple[TrainingFacts, ...]
    rounds: tuple[RoundFacts, ...]
    evaluations: tuple[EvaluationFacts, ...]
    gains: tuple[ReportedGain, ...]
    truths: tuple[LabelTruth, ...]
    tables: tuple[PaperTable, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the content as JSON values, without local paths: a source in a folder has the folder's last part."""
        values = asdict(self)
        for build, shown in zip(self.builds, values["builds"], strict=True):
            for source, row in zip(build.sources, shown["sources"], strict=True):
                row["name"] = source.public_name
        return values
