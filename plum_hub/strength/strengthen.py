"""Add cases to suites: inputs on which all references agree, and which show a fault that no case shows.

The idea is that of EvalPlus (arXiv 2305.01210): inputs are made by varying those of the suite, and the reference gives
the expected values. Two things protect from pinning down what the task leaves open. Where there are comparable
references, all of them must give the same value. And a case is added only if it shows what nothing shows before it: it
kills a mutant of the reference, or tells programs of the policy apart; unless all inputs are asked for.
"""

import ast
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from plum_hub.answers.ballot import comparable, renamed, voter_of
from plum_hub.answers.source import parse
from plum_hub.answers.surroundings import is_steady
from plum_hub.execution import Execution, Judge, Limits, Program
from plum_hub.execution.base import Case, Value
from plum_hub.execution.closeness import is_json_value, parse_expected, write_json_value
from plum_hub.execution.literals import as_lists
from plum_hub.judging.cases import sandbox_cases
from plum_hub.records import TestCase, TestSuite
from plum_hub.strength.choice import Outcomes, SampledProgram, killers, separators
from plum_hub.strength.coverage import probes
from plum_hub.strength.limits import limits_beside
from plum_hub.strength.measure import run_all
from plum_hub.strength.mutation import Mutant, mutants
from plum_hub.strength.shared import can_share
from plum_hub.strength.single import COMPARISON_SECONDS, SECONDS
from plum_hub.strength.together import Together
from plum_hub.strength.variations import VariedCall, variations

_MUTANTS = 60
"""Mutants of one suite: more than are measured, since these are drawn with another seed."""
_TOGETHER = 20
"""Cases of one program. One that does not end takes those after it with it."""
_LONGEST_VALUE = 1_000
"""Characters of an expected value."""
_RELATIVE, _LEAST_TOLERANCE = 1e-6, 1e-9
"""Differences that floats may have: other right programs may compute them in another order."""
_MOST_APART = 1_000.0
"""Largest ratio of two floats in a value: they share one tolerance, which must not hide the smaller one."""
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class WeakSuite:
    """A suite to be strengthened.

    Attributes:
        suite: The suite.
        rivals: Other suites of the same instruction, which pass their own cases. Those that cannot be compared with the
            suite are ignored.
        samples: Distinct programs of the policy that ran to the end of the suite. Cases are added that tell them apart.
    """

    suite: TestSuite
    rivals: Sequence[TestSuite] = ()
    samples: Sequence[SampledProgram] = ()

    @property
    def tied(self) -> list[SampledProgram]:
        """Samples that another one passes the same cases as."""
        groups = Counter(one.passed for one in self.samples)
        return [one for one in self.samples if groups[one.passed] > 1]


def strengthen(
    weak: Sequence[WeakSuite], judge: Judge, limits: Limits, most: int, *, all_inputs: bool = False
) -> list[tuple[TestCase, ...]]:
    """Find cases that make suites stronger. All programs run in the judge.

    Args:
        weak: The suites. One whose reference does not pass it, or whose references read a clock or random numbers, gets
            no cases.
        judge: Runs the programs, and nothing else meanwhile.
        limits: What a reference may use.
        most: Largest number of cases for each suite.
        all_inputs: Whether cases are added too that kill no mutant, until there are `most`.

    Returns:
        For each suite its new cases, of the kind `call`: the ones that kill most mutants first, then those that tell
        most samples apart, then any others in the order of their making. The suites with them are still to be proved.

    Raises:
        SandboxError: The sandbox failed. Nothing is said about any suite (law 1).
    """
    searches = [_Search(str(number), one, limits, all_inputs) for number, one in enumerate(weak)]
    for step in (_Search.reference, _Search.faults, _Search.trials, _Search.ballots, _Search.survivals):
        if step is _Search.faults:
            run_all(judge, {search.name: one for search in searches if (one := search.shared_faults()) is not None})
        programs = [program for search in searches for program in step(search)]
        for execution in judge.run(programs):
            name, _, role = execution.id.partition(" ")
            searches[int(name)].executions[role] = execution
    return [search.chosen(most) for search in searches]


