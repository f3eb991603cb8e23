"""Mutants and probes that have a process each: for references that keep something outside their own objects."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from plum_hub.execution import Execution, Judge, Limits, Program
from plum_hub.execution.base import Case, Value
from plum_hub.judging.cases import sandbox_cases
from plum_hub.records import TestSuite
from plum_hub.strength.comparison import comparison_calls
from plum_hub.strength.coverage import Probes, probes
from plum_hub.strength.findings import SuiteFindings
from plum_hub.strength.limits import limits_beside
from plum_hub.strength.mutation import Mutant, mutants

SECONDS = 0.2
"""Least CPU time of a mutant on the cases of its suite."""
COMPARISON_SECONDS = 0.5
"""Least CPU time of a reference on other inputs. Those that it does not reach are not used; mutants get twice the time.
"""


def find_one_by_one(suites: Iterable[TestSuite], judge: Judge, limits: Limits, most: int) -> list[SuiteFindings]:
    """Run mutants and probes, each in a process of its own, which ends at the first case that fails.

    Args:
        suites: Suites. If the reference of one is missing or does not pass, nothing is found.
        judge: Runs the programs.
        limits: What the reference may use. Its mutants may use ten times its CPU time, at least `SECONDS`.
        most: Largest number of mutants of one suite.

    Returns:
        What was found of each suite.

    Raises:
        SandboxError: The sandbox failed.
    """
    plans = [_SinglePlan(str(number), suite, limits, most) for number, suite in enumerate(suites)]
    _run(judge, (plan.reference() for plan in plans if plan.suite.reference), plans)
    _run(judge, (program for plan in plans for program in plan.faults()), plans)
    _run(judge, (program for plan in plans for program in plan.trial()), plans)
    _run(judge, (program for plan in plans for program in plan.comparisons()), plans)
    return [plan.findings() for plan in plans]


def _run(judge: Judge, programs: Iterable[Program], plans: list["_SinglePlan"]) -> None:
    for execution in judge.run(list(programs)):
        plan, _, role = execution.id.partition(" ")
        plans[int(plan)].executions[role] = execution


@dataclass
class _SinglePlan:
    """The programs of one suite, and what they did by role: `reference`, `mutant 3`, `probe 0`, `trial`, `same 3`."""

    name: str
    suite: TestSuite
    limits: Limits
    most: int
    executions: dict[str, Execution] = field(default_factory=dict)
    mutants: list[Mutant] = field(default_factory=list)
    probes: Probes = field(default_factory=Probes)
    cases: tuple[Case, ...] = ()
    calls: list[str] = field(default_factory=list)

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
        self.calls = comparison_calls(self.suite) if self._mutants("passed") else []
        if self.calls:
            values = tuple(Value(expression=call) for call in self.calls)
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

    def findings(self) -> SuiteFindings:
        """Return what the programs have shown."""
        return SuiteFindings(
            mutants=self.mutants,
            not_loaded=set(self._mutants("not_executable")),
            survivors=self._mutants("passed"),
            alike={number for number in self._mutants("passed") if self._is_alike(number)},
            probes=self.probes,
            reached={n for n in range(len(self.probes.places)) if self.executions[f"probe {n}"].status != "passed"},
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

    def _is_alike(self, number: int) -> bool:
        """Return whether a mutant gives the same value wherever the reference gives one."""
        mutant = self.executions.get(f"same {number}")
        return mutant is not None and [case.value for case in mutant.cases] == list(self._wanted().values())

    def _wanted(self) -> dict[str, str]:
        """Return the values of the reference, by the call that gives each."""
        trial = self.executions.get("trial")
        results = trial.cases if trial is not None else ()
        return {call: one.value for call, one in zip(self.calls, results, strict=False) if one.value is not None}
