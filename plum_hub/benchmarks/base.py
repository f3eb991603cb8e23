"""The benchmark interface: problems with fixed test suites, at a known revision.

Benchmarks use the same machinery as datasets: an engine answers their problems like any samples, and the same
sandbox judges the answers.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from plum_hub.answers.effects import names_in
from plum_hub.execution.base import Call, Case, Reinterpretation, Statement, Steps, Value

DATA_OPTION = "--data (of a build: --benchmark-data)"
"""The option that names files of benchmarks, for messages."""


class ReadLater(Mapping[str, tuple[Case, ...]]):
    """Suites that are read when they are asked for: comparing statements and solutions takes no tests."""

    def __init__(self, read: Callable[[], Mapping[str, tuple[Case, ...]]]) -> None:
        """Remember how to read them.

        Args:
            read: Returns the suites.
        """
        self._read = read

    @cached_property
    def _suites(self) -> Mapping[str, tuple[Case, ...]]:
        return self._read()

    def __getitem__(self, name: str) -> tuple[Case, ...]:
        return self._suites[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._suites)

    def __len__(self) -> int:
        return len(self._suites)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem of a benchmark."""

    id: str
    """The benchmark's own id, such as `HumanEval/0`."""
    text: str
    """The prompt: code to complete (`kind` is `completion`), or a task in words (`instruction`)."""
    kind: Literal["completion", "instruction"]
    entry_point: str | None
    """The function that the cases call; None for a program that reads standard input."""
    starter_code: str = ""
    suites: Mapping[str, tuple[Case, ...]]
    """Cases by the name of the suite: `base` and, where there are more, `plus`. A sample passes `plus` only if it also
    passes `base`. `base:strict` has the same cases under a stricter rule; cases that are `Reinterpretation` need no
    execution of their own.
    """
    cpu_seconds: float
    """CPU time limit of one sample over all cases of a suite, in seconds."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """CPU time limits by suite, in seconds, where they differ."""
    setup: str = ""
    """Code that precedes every sample, such as the imports that the official judge provides."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Values by which results are broken down: difficulty, platform, date."""
    reference: str | None = None
    """The benchmark's own solution, a complete program; never shown to a model."""

    @cached_property
    def used_names(self) -> frozenset[str]:
        """The names that the cases of all suites use: the entry point, and helpers or classes besides it."""
        names: set[str] = set()
        for case in (case for cases in self.suites.values() for case in cases):
            if isinstance(case, Call | Value):
                names |= names_in(case.expression)
            elif isinstance(case, Statement | Steps):
                names |= names_in(case.source)
        return frozenset(names)

    def cases(self, suite: str) -> tuple[Case, ...]:
        """List the cases to run for a suite.

        Args:
            suite: The name of the suite.

        Returns:
            The suite's cases, followed by their stricter readings.
        """
        return self.suites[suite] + (self.suites[f"{suite}:strict"] if self.has_strict_reading(suite) else ())

    def has_strict_reading(self, suite: str) -> bool:
        """Return whether one run of a suite also decides `SUITE:strict`.

        Args:
            suite: The name of the suite.

        Returns:
            True if the strict suite only reinterprets the values of this one.
        """
        strict = self.suites.get(f"{suite}:strict", ())
        return bool(strict) and isinstance(strict[0], Reinterpretation)


class Benchmark(Protocol):
    """The interface of a benchmark; tests/contracts/test_benchmarks.py verifies every member."""

    @property
    def name(self) -> str:
        """The benchmark's usual name, such as `humaneval+`."""
        ...

    @property
    def revision(self) -> str:
        """The exact origin of the content: a commit, or the SHA-256 of a file."""
        ...

    def problems(self) -> Iterator[Problem]:
        """Iterate over all problems.

        Returns:
            The problems in the benchmark's order.

        Raises:
            BenchmarkError: The content is unavailable, or does not match this version of the benchmark.
        """
        ...
