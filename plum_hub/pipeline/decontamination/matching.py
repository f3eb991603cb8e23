"""Which instructions and samples are, or contain, problems of benchmarks. Pure, but for the programs that it has run.

Three measures: the words of a text (`texts`); a function that is the benchmark's own solution under other names
(`programs`); and, where neither finds anything, a program that passes the benchmark's own tests. Run are only those
that may: a function of the name that the tests call, with as many arguments; or the function that was asked for, under
that name, where the instruction holds at least a quarter of the problem's statement.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from plum_hub.benchmarks.setup import prepend_setup
from plum_hub.execution import Judge, Limits, Program
from plum_hub.pipeline.decontamination.programs import Function, functions
from plum_hub.pipeline.decontamination.targets import Target, Targets
from plum_hub.pipeline.decontamination.texts import Statements
from plum_hub.records import Instruction, Sample, digest

Measure: TypeAlias = Literal["instruction", "text", "solution", "behaviour"]
MEASURES: tuple[Measure, ...] = ("instruction", "text", "solution", "behaviour")

SMALLEST_SOLUTION = 25
"""Nodes of a solution's syntax tree. Of 489 functions that others wrote for unrelated tasks (Code Alpaca), 34 are equal
to a solution of HumanEval or MBPP; all of these have at most 21, such as the sum of two arguments."""
SUSPICIOUS = 0.25
_MEMORY_MB = 4096

_functions = lru_cache(maxsize=256)(lambda code: tuple(functions(code)))
_Key: TypeAlias = tuple[str, str]
"""A benchmark and a task of it."""


@dataclass(frozen=True, kw_only=True)
class ContaminationMatch:
    """A row that is, or contains, a problem of a benchmark."""

    row: str
    """The instruction's or sample's id."""
    benchmark: str
    task: str
    measure: Measure
    detail: str


@dataclass(frozen=True)
class _Trial:
    """A program that may pass the tests of a task: its own function goes by the name that they call."""

    code: str
    function: str
    of: _Key


class BenchmarkMatcher:
    """Holds rows against benchmarks.

    Args:
        benchmarks: what they are held against.
        ngram: words of an n-gram.
        overlap: a text matches where it holds a greater share of a statement's words.
    """

    def __init__(self, benchmarks: Sequence[Targets], ngram: int, overlap: float) -> None:
        self._ngram, self._overlap = ngram, overlap
        self._statements: Statements[_Key] = Statements(ngram)
        self._solutions: dict[str, list[_Key]] = defaultdict(list)
        self._glances: set[tuple[object, ...]] = set()
        self._targets: dict[_Key, Target] = {}
        self._arity: dict[_Key, Function] = {}
        self._called: dict[str, list[_Key]] = defaultdict(list)
        self._suspects: dict[str, list[_Key]] = {}
        self._trials: dict[_Trial, list[str]] = defaultdict(list)
        for one in benchmarks:
            self._statements.add({(one.benchmark, target.task): target.statement for target in one.problems})
            for target in one.problems:
                self._add((one.benchmark, target.task), target)

    def _add(self, key: _Key, target: Target) -> None:
        self._targets[key] = target
        for function in functions(target.reference or ""):
            if function.name == target.entry_point:
                self._arity[key] = function
                if function.size >= SMALLEST_SOLUTION:
                    self._solutions[function.form].append(key)
                    self._glances.add(function.glance)
        if target.problem is not None and target.entry_point is not None:
            self._called[target.entry_point].append(key)

    def of_instruction(self, instruction: Instruction) -> list[ContaminationMatch]:
        """Match an instruction; it comes before its samples."""
        held = self._statements.held(instruction.text)
        self._suspects[instruction.id] = [key for key, share in held.items() if share >= SUSPICIOUS]
        return list(self._by_text(instruction.id, held, "instruction"))

    def of_sample(self, sample: Sample, entry_point: str) -> list[ContaminationMatch]:
        """Match a sample by its text and code. If neither finds anything, `of_trials` goes on with it."""
        found = list(self._by_text(sample.id, self._statements.held(sample.text), "text"))
        defined = _functions(sample.code or "")
        for function in defined:
            for benchmark, task in self._solved(function):
                detail = f"`{function.name}` is the solution of {benchmark} {task}, names apart"
                found.append(
                    ContaminationMatch(row=sample.id, benchmark=benchmark, task=task, measure="solution", detail=detail)
                )
        if not found:
            for function in defined:
                for key in self._plausible(function, sample.instruction_id, entry_point):
                    self._trials[_Trial(sample.code or "", function.name, key)].append(sample.id)
        return found

    def of_trials(self, judge: Judge) -> Iterator[ContaminationMatch]:
        """Run what may pass a benchmark's tests.

        Raises:
            SandboxError: programs cannot be run here.
        """
        trials = sorted(self._trials, key=lambda trial: trial.of)
        names = {digest(vars(trial)): trial for trial in trials}
        for execution in judge.run(self._program(name, trial) for name, trial in names.items()):
            if execution.status == "passed":
                trial = names[execution.id]
                benchmark, task = trial.of
                detail = f"`{trial.function}` passes the tests of {benchmark} {task} ({len(execution.cases)} cases)"
                for row in dict.fromkeys(self._trials[trial]):
                    yield ContaminationMatch(
                        row=row, benchmark=benchmark, task=task, measure="behaviour", detail=detail
                    )

    @property
    def trials(self) -> int:
        """Programs that `of_trials` runs."""
        return len(self._trials)

    def _by_text(self, row: str, held: Mapping[_Key, float], measure: Measure) -> Iterator[ContaminationMatch]:
        for (benchmark, task), share in held.items():
            if share > self._overlap:
                detail = f"holds {share:.0%} of the words of {benchmark} {task} in {self._ngram}-grams"
                yield ContaminationMatch(row=row, benchmark=benchmark, task=task, measure=measure, detail=detail)

    def _solved(self, function: Function) -> Sequence[_Key]:
        """The tasks that have this very solution."""
        return self._solutions.get(function.form, ()) if function.glance in self._glances else ()

    def _plausible(self, function: Function, instruction: str, entry_point: str) -> set[_Key]:
        keys = set(self._called.get(function.name, ()))
        if function.name == entry_point:
            keys |= {key for key in self._suspects.get(instruction, ()) if self._may_call(key)}
        return {key for key in keys if _takes(function, self._arity.get(key))}

    def _may_call(self, key: _Key) -> bool:
        target = self._targets[key]
        return target.problem is not None and target.entry_point is not None

    def _program(self, name: str, trial: _Trial) -> Program:
        target = self._targets[trial.of]
        problem = target.problem
        assert problem is not None
        alias = "" if trial.function == target.entry_point else f"\n{target.entry_point} = {trial.function}\n"
        return Program(
            id=name,
            code=prepend_setup(problem.setup, trial.code) + alias,
            entry_point=problem.entry_point,
            cases=problem.suites["base"],
            limits=Limits(cpu_seconds=problem.cpu_seconds, memory_mb=_MEMORY_MB),
            decisive=True,
        )


def _takes(function: Function, solution: Function | None) -> bool:
    """Whether a call of the solution may be one of the function."""
    if solution is None:
        return True
    most = solution.fewest if solution.most is None else solution.most
    return function.fewest <= most and (function.most is None or function.most >= solution.fewest)


def count(findings: Iterable[ContaminationMatch], benchmark: str) -> dict[str, int]:
    """The rows found by each measure in one benchmark."""
    rows = {(one.measure, one.row) for one in findings if one.benchmark == benchmark}
    counted = Counter(measure for measure, _ in rows)
    return {measure: counted[measure] for measure in MEASURES}
