"""The settings of an evaluation: the model or file of generations, the benchmarks, and the selection of problems."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from plum_hub.benchmarks import load
from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.durations import raise_limits
from plum_hub.engines import EngineConfig
from plum_hub.errors import UsageError
from plum_hub.evaluation.protocol import Protocol, ProtocolName
from plum_hub.execution import Judge
from plum_hub.execution.base import described
from plum_hub.records import digest


@dataclass(frozen=True, kw_only=True)
class ProblemSelection:
    """Which problems of each benchmark are evaluated, by tags where it has them. Empty values select all."""

    since: str = ""
    """First date, as in 2024-08-01."""
    until: str = ""
    """Last date, inclusive."""
    difficulties: tuple[str, ...] = ()
    """Difficulties that LiveCodeBench gives its problems, as `easy`."""
    platforms: tuple[str, ...] = ()
    """Where its problems come from, as `leetcode`."""
    first: int | None = None
    """Take only this many problems of each benchmark, from its beginning."""

    @property
    def by_tag(self) -> bool:
        """Whether tags select problems."""
        return bool(self.since or self.until or self.difficulties or self.platforms)

    def takes(self, problem: Problem) -> bool:
        """Tell whether a problem is selected. A problem without a tag that is asked for is not.

        Args:
            problem: The problem.

        Returns:
            True if its tags match. `first` is not considered.
        """
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
    """One evaluation, of either a model or a file of generations."""

    benchmarks: tuple[str, ...]
    """Names of the benchmarks. For generations it may be empty: then the ids in the file decide."""
    folder: Path
    """The folder of the evaluation."""
    model: EngineConfig | None = None
    """The engine configuration of the model; None for generations."""
    generations: Path | None = None
    """A file of programs made by someone else; None for a model."""
    protocol: Protocol = field(default_factory=Protocol)
    """How the model is sampled."""
    protocol_name: ProtocolName | None = None
    """Whose wording is used; None for that of the leaderboards if its package is installed, else plum-hub's."""
    auto_prompt: bool = True
    """Whether `protocol.prompt` is replaced by the style that fits the model."""
    selection: ProblemSelection = field(default_factory=ProblemSelection)
    data: Path | None = None
    """File or folder with the benchmarks' data; None for their pinned versions on the Hub."""
    partial: bool = False
    """Whether problems without a generation are left out of the score rather than refused."""
    workers: int | None = None
    """Programs that run at the same time; one per core if None."""


@dataclass(frozen=True)
class SelectedBenchmark:
    """The selected problems of one benchmark."""

    name: str
    revision: str
    problems: Mapping[str, Problem]
    """The selected problems by id, in the benchmark's order."""
    ids: frozenset[str]
    """Ids of all its problems, selected or not."""
    caveat: str = ""
    """What must be said with every score; "" if nothing."""

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """Suites that a sample can pass, each including those before it: `base`, `plus`."""
        names = {name: None for problem in self.problems.values() for name in problem.suites}
        return tuple(name for name in names if ":" not in name)

    @cached_property
    def _runs(self) -> dict[tuple[str, str], str]:
        return {}

    def run_for(self, problem: Problem, suite: str) -> str:
        """Find the suite that is run to get the verdict on a suite.

        Args:
            problem: The problem.
            suite: One of its suites.

        Returns:
            The suite itself, or the one that it is a stricter reading of.
        """
        key = (problem.id, suite)
        if key not in self._runs:
            measure = suite.partition(":")[0]
            self._runs[key] = measure if problem.has_strict_reading(measure) else suite
        return self._runs[key]

    @cached_property
    def _suite_ids(self) -> dict[tuple[str, str], str]:
        return {}

    def suite_id(self, problem: Problem, suite: str) -> str:
        """Compute the digest of everything that decides a verdict besides the program.

        Args:
            problem: The problem.
            suite: One of its suites. For a stricter reading, the digest includes the suite that is run.

        Returns:
            The digest.
        """
        key = (problem.id, suite)
        if key not in self._suite_ids:
            run = self.run_for(problem, suite)
            cases = [{"": kind, **values} for kind, values in map(described, problem.cases(run))]
            limit = problem.limits.get(suite, problem.cpu_seconds)
            self._suite_ids[key] = digest(*key, problem.entry_point, problem.setup, limit, cases)
        return self._suite_ids[key]


def select_benchmarks(
    names: Sequence[str], selection: ProblemSelection, data: Path | None
) -> dict[str, SelectedBenchmark]:
    """Load benchmarks and select their problems.

    Args:
        names: Names of the benchmarks.
        selection: The selection.
        data: File or folder with their data; None for the pinned versions on the Hub.

    Returns:
        The benchmarks by name.

    Raises:
        BenchmarkError: A benchmark is unknown or cannot be loaded.
        UsageError: No problem of a benchmark is selected.
    """
    chosen = {}
    for name in names:
        benchmark = load(name, source=data)
        problems = list(benchmark.problems())
        selected = [problem for problem in problems if selection.takes(problem)][: selection.first]
        if not selected:
            tagged = "; only livecodebench has dates, difficulties and platforms" if selection.by_tag else ""
            raise UsageError(f"no problem of {name} is selected{tagged}: change the options that select problems")
        chosen[name] = SelectedBenchmark(
            name,
            benchmark.revision,
            {problem.id: problem for problem in selected},
            frozenset(problem.id for problem in problems),
            str(getattr(benchmark, "caveat", "")),
        )
    return chosen


def with_limits(
    chosen: Mapping[str, SelectedBenchmark], entries: Iterable[tuple[str, str]], judge: Judge
) -> dict[str, SelectedBenchmark]:
    """Give the problems limits that the benchmark's own solutions keep on this machine.

    Args:
        chosen: The benchmarks by name.
        entries: Benchmark and problem of each program. Other problems keep their limits.
        judge: Runs the solutions, and nothing else meanwhile.

    Returns:
        The benchmarks by name.

    Raises:
        SandboxError: Programs cannot be run on this machine.
    """
    judged = set(entries)
    adjusted = {}
    for name, one in chosen.items():
        problems = [problem for problem in one.problems.values() if (name, problem.id) in judged]
        roomy = {problem.id: problem for problem in raise_limits(name, problems, judge)}
        adjusted[name] = replace(one, problems={**one.problems, **roomy})
    return adjusted