@dataclass
class _Search:
    """The programs of one suite, and what they did by role; each step yields those that the results before it ask for.

    The roles are `reference`, `mutant 3`, `trial 40` (the reference on the calls from the 40th), `again`, `rival 1 40`,
    `survivor 3` and `sample 3`.
    """

    name: str
    weak: WeakSuite
    limits: Limits
    all_inputs: bool
    executions: dict[str, Execution] = field(default_factory=dict)
    mutants: list[Mutant] = field(default_factory=list)
    shared: Together | None = None
    calls: list[VariedCall] = field(default_factory=list)
    rivals: list[TestSuite] = field(default_factory=list)
    cases: list[TestCase] = field(default_factory=list)
    """Calls with the values of the reference; after the ballot, those that all references agree about."""

    @property
    def suite(self) -> TestSuite:
        return self.weak.suite

    def reference(self) -> Iterator[Program]:
        mine = voter_of(0, self.suite)
        self.rivals = [one for one in self.weak.rivals if comparable(mine, voter_of(1, one))]
        if self.suite.entry_point and all(is_steady(one.reference) for one in (self.suite, *self.rivals)):
            yield self._program("reference", self.suite, sandbox_cases(self.suite.cases), self.limits)

    def shared_faults(self) -> Together | None:
        """Make the mutants of a reference that passes; return them if they may share a process."""
        reference, suite = self.executions.get("reference"), self.suite
        if reference is None or reference.status != "passed":
            return None
        self.mutants = mutants(suite.reference, suite.entry_point, most=_MUTANTS, seed=suite.id)
        if can_share(suite):
            marked, codes = probes(suite.reference, suite.entry_point).marked, [one.counting for one in self.mutants]
            self.shared = Together(self.name, marked, sandbox_cases(suite.cases), codes, self.limits, again=True)
        return self.shared

    def faults(self) -> Iterator[Program]:
        """Yield the mutants that have to run in a process each."""
        suite, cases = self.suite, sandbox_cases(self.suite.cases)
        if self.shared is not None and not self.shared.passes:
            self.shared = None
        for number, mutant in enumerate(self.mutants if self.shared is None else ()):
            one = self._program(f"mutant {number}", replace(suite, reference=mutant.code), cases, self._within(SECONDS))
            yield replace(one, decisive=True)

    def trials(self) -> Iterator[Program]:
        """Yield the reference on variations of the suite's calls, if there is something that they may show."""
        passes = "reference" in self.executions and self.executions["reference"].status == "passed"
        is_wanted = passes and (self.all_inputs or self.weak.tied)
        self.calls = variations(self.suite) if is_wanted or self._survivors() else []
        values = [Value(expression=one.call) for one in self.calls]
        yield from self._in_parts("trial", self.suite, values)

    def ballots(self) -> Iterator[Program]:
        """Yield all references on the calls that have a value: the suite's own once more, as it may be unsteady."""
        self.cases = [case for call, value in self._values() if (case := _case(call, value)) is not None]
        if not self.cases:
            return
        limits = self._within(COMPARISON_SECONDS)
        yield self._program("again", self.suite, sandbox_cases(tuple(self.cases)), limits)
        for number, rival in enumerate(self.rivals):
            cases = tuple(renamed(case, self.suite.entry_point, rival.entry_point) for case in self.cases)
            yield from self._in_parts(f"rival {number}", rival, sandbox_cases(cases))

    def survivals(self) -> Iterator[Program]:
        """Yield the mutants and samples that the suite does not tell apart, on the calls that all references agree
        about."""
        again = self.executions.get("again")
        if again is None:
            return
        count, names = len(self.cases), [f"rival {number}" for number in range(len(self.rivals))]
        passed = [_passed(parts, count) for parts in ([again], *(self._parts(name, count) for name in names))]
        self.cases = [case for case, votes in zip(self.cases, zip(*passed, strict=True), strict=True) if all(votes)]
        limits, cases = limits_beside(again.cpu_seconds, self.limits, 2 * COMPARISON_SECONDS), tuple(self.cases)
        for number in self._survivors() if cases else ():
            mutant = replace(self.suite, reference=self.mutants[number].code)
            yield self._program(f"survivor {number}", mutant, sandbox_cases(cases), limits)
        for number, sample in enumerate(self.weak.tied if cases else ()):
            program = replace(self.suite, reference=sample.code)
            yield self._program(f"sample {number}", program, sandbox_cases(cases), self.limits)

    def chosen(self, most: int) -> tuple[TestCase, ...]:
        """Choose the cases that kill survivors, then those that tell samples apart, then perhaps others."""
        places = killers(self._kills(), most)
        places += separators(list(self._outcomes()), places, most - len(places))
        others = (place for place in range(len(self.cases)) if self.all_inputs and place not in places)
        return tuple(self.cases[place] for place in (*places, *islice(others, most - len(places))))

    def _kills(self) -> list[set[int]]:
        """Return the survivors that each case kills."""
        kills: list[set[int]] = [set() for _ in self.cases]
        for number in self._survivors():
            execution = self.executions.get(f"survivor {number}")
            for killed, result in zip(kills, execution.cases if execution is not None else (), strict=False):
                if result.outcome not in ("passed", "not_run"):
                    killed.add(number)
        return kills

    def _outcomes(self) -> Iterator[tuple[SampledProgram, Outcomes]]:
        """Yield the samples that were run, with what they did on each case.

        Here all cases share the time that a verdict gives to few: a late one shows nothing, nor do those after it.
        """
        known = {"passed": True, "wrong": False, "raised": False}
        for number, sample in enumerate(self.weak.tied):
            if (execution := self.executions.get(f"sample {number}")) is not None:
                found = [known.get(result.outcome) for result in execution.cases]
                yield sample, (*found, *[None] * (len(self.cases) - len(found)))

    def _program(self, role: str, suite: TestSuite, cases: tuple[Case, ...], limits: Limits) -> Program:
        return Program(
            id=f"{self.name} {role}", code=suite.reference, entry_point=suite.entry_point, cases=cases, limits=limits
        )

    def _in_parts(self, role: str, suite: TestSuite, cases: Sequence[Case]) -> Iterator[Program]:
        for start in range(0, len(cases), _TOGETHER):
            part = tuple(cases[start : start + _TOGETHER])
            yield self._program(f"{role} {start}", suite, part, self._within(COMPARISON_SECONDS))

    def _parts(self, role: str, cases: int) -> list[Execution]:
        return [self.executions[f"{role} {start}"] for start in range(0, cases, _TOGETHER)]

    def _within(self, seconds: float) -> Limits:
        return limits_beside(self.executions["reference"].cpu_seconds, self.limits, seconds)

    def _survivors(self) -> list[int]:
        if self.shared is not None:
            return [number for number in range(len(self.mutants)) if self.shared.passed[number]]
        return [n for n in range(len(self.mutants)) if self.executions[f"mutant {n}"].status == "passed"]

    def _values(self) -> Iterator[tuple[VariedCall, str]]:
        for number, execution in enumerate(self._parts("trial", len(self.calls))):
            for call, result in zip(self.calls[number * _TOGETHER :], execution.cases, strict=False):
                if result.value is not None:
                    yield call, result.value


