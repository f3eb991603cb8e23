"""From verdicts to scores: pass@k with its standard error, by both readings, over all problems and by difficulty."""

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
READINGS: tuple[Reading, ...] = ("official", "strict")

_KS = (1, 5, 10)
_PARTS = {"difficulty": ("easy", "medium", "hard"), "split": ("test", "validation", "train", "prompt")}
"""The tags that scores are broken down by, and their values in the order in which they are shown."""


@dataclass(frozen=True)
class JudgedSample:
    """One sample of a problem with what its program came to, by suite."""

    sample_id: str
    problem: str
    code: str | None
    answer: str
    verdicts: Mapping[str, SuiteVerdict]

    def passed(self, measures: tuple[str, ...], reading: Reading) -> bool:
        """Whether every one of the measures was passed."""
        return all(self.verdict(measure, reading).status == "passed" for measure in measures)

    def verdict(self, measure: str, reading: Reading) -> SuiteVerdict:
        """Of the suite that a reading has for a measure; where the rules agree there is only one."""
        return (self.verdicts.get(f"{measure}:strict") if reading == "strict" else None) or self.verdicts[measure]


@dataclass(frozen=True)
class BenchmarkOutcomes:
    """What came of one benchmark."""

    chosen: SelectedBenchmark
    judged: tuple[JudgedSample, ...]

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """As `SelectedBenchmark.measures`."""
        return self.chosen.measures

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """Both where the benchmark has rules that differ."""
        differ = any(":" in name for problem in self.chosen.problems.values() for name in problem.suites)
        return READINGS if differ else READINGS[:1]

    def counts(self, measure: str, reading: Reading) -> Counts:
        """By problem: how many samples it has, and how many passed this measure and those before it."""
        asked = self.measures[: self.measures.index(measure) + 1]
        found: Counts = {}
        for one in self.judged:
            samples, passed = found.get(one.problem, (0, 0))
            there = tuple(name for name in asked if name in one.verdicts)
            found[one.problem] = (samples + 1, passed + one.passed(there, reading))
        return found

    def parts(self) -> dict[str, set[str]]:
        """The problems by difficulty, or by split, those of all first under ""."""
        asked = {one.problem for one in self.judged}
        found = {"": asked}
        for tag, values in _PARTS.items():
            tags = {name: self.chosen.problems[name].tags.get(tag) for name in asked}
            found |= {value: {name for name in asked if tags[name] == value} for value in values}
        return {part: names for part, names in found.items() if names}

    def disagreements(self) -> Iterator[RuleDisagreement]:
        """Where the two readings part, by problem."""
        for number, measure in enumerate(self.measures, 1):
            asked = self.measures[:number]
            parted: dict[str, tuple[list[str], list[str]]] = {}
            for one in self.judged:
                official, strict = (one.passed(asked, reading) for reading in READINGS)
                if official != strict:
                    parted.setdefault(one.problem, ([], []))[0 if official else 1].append(one.sample_id)
            for problem, (official_only, strict_only) in parted.items():
                yield RuleDisagreement(self.chosen.name, problem, measure, tuple(official_only), tuple(strict_only))


@dataclass(frozen=True)
class EvaluationResults:
    """What an evaluation came to."""

    outcomes: Mapping[str, BenchmarkOutcomes]
    scores: tuple[Score, ...]
    head: EvaluationRecord
    """What `evaluation.json` says."""
    notes: tuple[str, ...] = ()
    fresh_samples: int = 0
    fresh_verdicts: int = 0
    seconds: float = 0.0
    files: tuple[str, ...] = ()
    folder: Path = Path()
    """The folder of all results."""

    def disagreements(self) -> list[RuleDisagreement]:
        """Of all benchmarks."""
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
    """Every score of a benchmark.

    Args:
        outcomes: with at least one sample of each problem.
        record: makes a `Score`, given what is decided here.
    """
    for measure in outcomes.measures:
        for reading in outcomes.readings:
            counts = outcomes.counts(measure, reading)
            for part, problems in outcomes.parts().items():
                these = [counts[name] for name in counts if name in problems]
                fewest = min(samples for samples, _ in these)
                for k in ks(fewest):
                    estimate = mean_over_problems([pass_at_k(samples, passed, k) for samples, passed in these])
                    yield record(
                        suite=measure,
                        reading=reading,
                        part=part,
                        metric=f"pass@{k}",
                        value=estimate.value,
                        stderr=estimate.stderr,
                        problems=len(these),
                        samples=fewest,
                    )


def ks(samples: int) -> list[int]:
    """The k of pass@k for so many samples a problem: 1, 5, 10 and their number."""
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
