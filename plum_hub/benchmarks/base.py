"""What a benchmark promises: problems with fixed suites, at a revision that is named.

A benchmark is not a second system: its problems are asked of an engine as samples are, and judged in the same sandbox.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from plum_hub.answers.effects import names_in
from plum_hub.execution.base import Call, Case, Reinterpretation, Statement, Value


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem of a benchmark."""

    id: str
    """The benchmark's own, such as `HumanEval/0`."""
    text: str
    """What is asked: code to be completed (`form` is `completion`), or a task in words (`instruction`)."""
    form: Literal["completion", "instruction"]
    entry_point: str | None
    """The function that the cases call; None for a program that reads standard input."""
    starter_code: str = ""
    suites: Mapping[str, tuple[Case, ...]]
    """Cases by the name of what they measure: `base`, and where there is more, `plus`. A sample has passed `plus` only
    if it has passed `base` too. `base:strict` has the same cases by a stricter rule; where they are `Reinterpretation`,
    nothing is run for them."""
    cpu_seconds: float
    """CPU time of one sample over all cases of a suite."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """The same by suite, where suites differ in it."""
    setup: str = ""
    """Code that stands before every sample, such as the imports that the official judge gives."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """What results are broken down by: difficulty, platform, date."""
    reference: str | None = None
    """The benchmark's own solution, a whole program; never shown to a model."""

    @cached_property
    def used_names(self) -> frozenset[str]:
        """The names that the cases of all suites use: the entry point, and helpers or classes beside it."""
        found: set[str] = set()
        for case in (case for cases in self.suites.values() for case in cases):
            if isinstance(case, Call | Value):
                found |= names_in(case.expression)
            elif isinstance(case, Statement):
                found |= names_in(case.source)
        return frozenset(found)

    def cases(self, suite: str) -> tuple[Case, ...]:
        """What is run for a suite: its cases, and behind them the stricter readings of these."""
        return self.suites[suite] + (self.suites[f"{suite}:strict"] if self.has_strict_reading(suite) else ())

    def has_strict_reading(self, suite: str) -> bool:
        """Whether a run of this suite also tells what `SUITE:strict` comes to."""
        strict = self.suites.get(f"{suite}:strict", ())
        return bool(strict) and isinstance(strict[0], Reinterpretation)


class Benchmark(Protocol):
    """Members hold the contract in tests/contracts/test_benchmarks.py."""

    @property
    def name(self) -> str:
        """As the field calls it: `humaneval+`."""
        ...

    @property
    def revision(self) -> str:
        """Where its content comes from, exactly: a commit, or the sha256 of a file."""
        ...

    def problems(self) -> Iterator[Problem]:
        """Every problem, in the benchmark's order.

        Raises:
            BenchmarkError: its content cannot be had, or is not what this version of it has.
        """
        ...
