"""Compute scores from verdicts: pass@k with its standard error, under both readings, in all and by difficulty."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from plum_hub.evaluation.config import SelectedBenchmark
from plum_hub.evaluation.folder import (
    BenchmarkCounts,
    Counts,
    EvaluationRecord,
    RuleDisagreement,
    ScoresRecord,
    SuiteVerdict,
)
from plum_hub.passk import pass_at_k
from plum_hub.records import Score
from plum_hub.statistics import mean_over_problems

Reading = Literal["official", "strict"]
"""Whose rules decide where they differ: those of the benchmark's own judge, or the strict ones."""
_READINGS: tuple[Reading, ...] = ("official", "strict")

_KS = (1, 5, 10)
_PARTS = {"difficulty": ("easy", "medium", "hard"), "split": ("test", "validation", "train", "prompt")}
"""Tags that scores are broken down by, and their values in the order in which they are shown."""


@dataclass(frozen=True)
class JudgedSample:
    """One sample of a problem with its verdicts by suite."""

    sample_id: str
    problem: str
    code: str | None
    answer: str
    verdicts: Mapping[str, SuiteVerdict]

    def passed(self, measures: tuple[str, ...], reading: Reading) -> bool:
        """Tell whether the sample passed every one of some measures.

        Args:
            measures: The measures.
            reading: Whose rules decide.

        Returns:
            True if it passed them all.
        """
        return all(self.verdict(measure, reading).status == "passed" for measure in measures)

    def verdict(self, measure: str, reading: Reading) -> SuiteVerdict:
        """Return the verdict on a measure under a reading. If the rules do not differ, there is only one verdict.

        Args:
            measure: `base` or `plus`.
            reading: Whose rules decide.

        Returns:
            The verdict.

        Raises:
            KeyError: The sample has no verdict on this measure.
        """
        return (self.verdicts.get(f"{measure}:strict") if reading == "strict" else None) or self.verdicts[measure]


@dataclass(frozen=True)
class BenchmarkOutcomes:
    """The samples of one benchmark and their verdicts."""

    chosen: SelectedBenchmark
    judged: tuple[JudgedSample, ...]

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """As in `SelectedBenchmark.measures`."""
        return self.chosen.measures

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """Both readings, if the benchmark has rules that differ."""
        differ = any(":" in name for problem in self.chosen.problems.values() for name in problem.suites)
        return _READINGS if differ else _READINGS[:1]

    def counts(self, measure: str, reading: Reading) -> Counts:
        """Count the samples of each problem that passed a measure and those before it.

        Args:
            measure: `base` or `plus`.
            reading: Whose rules decide.

        Returns:
            (samples, passed) of each problem.
        """
        measures = self.measures[: self.measures.index(measure) + 1]
        counts: Counts = {}
        for one in self.judged:
            samples, passed = counts.get(one.problem, (0, 0))
            reached = tuple(name for name in measures if name in one.verdicts)
            counts[one.problem] = (samples + 1, passed + one.passed(reached, reading))
        return counts

    def parts(self) -> dict[str, set[str]]:
        """Group the problems by difficulty or split.

        Returns:
            Ids of the problems of each part; the first part, "", has all problems.
        """
        problems = {one.problem for one in self.judged}
        parts = {"": problems}
        for tag, values in _PARTS.items():
            tags = {name: self.chosen.problems[name].tags.get(tag) for name in problems}
            parts |= {value: {name for name in problems if tags[name] == value} for value in values}
        return {part: names for part, names in parts.items() if names}

    def disagreements(self) -> Iterator[RuleDisagreement]:
        """Find the samples on which the two readings disagree.

        Yields:
            One entry for each problem and measure.
        """
        for number, measure in enumerate(self.measures, 1):
            measures = self.measures[:number]
            split: dict[str, tuple[list[str], list[str]]] = {}
            for one in self.judged:
                official, strict = (one.passed(measures, reading) for reading in _READINGS)
                if official != strict:
                    split.setdefault(one.problem, ([], []))[0 if official else 1].append(one.sample_id)
            for problem, (official_only, strict_only) in split.items():
                yield RuleDisagreement(self.chosen.name, problem, measure, tuple(official_only), tuple(strict_only))


@dataclass(frozen=True)
class EvaluationResults:
    """The results of an evaluation."""

    outcomes: Mapping[str, BenchmarkOutcomes]
    """Samples and verdicts of each benchmark."""
    scores: tuple[Score, ...]
    head: EvaluationRecord
    """The content of `evaluation.json`."""
    notes: tuple[str, ...] = ()
    """Remarks that a reader of the scores needs, one line each."""
    fresh_samples: int = 0
    """Samples that this call generated."""
    fresh_verdicts: int = 0
    """Verdicts that this call made."""
    seconds: float = 0.0
    """Time that this call took, without loading the benchmarks."""
    files: tuple[str, ...] = ()
    """Names of the files that hold the scores."""
    folder: Path = Path()
    """The folder of all results."""
    greedy: "EvaluationResults | None" = None
    """The results of a greedy sample of each problem, if one was asked for beside those that were drawn."""

    def disagreements(self) -> list[RuleDisagreement]:
        """Return the disagreements of all benchmarks."""
        return [one for outcomes in self.outcomes.values() for one in outcomes.disagreements()]

    def record(self) -> ScoresRecord:
        """Return the content of `scores.json`."""
        return ScoresRecord(
            **dict(self.head),
            scores=self.scores,
            outcomes={name: _counted(outcomes) for name, outcomes in self.outcomes.items()},
            disagreements=tuple(self.disagreements()),
            notes=self.notes,
        )


def scores_of(outcomes: BenchmarkOutcomes, record: Callable[..., Score]) -> Iterator[Score]:
    """Compute every score of a benchmark.

    Args:
        outcomes: The results, with at least one sample of each problem.
        record: Makes a `Score` from the fields that are decided here.

    Yields:
        The scores.
    """
    for measure in outcomes.measures:
        for reading in outcomes.readings:
            counts = outcomes.counts(measure, reading)
            for part, problems in outcomes.parts().items():
                selected = [counts[name] for name in counts if name in problems]
                fewest = min(samples for samples, _ in selected)
                for k in ks(fewest):
                    estimate = mean_over_problems([pass_at_k(samples, passed, k) for samples, passed in selected])
                    yield record(
                        suite=measure,
                        reading=reading,
                        part=part,
                        metric=f"pass@{k}",
                        value=estimate.value,
                        stderr=estimate.stderr,
                        problems=len(selected),
                        samples=fewest,
                    )


def ks(samples: int) -> list[int]:
    """List the k of pass@k that are reported.

    Args:
        samples: Samples of each problem.

    Returns:
        Those of 1, 5, 10 and the number of samples that do not exceed it, ascending.
    """
    return sorted({k for k in (*_KS, samples) if k <= samples})


def _counted(outcomes: BenchmarkOutcomes) -> BenchmarkCounts:
    return BenchmarkCounts(
        revision=outcomes.chosen.revision,
        counts={
            measure: {reading: outcomes.counts(measure, reading) for reading in outcomes.readings}
            for measure in outcomes.measures
        },
        parts={part: sorted(names) for part, names in outcomes.parts().items() if part},
    )
