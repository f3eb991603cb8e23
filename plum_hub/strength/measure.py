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
from plum_hub.strength.limits import limits_beside
from plum_hub.strength.mutation import MOST, Mutant, mutants

_BATCH = 64
"""Suites that are measured together."""
SECONDS = 0.2
"""Least CPU time of a mutant on the cases of its suite."""
COMPARISON_SECONDS = 0.5
"""Least CPU time of a reference on other inputs. Those that it does not reach are not used; mutants get twice the time.
"""


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
        _run(judge, (program for plan in plans for program in plan.trial()), plans)
        _run(judge, (program for plan in plans for program in plan.comparisons()), plans)
        yield from (plan.strength(judge.harness_version) for plan in plans)


def _run(judge: Judge, programs: Iterable[Program], plans: list["_Plan"]) -> None:
    for execution in judge.run(list(programs)):
        plan, _, role = execution.id.partition(" ")
        plans[int(plan)].executions[role] = execution


@dataclass
class _Plan:
    """The programs of one suite, and what they did by role: `reference`, `mutant 3`, `probe 0`, `trial`, `same 3`."""

    name: str
    suite: TestSuite
    limits: Limits
    most: int
    executions: dict[str, Execution] = field(default_factory=dict)
    mutants: list[Mutant] = field(default_factory=list)
    probes: Probes = field(default_factory=Probes)
    cases: tuple[Case, ...] = ()
    inputs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cases = sandbox_cases(self.suite.cases)  # one object, by which the sandbox recognises the suite

    def reference(self) -> Program:
        return self._program("reference", self.suite.reference, self.cases, self.limits)

    def faults(self) -> Iterator[Program]:
        """Yield the mutants and probes, if the reference has passed."""
        reference = self.executions.get("reference")
        if reference is None or reference.status != "passed":
            return
        suite, limits = self.suite, self._within(SECONDS)
        self.mutants = mutants(suite.reference, suite.entry_point, most=self.most, seed=suite.id)
        self.probes = probes(suite.reference, suite.entry_point)
        for number, mutant in enumerate(self.mutants):
            yield self._program(f"mutant {number}", mutant.code, self.cases, limits, decisive=True)
        for number, code in enumerate(self.probes.codes):
            yield self._program(f"probe {number}", code, self.cases, limits, decisive=True)

    def trial(self) -> Iterator[Program]:
        """Yield the reference, to be run on inputs besides those of the suite, if a mutant has survived."""
        self.inputs = inputs(self.suite) if self._mutants("passed") else []
        if self.inputs:
            values = tuple(Value(expression=call) for call in self.inputs)
            yield self._program("trial", self.suite.reference, values, self._within(COMPARISON_SECONDS))

    def comparisons(self) -> Iterator[Program]:
        """Yield the survivors, to be run on the inputs for which the reference gives a value."""
        wanted = self._wanted()
        if not wanted:
            return
        values = tuple(Value(expression=call) for call in wanted)
        limits = self._within(COMPARISON_SECONDS)
        limits = replace(limits, cpu_seconds=min(self.limits.cpu_seconds, 2 * limits.cpu_seconds))
        for number in self._mutants("passed"):
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
        return limits_beside(self.executions["reference"].cpu_seconds, self.limits, seconds)

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
        mutant = self.executions.get(f"same {number}")
        return mutant is not None and [case.value for case in mutant.cases] == list(self._wanted().values())

    def _wanted(self) -> dict[str, str]:
        """Return the values of the reference, by the call that gives each."""
        trial = self.executions.get("trial")
        results = trial.cases if trial is not None else ()
        return {call: one.value for call, one in zip(self.inputs, results, strict=False) if one.value is not None}


def _share(covered: list[bool]) -> float | None:
    return sum(covered) / len(covered) if covered else None
