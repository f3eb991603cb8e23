"""What is to be evaluated: the model or the file of generations, the benchmarks, and which of their problems."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from plum_hub.benchmarks import load
from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.durations import raise_limits
from plum_hub.engines import EngineConfig
from plum_hub.errors import UsageError
from plum_hub.evaluation.protocol import Protocol
from plum_hub.execution import Judge
from plum_hub.records import digest


@dataclass(frozen=True, kw_only=True)
class ProblemSelection:
    """Which problems of each benchmark; by its tags where it has them. Empty means all."""

    since: str = ""
    """The first date, as 2024-08-01."""
    until: str = ""
    """The last date; that day is in."""
    difficulties: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    first: int | None = None
    """So many problems of each benchmark, from its beginning."""

    @property
    def by_tag(self) -> bool:
        """Whether tags decide."""
        return bool(self.since or self.until or self.difficulties or self.platforms)

    def takes(self, problem: Problem) -> bool:
        """Whether the problem's tags are among those wanted. A problem without a tag that is asked for is not."""
        tags = problem.tags
        date = tags.get("date", "")[:10]
        return (
            (not self.since or date >= self.since)
            and (not self.until or (bool(date) and date <= self.until))
            and (not self.difficulties or tags.get("difficulty") in self.difficulties)
            and (not self.platforms or tags.get("platform") in self.platforms)
        )


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """One evaluation. Either `model` or `generations` is there."""

    benchmarks: tuple[str, ...]
    """Names; of `generations` may be empty, and then the file's ids say which."""
    folder: Path
    """Where everything is kept."""
    model: EngineConfig | None = None
    generations: Path | None = None
    """A file of somebody else's programs."""
    protocol: Protocol = field(default_factory=Protocol)
    any_form: bool = True
    """Whether the model decides about `protocol.prompt`."""
    selection: ProblemSelection = field(default_factory=ProblemSelection)
    data: Path | None = None
    """A file or folder with the benchmarks' files; their pinned versions on the Hub when not given."""
    partial: bool = False
    """Whether problems that `generations` lacks are left out of the score, rather than refused."""
    workers: int | None = None


@dataclass(frozen=True)
class SelectedBenchmark:
    """The chosen problems of one benchmark."""

    name: str
    revision: str
    problems: Mapping[str, Problem]
    ids: frozenset[str]
    """Of all its problems, chosen or not."""
    caveat: str = ""
    """What to say beside every score."""

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """What a sample can pass, each including those before it: `base`, `plus`."""
        names = {name: None for problem in self.problems.values() for name in problem.suites}
        return tuple(name for name in names if ":" not in name)

    @cached_property
    def _runs(self) -> dict[tuple[str, str], str]:
        return {}

    def run_for(self, problem: Problem, suite: str) -> str:
        """The suite that is run for a suite's verdicts: itself, or the one that it is a reading of."""
        key = (problem.id, suite)
        if key not in self._runs:
            measure = suite.partition(":")[0]
            self._runs[key] = measure if problem.has_strict_reading(measure) else suite
        return self._runs[key]

    @cached_property
    def _suite_ids(self) -> dict[tuple[str, str], str]:
        return {}

    def suite_id(self, problem: Problem, suite: str) -> str:
        """The digest of all that decides beside the program; of a stricter reading, with that of what is run for it."""
        key = (problem.id, suite)
        if key not in self._suite_ids:
            run = self.run_for(problem, suite)
            cases = [{"": type(case).__name__, **vars(case)} for case in problem.cases(run)]
            limit = problem.limits.get(suite, problem.cpu_seconds)
            self._suite_ids[key] = digest(*key, problem.entry_point, problem.setup, limit, cases)
        return self._suite_ids[key]


def choose(names: Sequence[str], selection: ProblemSelection, data: Path | None) -> dict[str, SelectedBenchmark]:
    """The benchmarks by name.

    Raises:
        BenchmarkError: a benchmark is unknown, or cannot be had.
        UsageError: nothing of a benchmark is chosen.
    """
    chosen = {}
    for name in names:
        benchmark = load(name, source=data)
        problems = list(benchmark.problems())
        found = [problem for problem in problems if selection.takes(problem)][: selection.first]
        if not found:
            tagged = "; only livecodebench has dates, difficulties and platforms" if selection.by_tag else ""
            raise UsageError(f"no problem of {name} is chosen{tagged}: mend the options that choose")
        chosen[name] = SelectedBenchmark(
            name,
            benchmark.revision,
            {problem.id: problem for problem in found},
            frozenset(problem.id for problem in problems),
            str(getattr(benchmark, "caveat", "")),
        )
    return chosen


def with_limits(
    chosen: Mapping[str, SelectedBenchmark], entries: Iterable[tuple[str, str]], judge: Judge
) -> dict[str, SelectedBenchmark]:
    """Give the problems that are judged limits that the benchmark's own solutions keep on this machine.

    Args:
        chosen: by benchmark.
        entries: benchmark and problem of each program.
        judge: runs nothing else meanwhile.

    Raises:
        SandboxError: programs cannot be run here.
    """
    judged = set(entries)
    found = {}
    for name, one in chosen.items():
        problems = [problem for problem in one.problems.values() if (name, problem.id) in judged]
        roomy = {problem.id: problem for problem in raise_limits(name, problems, judge)}
        found[name] = replace(one, problems={**one.problems, **roomy})
    return found
