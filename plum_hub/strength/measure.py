"""Measure how strong suites are: which faults in their reference they notice, and how much of it they run."""

from collections import deque
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
from plum_hub.strength.shared import can_share
from plum_hub.strength.single import find_one_by_one
from plum_hub.strength.together import LEAST, Together

_BATCH = 64
"""Suites that are measured together."""
_TOGETHER = 1_000_000
"""Steps of all mutants of a suite, or those of its reference where it takes more."""
_TIMES, _INPUTS, _INPUTS_BY_TIME = 2, 5, 20
_SLOW = 0.1
"""A reference may take, for each other input, twice the steps of its own cases or those of `LEAST`; for all, a tenth
of its own or five times `LEAST`. Those that it does not reach are not used. A mutant gets twice what the reference took
there. CPU time is a wider limit, so that it does not decide which inputs are used.
"""


def measure(suites: Iterable[TestSuite], judge: Judge, limits: Limits, *, most: int = MOST) -> Iterator[SuiteStrength]:
    """Measure the strength of suites. All programs run in the judge.

    Args:
        suites: Suites with a reference that passes them. If the reference is missing or does not pass, nothing is
            counted.
        judge: Runs the programs, and nothing else meanwhile.
        limits: What the reference may use. Its mutants may use four times its steps, at least `together.LEAST`; ten
            times its CPU time, at least 0.2 s, where they have a process each; and at most this.
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
    ready = deque(plans.values())

    def programs() -> Iterator[Program]:
        while ready:
            if (program := ready.popleft().program()) is not None:
                yield program

    while ready:  # the judge may have taken all that was ready before it gave a result
        for execution in judge.run(programs()):
            plans[execution.id].take(execution)
            ready.append(plans[execution.id])


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
            self.faults = self._faults()
        if (program := self.faults.program()) is not None or not self.faults.is_faithful:
            return program
        if self.comparison is None and (survivors := self._survivors()) and (calls := self._other_calls()):
            self.comparison = self._comparison(survivors, calls)
        return self.comparison.program() if self.comparison is not None else None

    def _faults(self) -> Together:
        suite = self.suite
        self.mutants = mutants(suite.reference, suite.entry_point, most=self.most, seed=suite.id)
        self.probes = probes(suite.reference, suite.entry_point)
        cases, codes = sandbox_cases(suite.cases), [one.counting for one in self.mutants]
        return Together(self.name, self.probes.marked, cases, codes, self.limits, again=True, together=_TOGETHER)

    def _own_calls(self) -> set[str]:
        """Return the calls on which every survivor gives what the suite expects."""
        return {case.call for case in self.suite.cases if case.call is not None}

    def _other_calls(self) -> list[str]:
        own = self._own_calls()
        return [call for call in comparison_calls(self.suite) if call not in own]

    def _comparison(self, survivors: list[int], calls: list[str]) -> Together:
        assert self.faults is not None
        values = tuple(Value(expression=call) for call in calls)
        codes = [self.mutants[number].counting for number in survivors]
        (steps, seconds), (slow, slow_seconds) = LEAST, (_TIMES * used for used in self.faults.used)
        call = max(steps, int(slow)), max(seconds, slow_seconds)
        whole = max(_INPUTS * steps, int(_SLOW * self.faults.used[0])), max(_INPUTS_BY_TIME * seconds, slow_seconds)
        return Together(self.name, self.probes.marked, values, codes, self.limits, call=call, whole=whole, times=_TIMES)

    def take(self, execution: Execution) -> None:
        running = self.comparison or self.faults
        assert running is not None
        running.take(execution)

    @property
    def is_faithful(self) -> bool:
        return self.faults is not None and self.faults.passes

    def findings(self) -> SuiteFindings:
        assert self.faults is not None
        survivors = self._survivors()
        return SuiteFindings(
            mutants=self.mutants,
            not_loaded={number for number, passed in self.faults.passed.items() if passed is None},
            survivors=survivors,
            alike={number for place, number in enumerate(survivors) if self._is_alike(place)},
            probes=self.probes,
            reached=self.faults.marks,
        )

    def _survivors(self) -> list[int]:
        assert self.faults is not None
        return [number for number in range(len(self.mutants)) if self.faults.passed[number]]

    def _is_alike(self, place: int) -> bool:
        """Return whether a survivor gives the same value wherever the reference gives one."""
        compared = self.comparison
        if compared is not None and compared.passed.get(place) is not True:
            return False
        return bool(self._own_calls()) or (compared is not None and compared.gives_values)
