"""Better tests for the instructions of a run: which problem of a source is which instruction, and its tests.

An instruction corresponds to

- the row of a file or dataset whose task has the same text, except for case and white space;
- the problem of a benchmark whose whole prompt it contains, of several the longest, or whose task in words, without
  code and examples, is its whole text; here too case and white space do not count;
- or else the one row or problem whose `id`, `raw_index` or `task_id` is that of the instruction's own row. Ids that are
  numbers do not count, since every source numbers its rows.
"""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

from plum_hub.answers.entry import missing_helpers, needed_code, with_alias
from plum_hub.answers.source import FunctionNode, definitions, parse
from plum_hub.benchmarks.base import Benchmark, Problem
from plum_hub.benchmarks.setup import prepend_setup
from plum_hub.execution import Limits
from plum_hub.execution.base import Case, described
from plum_hub.instructions.duplicates import normalized_text
from plum_hub.instructions.layouts import ID_COLUMNS
from plum_hub.instructions.sources import InstructionsConfig, source_tasks
from plum_hub.pipeline.decontamination.targets import task_in_words, without_examples
from plum_hub.pipeline.own_tests import COLUMNS, RowSuite, UnusableTests, suites_of
from plum_hub.records import Instruction, SuiteContent, TestCase, digest, suite_digest

_MEMORY_MB = 4096
"""Memory limit of a program in MiB on a benchmark's tests, as in EvalPlus."""


@dataclass(frozen=True, kw_only=True)
class GoldPart:
    """Cases that run together."""

    cases: tuple[TestCase | Case, ...]
    limits: Limits | None = None
    """Limits of a program; None for those of the run."""


@dataclass(frozen=True, kw_only=True)
class GoldSuite:
    """The better tests of one instruction. A program passes if it passes all parts."""

    id: str
    """Digest of the tests and all that prepares a program for them."""
    entry_point: str
    parts: tuple[GoldPart, ...]
    reference: str
    """The source's own solution; "" where it has none."""
    row: RowSuite | None = None
    """The suite of a row, which has still to be proved; None for a benchmark's."""
    problem: Problem | None = None
    """The problem of a benchmark."""

    @cached_property
    def interface(self) -> tuple[str, frozenset[str]]:
        """The form of the program that the tests call, and the methods that they use, as `interface_of` reads them."""
        code = self.reference if self.row is None else self.row.reference or self.row.starter_code
        form, methods = interface_of(self.entry_point, code)
        cases = (case for part in self.parts for case in part.cases if methods and isinstance(case, TestCase))
        trees = [parse(case.call or case.statement or "") for case in cases]
        called = {one.attr for tree in trees if tree for one in ast.walk(tree) if isinstance(one, ast.Attribute)}
        return form, methods & called

    def fits(self, suite: SuiteContent) -> bool:
        """Tell whether programs that were asked for by a suite can be called by these tests.

        Args:
            suite: The suite of the run.

        Returns:
            True if both are scripts, functions, or classes with the methods that these tests use.
        """
        form, methods = interface_of(suite.entry_point, suite.reference or suite.starter_code)
        return form == self.interface[0] and methods >= self.interface[1]

    def program(self, code: str | None, entry_point: str) -> str | None:
        """Prepare a program as these tests need it.

        Args:
            code: The program.
            entry_point: The name that it was asked for.

        Returns:
            The program, in which that also has the name that the tests call. For a benchmark, examples are removed, and
            what the tests need of the prompt is added, as `plum-hub evaluate` does.
        """
        found = with_alias(code, entry_point, self.entry_point)
        if found is None or self.problem is None:
            return found
        name, used, text = self.problem.entry_point, self.problem.used_names, self.problem.text
        found = needed_code(found, name, used)
        if self.problem.kind == "completion":
            found = prepend_setup(missing_helpers(found, text, name, used, tests_only=True), found)
        return prepend_setup(self.problem.setup, found)


def interface_of(entry_point: str, code: str) -> tuple[str, frozenset[str]]:
    """Read the form of what tests call.

    Args:
        entry_point: Its name; "" for a script.
        code: A program that defines it, or its starter code.

    Returns:
        `script`, `function` or `class`, and the public methods of a class.
    """
    if not entry_point:
        return "script", frozenset()
    tree = parse(code)
    node = None if tree is None else definitions(tree).get(entry_point)
    if not isinstance(node, ast.ClassDef):
        return "function", frozenset()
    names = (item.name for item in node.body if isinstance(item, FunctionNode))
    return "class", frozenset(name for name in names if not name.startswith("_"))


@dataclass(frozen=True, kw_only=True)
class GoldTests:
    """The tests for the instructions of a run."""

    suites: Mapping[str, tuple[GoldSuite, ...]]
    """By the instruction's id: several where a row can be read in several ways, of which its solution decides."""
    unusable: Mapping[str, str]
    """Why the tests of a row cannot be read, by the instruction's id."""


