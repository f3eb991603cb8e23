"""Trained models as rows of the paper's tables. A row holds only numbers that compare with those beside it."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from plum_hub.evaluation.comparison import ScoreGain
from plum_hub.evaluation.protocol import protocol_label
from plum_hub.records import Score
from plum_hub.reports.content import BuildFacts, PaperRow, ReportedGain
from plum_hub.reports.results import FoundEvaluation, TrainedResult, interval, is_quoted
from plum_hub.statistics import relative_gain

BENCHMARKS = ("mbpp", "mbpp+", "humaneval", "humaneval+")
"""The columns of HumanEval and MBPP."""
_MEANS = {"mean_base": ("mbpp", "humaneval"), "mean_plus": ("mbpp+", "humaneval+"), "mean": BENCHMARKS}
_Place: TypeAlias = tuple[str, str, str]
"""Benchmark, suite and part of a score."""
_SUITES: Mapping[str, tuple[_Place, ...]] = {
    "mbpp": (("mbpp+", "base", ""), ("mbpp", "base", "")),
    "mbpp+": (("mbpp+", "plus", ""),),
    "humaneval": (("humaneval+", "base", ""), ("humaneval", "base", "")),
    "humaneval+": (("humaneval+", "plus", ""),),
    "overall": (("livecodebench", "base", ""),),
}
"""Where a column's score is: EvalPlus' base tests, on its problems, before those of the original benchmark."""
ColumnPlaces: TypeAlias = tuple[_Place | None, ...]
"""Where the score of a column is, or the scores that it is the mean of; None where rows do not compare."""


@dataclass(frozen=True)
class TrainedArm:
    """One trained model with its base, as one evaluation of each found them."""

    name: str
    """The training's."""
    model: str
    model_revision: str
    data: str
    rows_revision: str
    """Revision of the rows that it was trained on."""
    instructions: Hashable
    """What tells the instructions of those rows from others."""
    method: str
    negatives: str
    after: FoundEvaluation
    before: FoundEvaluation | None
    gains: Mapping[_Place, ScoreGain]


def read_arm(result: TrainedResult, builds: Sequence[BuildFacts], gains: Sequence[ReportedGain]) -> TrainedArm:
    """Gather what the tables need of a trained model.

    Args:
        result: A training with an evaluation of its model.
        builds: The builds of the report.
        gains: Comparisons of trained models with their bases.

    Returns:
        The trained model.
    """
    training, name = result.training, result.after.facts.name
    build = _build_of(result, builds)
    sign = f"{training.name} {training.data}".replace("-", "_")
    own = [one.gain for one in gains if one.after == name and one.training == training.name]
    return TrainedArm(
        name=training.name,
        model=training.model,
        model_revision=training.revision,
        data=build.data if build else training.data,
        rows_revision=training.data_revision,
        instructions=(build and build.sources) or training.data_revision,
        method=training.method,
        negatives="non_executable" if "non_executable" in sign else build.negatives if build else "failing",
        after=result.after,
        before=result.before,
        gains={(gain.benchmark, gain.suite, gain.part): gain for gain in own},
    )


def paired_rows(arm: TrainedArm, columns: Sequence[str]) -> list[PaperRow]:
    """Return Baseline, PLUM and Rel. + of a trained model, on the problems that both models were asked.

    Args:
        arm: The trained model.
        columns: The columns: `mbpp`, `mbpp+`, `humaneval`, `humaneval+`, a mean of them, or `easy`, `medium`, `hard`
            and `overall` for LiveCodeBench.

    Returns:
        The three rows; none if no column was measured. Where the two evaluations do not compare, only PLUM has a value.
    """
    pairs = [_pair(arm, column) for column in columns]
    if all(pair.after is None for pair in pairs):
        return []
    return [
        _row(arm, "Baseline", arm.before, [(pair.before, pair.before_between) for pair in pairs]),
        _row(arm, "PLUM", arm.after, [(pair.after, pair.after_between) for pair in pairs]),
        _row(arm, "Rel. +", arm.after, [(pair.relative, pair.relative_between) for pair in pairs]),
    ]


def common_places(
    columns: Sequence[str], evaluations: Sequence[FoundEvaluation], base: FoundEvaluation | None
) -> list[ColumnPlaces]:
    """Find where each column's scores are, such that all evaluations that have one were asked the same problems.

    Args:
        columns: The columns, as for `paired_rows`.
        evaluations: The evaluations to be shown below one another.
        base: That of their base, which decides where several places fit the others equally.

    Returns:
        For each column its places: those that most evaluations have.
    """

    def place_of(column: str) -> _Place | None:
        fitting = []
        for place in _places(column):
            asked = [found for one in evaluations if (found := _asked(one, place))]
            if asked and all(each == asked[0] for each in asked):
                fitting.append(((len(asked), base is not None and _asked(base, place) == asked[0]), place))
        return max(fitting, key=lambda found: found[0], default=(None, None))[1]  # the first of equal ones

    return [tuple(place_of(part) for part in _MEANS.get(column, (column,))) for column in columns]


