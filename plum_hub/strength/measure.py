"""Measure how strong suites are: which faults in their reference they notice, and how much of it they run."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeVar

from plum_hub.execution import Execution, Judge, Limits, Program
from plum_hub.execution.base import Value
from plum_hub.judging.cases import sandbox_cases
from plum_hub.records import SuiteStrength, TestSuite
from plum_hub.strength.comparison import comparison_calls
from plum_hub.strength.coverage import Probes, probes
from plum_hub.strength.findings import SuiteFindings
from plum_hub.strength.mutation import MOST, Mutant, mutants
from plum_hub.strength.single import find_one_by_one
from plum_hub.strength.together import LEAST_SECONDS, Together, can_share

_BATCH = 64
"""Suites that are measured together."""
_TIMES, _INPUTS = 2, 5
"""A reference may take, for each other input, twice the time of its own cases or `LEAST_SECONDS`; for all, twice or
five times that. Those that it does not reach are not used. A mutant gets twice what the reference took there.
"""


def measure(suites: Iterable[TestSuite], judge: Judge, limits: Limits, *, most: int = MOST) -> Iterator[SuiteStrength]:
    """Measure the strength of suites. All programs run in the judge.

    Args:
        suites: Suites with a reference that passes them. If the reference is missing or does not pass, nothing is
            counted.
        judge: Runs the programs, and nothing else meanwhile.
        limits: What the reference may use. Its mutants may use ten times its CPU time, at least 0.02 s (0.2 s where
            they have a process each) and at most this.
        most: Largest number of mutants of one suite.

    Yields:
        The strength of each suite, in the order of the suites.

    Raises:
        SandboxError: The sandbox failed. Nothing is said about suites without a result (law 1).
    """
    source = iter(suites)
    while batch := list(islice(source, _BATCH)):
        shared = {
            n: _SharedPlan(str(n), one, limits, most) for n, one in enumerate(batch) if one.reference if can_share(one)
        }
        run_all(judge, {plan.name: plan for plan in shared.values()})
        found = {number: plan.findings() for number, plan in shared.items() if plan.is_faithful}
        others = [number for number in range(len(batch)) if number not in found]
        found |= zip(others, find_one_by_one((batch[n] for n in others), judge, limits, most), strict=True)
        yield from (found[number].record(suite, judge.harness_version) for number, suite in enumerate(batch))


class Plan(Protocol):
    """Has one program at a time, which follows from the results of those before."""

    def program(self) -> Program | None:
        """Return the next program, whose id is the plan's name; None if there is none."""
        ...

    def take(self, execution: Execution) -> None:
        """Take what that program did.

        Args:
            execution: Its result.
        """
        ...


_PlanT = TypeVar("_PlanT", bound=Plan)


def run_all(judge: Judge, plans: Mapping[str, _PlanT]) -> None:
    """Run the programs of plans until none has another.

    Args:
        judge: Runs the programs. They are made as it takes them, while it runs those before.
        plans: Plans by name.

    Raises:
        SandboxError: The sandbox failed.
    """
    pending = dict(plans)
    while pending:
        programs = (program for plan in pending.values() if (program := plan.program()) is not None)
        answered = {}
        for execution in judge.run(programs):
            answered[execution.id] = plans[execution.id]
            plans[execution.id].take(execution)
        pending = answered


@dataclass
class _SharedPlan:
    """The programs of one suite: mutants and marks, then survivors on other inputs."""

    name: str
    suite: TestSuite
    limits: Limits
    most: int
    mutants: list[Mutant] = field(default_factory=list)
    probes: Probes = field(default_factory=Probes)
    faults: Together | None = None
    comparison: Together | None = None

    def program(self) -> Program | None:
        if self.faults is None:
            suite = self.suite
            self.mutants = mutants(suite.reference, suite.entry_point, most=self.most, seed=suite.id)
            self.probes = probes(suite.reference, suite.entry_point)
            codes, marked = [one.code for one in self.mutants], self.probes.marked
            self.faults = Together(self.name, suite, sandbox_cases(suite.cases), codes, self.limits, marked=marked)
        if (program := self.faults.program()) is not None or not self.faults.is_faithful:
            return program
        if self.comparison is None and (survivors := self._survivors()):
            values = tuple(Value(expression=call) for call in comparison_calls(self.suite))
            codes = [self.mutants[number].code for number in survivors]
            slow = _TIMES * self.faults.reference_seconds
            seconds = max(LEAST_SECONDS, slow), max(_INPUTS * LEAST_SECONDS, slow)
            self.comparison = Together(self.name, self.suite, values, codes, self.limits, seconds, _TIMES)
        return self.comparison.program() if self.comparison is not None else None

    def take(self, execution: Execution) -> None:
        running = self.comparison or self.faults
        assert running is not None
        running.take(execution)

    @property
    def is_faithful(self) -> bool:
        return self.faults is not None and self.faults.reference_passes

    def findings(self) -> SuiteFindings:
        assert self.faults is not None
        results, survivors = self.faults.results, self._survivors()
        return SuiteFindings(
            mutants=self.mutants,
            not_loaded={number for number, result in results.items() if result is None},
            survivors=survivors,
            alike={number for place, number in enumerate(survivors) if self._is_alike(place)},
            probes=self.probes,
            reached=self.faults.marks,
        )

    def _survivors(self) -> list[int]:
        assert self.faults is not None
        return [number for number in range(len(self.mutants)) if self.faults.passed(number)]

    def _is_alike(self, place: int) -> bool:
        """Return whether a survivor gives the same value wherever the reference gives one."""
        compared = self.comparison
        if compared is None or not compared.is_faithful or (values := compared.results[place]) is None:
            return False
        wanted = [one.value for one in compared.reference]
        return any(wanted) and all(value in (None, mine.value) for value, mine in zip(wanted, values, strict=True))