def gold_of_rows(config: InstructionsConfig, column: str | None, instructions: Iterable[Instruction]) -> GoldTests:
    """Find the tests in a source whose rows have tests of their own.

    Args:
        config: The source.
        column: The column with the tests; None to recognise it.
        instructions: The instructions of the run.

    Returns:
        The tests; if several rows have the same text, those of the first whose tests can be used.

    Raises:
        InstructionsError: The source cannot be read.
    """
    by_text, by_row = _indexed(instructions)
    found: dict[str, list[RowSuite] | UnusableTests] = {}
    named: dict[str, list[list[RowSuite] | UnusableTests]] = defaultdict(list)
    for text, row in source_tasks(config, COLUMNS | {column or ""}):
        own = {str(row[one]) for one in ID_COLUMNS if row.get(one) is not None}
        same_id = [name for one in own for name in by_row.get(one, ())]
        same_text = by_text.get(normalized_text(text), ()) if text else ()
        if same_text or same_id:
            reading = suites_of(row, column)
            for name in same_text:
                if name not in found or (
                    isinstance(found[name], UnusableTests) and not isinstance(reading, UnusableTests)
                ):
                    found[name] = reading
            for name in same_id:
                named[name].append(reading)
    for name, readings in named.items():
        if len(readings) == 1:
            found.setdefault(name, readings[0])
    return GoldTests(
        suites={name: tuple(map(_of_row, one)) for name, one in found.items() if not isinstance(one, UnusableTests)},
        unusable={name: one.reason for name, one in found.items() if isinstance(one, UnusableTests)},
    )


def gold_of_benchmark(benchmark: Benchmark, instructions: Iterable[Instruction]) -> GoldTests:
    """Find the problems of a benchmark that are instructions of a run.

    Args:
        benchmark: The benchmark.
        instructions: The instructions of the run.

    Returns:
        The tests: `base` and, where there is one, `plus`.

    Raises:
        BenchmarkError: The benchmark is unavailable, or of another version.
        SandboxError: Programs cannot run here, and the outputs of the benchmark's solutions are not cached.
    """
    problems = {problem.id: problem for problem in benchmark.problems()}
    prompts = {name: normalized_text(one.text.strip().strip('"')) for name, one in problems.items()}
    longest = sorted(prompts, key=lambda name: len(prompts[name]), reverse=True)
    words = {name: normalized_text(_words(problem)) for name, problem in problems.items()}
    times = Counter(words.values())
    by_words = {text: name for name, text in words.items() if times[text] == 1}
    suites: dict[str, GoldSuite] = {}
    found: dict[str, tuple[GoldSuite, ...]] = {}
    for one in instructions:
        text = normalized_text(one.text)
        task = next((name for name in longest if prompts[name] in text), None) or by_words.get(text)
        task = task or (one.row if one.row in problems else None)
        if task is not None:
            if task not in suites:
                suites[task] = _of_problem(problems[task])
            found[one.id] = (suites[task],)
    return GoldTests(suites=found, unusable={})


def _words(problem: Problem) -> str:
    text = problem.text.strip().strip('"').strip()
    words = task_in_words(text if problem.kind == "instruction" else problem.text, problem.entry_point)
    return without_examples(words).strip('" \n')


def _indexed(instructions: Iterable[Instruction]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the ids of instructions by text and by the id of their row."""
    by_text: dict[str, list[str]] = defaultdict(list)
    by_row: dict[str, list[str]] = defaultdict(list)
    for one in instructions:
        by_text[normalized_text(one.text)].append(one.id)
        if not one.row.isdigit():
            by_row[one.row].append(one.id)
    return by_text, by_row


def _of_row(suite: RowSuite) -> GoldSuite:
    return GoldSuite(
        id=suite_digest("", suite),
        entry_point=suite.entry_point,
        parts=(GoldPart(cases=suite.cases),),
        reference=suite.reference,
        row=suite,
    )


def _of_problem(problem: Problem) -> GoldSuite:
    parts, content = [], []
    for suite, cases in problem.suites.items():
        if ":" not in suite:  # `base:strict` is another reading of `base`
            seconds = problem.limits.get(suite, problem.cpu_seconds)
            limits = Limits(cpu_seconds=seconds, wall_seconds=max(60.0, 6 * seconds), memory_mb=_MEMORY_MB)
            parts.append(GoldPart(cases=cases, limits=limits))
            content.append([*map(described, cases)])
    limits_ = [asdict(part.limits) for part in parts if part.limits is not None]
    return GoldSuite(
        id=digest(problem.id, problem.entry_point, problem.setup, problem.text, content, limits_),
        entry_point=problem.entry_point or "",
        parts=tuple(parts),
        reference=problem.reference or "",
        problem=problem,
    )