def scored_row(
    arm: TrainedArm,
    item: str,
    evaluation: FoundEvaluation | None,
    places: Sequence[ColumnPlaces],
    like: Sequence[FoundEvaluation] = (),
) -> PaperRow:
    """Return the scores of one evaluation.

    Args:
        arm: The trained model, or one of those that the evaluated model is the base of.
        item: What the row is called.
        evaluation: The evaluation; None for a row without values.
        places: Where the score of each column is.
        like: Evaluations that must have been asked the same problems.

    Returns:
        The row. A mean has a value only if all its parts have.
    """
    cells: list[tuple[float | None, tuple[float, float] | None]] = []
    for column in places:
        found = [
            score.value
            for place in column
            if evaluation is not None and place is not None and (score := _score(evaluation, place)) is not None
            if all(_asked(one, place) in (None, _asked(evaluation, place)) for one in like)
        ]
        single = _score(evaluation, column[0]) if evaluation and column[0] and len(column) == 1 and found else None
        cells.append((_mean(found) if len(found) == len(column) else None, interval(single) if single else None))
    return _row(arm, item, evaluation, cells)


@dataclass(frozen=True)
class _Pair:
    """The numbers of a column, as shares: before, after, and the gain as a share of the first."""

    before: float | None = None
    after: float | None = None
    relative: float | None = None
    before_between: tuple[float, float] | None = None
    after_between: tuple[float, float] | None = None
    relative_between: tuple[float, float] | None = None


def _pair(arm: TrainedArm, column: str) -> _Pair:
    if column in _MEANS:
        parts = [_pair(arm, part) for part in _MEANS[column]]
        before, after = _mean([part.before for part in parts]), _mean([part.after for part in parts])
        return _Pair(before, after, None if before is None or after is None else relative_gain(before, after))
    place = next((place for place in _places(column) if place in arm.gains), None)
    if place is None:
        scores = [score for place in _places(column) if (score := _score(arm.after, place))]
        return _Pair(after=scores[0].value, after_between=interval(scores[0])) if scores else _Pair()
    gain = arm.gains[place]
    before_between, after_between = (
        interval(score)
        if evaluation and (score := _score(evaluation, place)) and score.problems == gain.problems
        else None
        for evaluation in (arm.before, arm.after)
    )
    between = (100 * gain.low / gain.first, 100 * gain.high / gain.first) if gain.first else None
    return _Pair(gain.first, gain.second, gain.relative, before_between, after_between, between)


def _places(column: str) -> tuple[_Place, ...]:
    return _SUITES.get(column, (("livecodebench", "base", column),))


def _score(evaluation: FoundEvaluation, place: _Place) -> Score | None:
    """Return pass@1 under the benchmark's own rules; None if it was not measured."""
    for score in evaluation.facts.scores:
        if (score.benchmark, score.suite, score.part) == place and is_quoted(score):
            return score
    return None


def _asked(evaluation: FoundEvaluation, place: _Place) -> tuple[str, str, frozenset[str]] | None:
    """Return protocol, revision and problems of a score; two scores of which any differs do not compare."""
    benchmark, suite, part = place
    outcomes = evaluation.record.outcomes.get(benchmark)
    if outcomes is None or suite not in outcomes.counts or _score(evaluation, place) is None:
        return None
    problems = frozenset(outcomes.counts[suite]["official"])
    label = protocol_label(benchmark, evaluation.record.protocol)
    return label, outcomes.revision, problems & frozenset(outcomes.parts.get(part, ())) if part else problems


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(values) if values and len(known) == len(values) else None


def _row(
    arm: TrainedArm,
    item: str,
    evaluation: FoundEvaluation | None,
    cells: Sequence[tuple[float | None, tuple[float, float] | None]],
) -> PaperRow:
    """Return a row of shares, in per cent, with intervals, which are in per cent."""
    return PaperRow(
        origin="here",
        model=arm.model,
        data=arm.data,
        item=item,
        evaluation=f"{evaluation.facts.name}, {evaluation.facts.asked}" if evaluation else "",
        values=tuple(None if value is None else 100 * value for value, _ in cells),
        intervals=tuple(between for _, between in cells),
    )


def _build_of(result: TrainedResult, builds: Sequence[BuildFacts]) -> BuildFacts | None:
    """Find the build that a training read: by its revision, else the only one in the same folder."""
    root = result.training.name.partition("/")[0]
    exact = [build for build in builds if build.revision == result.training.data_revision]
    beside = [build for build in builds if build.name.partition("/")[0] == root]
    return exact[0] if exact else beside[0] if len(beside) == 1 else None