def _passed(parts: Iterable[Execution], cases: int) -> list[bool]:
    """Return for each case whether it passed; a program that did not load has no results."""
    found: list[bool] = []
    for number, execution in enumerate(parts):
        found += [False] * (number * _TOGETHER - len(found))
        found += [result.outcome == "passed" for result in execution.cases]
    return found + [False] * (cases - len(found))


def _case(varied: VariedCall, value: str) -> TestCase | None:
    """Make a case that expects a value, as exactly as the case it comes from; None for values that cannot be stored."""
    numbers = _inexact_numbers(value)
    if numbers is None or not all(map(math.isfinite, numbers)):
        return None
    origin, expected, tolerance = varied.origin, value, varied.origin.tolerance
    if is_json_value(str(origin.expected)):
        expected = write_json_value(as_lists(ast.literal_eval(value)))
    if (close := _closeness(origin.expected)) is not None:
        close.args = [ast.parse(value, mode="eval").body]
        expected = ast.unparse(close)
    elif numbers:
        if max(numbers) > _MOST_APART * min(size or 1.0 for size in numbers):
            return None
        tolerance = max(_RELATIVE * max(numbers), _LEAST_TOLERANCE, tolerance or 0.0)
    try:
        parse_expected(expected)
    except ValueError:
        return None
    return TestCase(kind="call", call=varied.call, expected=expected, tolerance=tolerance)


def _inexact_numbers(value: str) -> list[float] | None:
    """Return the sizes of the floats and complex numbers in a value; None if it is no literal, or names an address.

    A float in a set or as a key is compared exactly, whatever the tolerance, so such values are none either.
    """
    if len(value) > _LONGEST_VALUE or _ADDRESS.search(value):
        return None
    try:
        return list(_sizes(ast.literal_eval(value)))
    except (ValueError, TypeError, SyntaxError, ArithmeticError, MemoryError, RecursionError):
        return None


def _sizes(value: object) -> Iterator[float]:
    if isinstance(value, float | complex):
        yield abs(value)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _sizes(item)
    elif isinstance(value, set | dict):
        if any(True for item in value for _ in _sizes(item)):
            raise ValueError("compared exactly")
        yield from _sizes(list(value.values())) if isinstance(value, dict) else ()


def _closeness(expected: str | None) -> ast.Call | None:
    """Return the call of `approx`, `isclose` or `almost_equal` that an expected value is."""
    tree = parse(expected or "")
    match tree.body if tree is not None else []:
        case [ast.Expr(value=ast.Call(func=ast.Name(id="approx" | "isclose" | "almost_equal")) as call)]:
            return call
    return None
