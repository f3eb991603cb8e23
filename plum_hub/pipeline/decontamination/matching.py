"""Find the instructions and samples that are, or contain, problems of benchmarks.

There are three measures: the words of a text (`texts`); a function that is the benchmark's own solution under other
names (`programs`); and, if neither matches, a program that passes the benchmark's own tests. Only plausible programs
are run: a function with the name that the tests call and a matching number of arguments; or the function under test, if
the instruction holds at least a quarter of the problem's statement.
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
"""How a match was found: by the words of an instruction or of a sample, by the solution, or by its behaviour."""
_MEASURES: tuple[Measure, ...] = ("instruction", "text", "solution", "behaviour")

SMALLEST_SOLUTION = 25
"""Nodes in the syntax tree of the smallest solution that is compared. Of 489 functions written for unrelated tasks
(Code Alpaca), 34 equal a solution of HumanEval or MBPP; all of these have at most 21 nodes, such as the sum of two
arguments."""
SUSPICIOUS = 0.25
"""Share of a statement's words from which a sample is run against the problem's tests."""
_MEMORY_MB = 4096
"""Memory limit of these runs, in MiB, as for the benchmarks themselves."""

_functions = lru_cache(maxsize=256)(lambda code: tuple(functions(code)))
_Key: TypeAlias = tuple[str, str]
"""A benchmark and one of its tasks."""


@dataclass(frozen=True, kw_only=True)
class ContaminationMatch:
    """A row that is, or contains, a problem of a benchmark."""

    row: str
    """Id of the instruction or sample."""
    benchmark: str
    task: str
    measure: Measure
    detail: str
    """The evidence, in one line."""


@dataclass(frozen=True)
class _Trial:
    """A program that may pass the tests of a task, and which of its functions they would call."""

    code: str
    function: str
    task: _Key


class BenchmarkMatcher:
    """Compares rows with benchmarks.

    Args:
        benchmarks: The problems to compare with.
        ngram: Words of an n-gram.
        overlap: A text matches if it holds a greater share of a statement's words than this.
    """

    def __init__(self, benchmarks: Sequence[Targets], ngram: int, overlap: float) -> None:
        self._ngram, self._overlap = ngram, overlap
        self._statements: Statements[_Key] = Statements(ngram)
        self._solutions: dict[str, list[_Key]] = defaultdict(list)
        self._shapes: set[tuple[object, ...]] = set()
        self._targets: dict[_Key, Target] = {}
        self._arity: dict[_Key, Function] = {}
        self._by_entry_point: dict[str, list[_Key]] = defaultdict(list)
        self._suspects: dict[str, list[_Key]] = {}
        self._trials: dict[_Trial, list[str]] = defaultdict(list)
        for targets in benchmarks:
            found = {(targets.benchmark, target.task): target for target in targets.problems}
            self._statements.add(
                {key: target.statement for key, target in found.items()},
                {key: target.with_examples for key, target in found.items()},
            )
            for key, target in found.items():
                self._add(key, target)

    def _add(self, key: _Key, target: Target) -> None:
        self._targets[key] = target
        for function in functions(target.reference or ""):
            if function.name == target.entry_point:
                self._arity[key] = function
                if function.size >= SMALLEST_SOLUTION:
                    self._solutions[function.canonical].append(key)
                    self._shapes.add(function.shape)
        if target.problem is not None and target.entry_point is not None:
            self._by_entry_point[target.entry_point].append(key)

    def match_instruction(self, instruction: Instruction) -> list[ContaminationMatch]:
        """Compare an instruction by its words. It must precede its samples.

        Args:
            instruction: The instruction.

        Returns:
            The matches.
        """
        coverage = self._statements.coverage(instruction.text)
        self._suspects[instruction.id] = [key for key, share in coverage.items() if share >= SUSPICIOUS]
        return list(self._by_text(instruction.id, coverage, "instruction"))

    def match_sample(self, sample: Sample, entry_point: str) -> list[ContaminationMatch]:
        """Compare a sample by its words and functions. If neither matches, `match_trials` may run it.

        Args:
            sample: The sample.
            entry_point: Name of the function under test.

        Returns:
            The matches.
        """
        matches = list(self._by_text(sample.id, self._statements.coverage(sample.text), "text"))
        defined = _functions(sample.code or "")
        for function in defined:
            for benchmark, task in self._solved_tasks(function):
                detail = f"`{function.name}` is the solution of {benchmark} {task}, names apart"
                matches.append(
                    ContaminationMatch(row=sample.id, benchmark=benchmark, task=task, measure="solution", detail=detail)
                )
        if not matches:
            for function in defined:
                for key in self._plausible(function, sample.instruction_id, entry_point):
                    self._trials[_Trial(sample.code or "", function.name, key)].append(sample.id)
        return matches

    def match_trials(self, judge: Judge) -> Iterator[ContaminationMatch]:
        """Run the programs that may pass a benchmark's tests.

        Args:
            judge: Runs them.

        Yields:
            A match for each sample whose program passes.

        Raises:
            SandboxError: Programs cannot be run on this machine.
        """
        trials = sorted(self._trials, key=lambda trial: trial.task)
        names = {digest(vars(trial)): trial for trial in trials}
        for execution in judge.run(self._program(name, trial) for name, trial in names.items()):
            if execution.status == "passed":
                trial = names[execution.id]
                benchmark, task = trial.task
                detail = f"`{trial.function}` passes the tests of {benchmark} {task} ({len(execution.cases)} cases)"
                for row in dict.fromkeys(self._trials[trial]):
                    yield ContaminationMatch(
                        row=row, benchmark=benchmark, task=task, measure="behaviour", detail=detail
                    )

    @property
    def trials(self) -> int:
        """Number of programs that `match_trials` will run."""
        return len(self._trials)

    def _by_text(self, row: str, coverage: Mapping[_Key, float], measure: Measure) -> Iterator[ContaminationMatch]:
        for (benchmark, task), share in coverage.items():
            if share > self._overlap:
                detail = f"holds {share:.0%} of the words of {benchmark} {task} in {self._ngram}-grams"
                yield ContaminationMatch(row=row, benchmark=benchmark, task=task, measure=measure, detail=detail)

    def _solved_tasks(self, function: Function) -> Sequence[_Key]:
        """Return the tasks whose solution equals the function."""
        return self._solutions.get(function.canonical, ()) if function.shape in self._shapes else ()

    def _plausible(self, function: Function, instruction: str, entry_point: str) -> set[_Key]:
        keys = set(self._by_entry_point.get(function.name, ()))
        if function.name == entry_point:
            keys |= {key for key in self._suspects.get(instruction, ()) if self._may_call(key)}
        return {key for key in keys if _accepts(function, self._arity.get(key))}

    def _may_call(self, key: _Key) -> bool:
        target = self._targets[key]
        return target.problem is not None and target.entry_point is not None

    def _program(self, name: str, trial: _Trial) -> Program:
        target = self._targets[trial.task]
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


def _accepts(function: Function, solution: Function | None) -> bool:
    """Return whether a call of the solution could be a call of the function."""
    if solution is None:
        return True
    limit = solution.min_arguments if solution.max_arguments is None else solution.max_arguments
    return function.min_arguments <= limit and (
        function.max_arguments is None or function.max_arguments >= solution.min_arguments
    )


def count_matches(findings: Iterable[ContaminationMatch], benchmark: str) -> dict[str, int]:
    """Count the rows that each measure matched with a benchmark.

    Args:
        findings: All matches.
        benchmark: Name of the benchmark.

    Returns:
        Number of rows, by measure.
    """
    rows = {(one.measure, one.row) for one in findings if one.benchmark == benchmark}
    counted = Counter(measure for measure, _ in rows)
    return {measure: counted[measure] for measure in _MEASURES}
