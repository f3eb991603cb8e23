"""Measure how strong suites are: which faults in their reference they notice, and how much of it they run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from plum_hub.execution import Execution, Judge, Limits, Program
from plum_hub.execution.base import Case, Value
from plum_hub.judging.cases import sandbox_cases
from plum_hub.records import SuiteStrength, TestSuite
from plum_hub.strength.coverage import Probes, probes
from plum_hub.strength.inputs import inputs
from plum_hub.strength.mutation import MOST, Mutant, mutants

_BATCH = 16
"""Suites that are measured together."""
_TIMES, _SECONDS = 10, 0.2
"""A mutant may take so many times the CPU time of its reference, and at least so many seconds. The sandbox stops an
endless one after a quarter of that and runs it once more, alone."""
_COMPARISON_SECONDS = 1.0
"""Least CPU time of a program that is compared with its reference on other inputs."""
_WALL_SECONDS = 10.0
"""Least wall-clock time, for a mutant that sleeps."""


def measure(suites: Iterable[TestSuite], judge: Judge, limits: Limits, *, most: int = MOST) -> Iterator[SuiteStrength]:
    """Measure the strength of suites. All programs run in the judge, and end at the first case that fails.

    Args:
        suites: Suites with a reference that passes them. If the reference is missing or does not pass, nothing is
            counted.
        judge: Runs the programs, and nothing else meanwhile.
        limits: What the reference may use. Its mutants may use ten times its CPU time, at least 0.2 s and at most this.
        most: Largest number of mutants of one suite.

    Yields:
        The strength of each suite, in the order of the suites.

    Raises:
        SandboxError: The sandbox failed. Nothing is said about suites without a result (law 1).
    """
    source = iter(suites)
    while batch := list(islice(source, _BATCH)):
        plans = [_Plan(str(number), suite, limits, most) for number, suite in enumerate(batch)]
        _run(judge, (plan.reference() for plan in plans if plan.suite.reference), plans)
        _run(judge, (program for plan in plans for program in plan.faults()), plans)
        _run(judge, (program for plan in plans for program in plan.comparisons()), plans)
        yield from (plan.strength(judge.harness_version) for plan in plans)


def _run(judge: Judge, programs: Iterable[Program], plans: list["_Plan"]) -> None:
    for execution in judge.run(list(programs)):
        plan, _, role = execution.id.partition(" ")
        plans[int(plan)].executions[role] = execution


@dataclass
class _Plan:
    """The programs of one suite, and what they did by role: `reference`, `mutant 3`, `probe 0`, `same`, `same 3`."""

    name: str
    suite: TestSuite
    limits: Limits
    most: int
    executions: dict[str, Execution] = field(default_factory=dict)
    mutants: list[Mutant] = field(default_factory=list)
    probes: Probes = field(default_factory=Probes)
    cases: tuple[Case, ...] = ()

    def __post_init__(self) -> None:
        self.cases = sandbox_cases(self.suite.cases)  # one object, by which the sandbox recognises the suite

    def reference(self) -> Program:
        return self._program("reference", self.suite.reference, self.cases, self.limits)

    def faults(self) -> Iterator[Program]:
        """Yield the mutants and probes, if the reference has passed."""
        reference = self.executions.get("reference")
        if reference is None or reference.status != "passed":
            return
        suite, limits = self.suite, self._within(_SECONDS)
        self.mutants = mutants(suite.reference, suite.entry_point, most=self.most, seed=suite.id)
        self.probes = probes(suite.reference, suite.entry_point)
        for number, mutant in enumerate(self.mutants):
            yield self._program(f"mutant {number}", mutant.code, self.cases, limits, decisive=True)
        for number, code in enumerate(self.probes.codes):
            yield self._program(f"probe {number}", code, self.cases, limits, decisive=True)

    def comparisons(self) -> Iterator[Program]:
        """Yield the reference and the mutants that passed, to be run on other inputs."""
        survivors = self._mutants("passed")
        values = tuple(Value(expression=call) for call in inputs(self.suite)) if survivors else ()
        if not values:
            return
        limits = self._within(_COMPARISON_SECONDS)
        yield self._program("same", self.suite.reference, values, limits)
        for number in survivors:
            yield self._program(f"same {number}", self.mutants[number].code, values, limits)

    def strength(self, sandbox: str) -> SuiteStrength:
        loaded = len(self.mutants) - len(self._mutants("not_executable"))
        survivors = self._mutants("passed")
        equivalent = sum(map(self._is_equivalent, survivors))
        killed, countable = loaded - len(survivors), loaded - equivalent
        covered = [self._is_covered(number) for number in range(len(self.probes.codes))]
        return SuiteStrength(
            id=self.suite.id,
            instruction_id=self.suite.instruction_id,
            cases=len(self.suite.cases),
            mutants=loaded,
            killed=killed,
            equivalent=equivalent,
            mutation_score=killed / countable if countable else None,
            statements=self.probes.statements,
            statements_covered=sum(covered[: self.probes.statements]),
            statement_coverage=_share(covered[: self.probes.statements]),
            branches=len(self.probes.branches),
            branches_covered=sum(covered[place] for place in self.probes.branches),
            branch_coverage=_share([covered[place] for place in self.probes.branches]),
            sandbox=sandbox,
        )

    def _program(
        self, role: str, code: str, cases: tuple[Case, ...], limits: Limits, *, decisive: bool = False
    ) -> Program:
        return Program(
            id=f"{self.name} {role}",
            code=code,
            entry_point=self.suite.entry_point or None,
            cases=cases,
            limits=limits,
            decisive=decisive,
        )

    def _within(self, seconds: float) -> Limits:
        """Return limits that the reference's own time gives, with a least number of seconds."""
        cpu = min(self.limits.cpu_seconds, max(seconds, _TIMES * self.executions["reference"].cpu_seconds))
        wall = min(self.limits.wall_seconds, max(_WALL_SECONDS, _TIMES * cpu))
        return replace(self.limits, cpu_seconds=cpu, wall_seconds=wall)

    def _mutants(self, status: str) -> list[int]:
        return [n for n in range(len(self.mutants)) if self.executions[f"mutant {n}"].status == status]

    def _is_covered(self, probe: int) -> bool:
        return self.executions[f"probe {probe}"].status != "passed"

    def _is_equivalent(self, number: int) -> bool:
        """Return whether a mutant is presumed to do the same as the reference.

        That is so if it gives the same value wherever the reference gives one. A fault in a statement that the suite
        does not run is no such case: there is no evidence.
        """
        place = self.probes.statement_at(self.mutants[number].line)
        if place is not None and not self._is_covered(place):
            return False
        reference, mutant = self.executions.get("same"), self.executions.get(f"same {number}")
        if reference is None or mutant is None:
            return False
        pairs = [(mine, its) for mine, its in zip(reference.cases, mutant.cases, strict=True) if mine.value is not None]
        return bool(pairs) and all(mine.value == its.value for mine, its in pairs)


def _share(covered: list[bool]) -> float | None:
    return sum(covered) / len(covered) if covered else None
