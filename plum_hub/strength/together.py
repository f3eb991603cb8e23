"""Variants of one reference in one program: its mutants share a process, its start and its loading.

A mutant is a small change of a program that was proved, so its outcome needs no process of its own as that of a sample
does: nothing is labelled by it. What a variant could leave behind for the next, such as a changed module, is excluded
by what a reference may import (`can_share`), and noticed besides: the reference runs first and last, and must do the
same both times.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from itertools import chain

from plum_hub.answers.source import loaded_names, parse
from plum_hub.execution import Call, Execution, Limits, Program, Statement
from plum_hub.execution.base import Case, CaseResult, Value
from plum_hub.records import TestSuite
from plum_hub.strength.limits import TIMES
from plum_hub.strength.sites import is_docstring

LEAST_SECONDS = 0.02
"""CPU time that a variant may take, however fast its reference is: hundreds of times what most need."""
_STATELESS = frozenset(
    {"__future__", "abc", "array", "bisect", "calendar", "cmath", "collections", "copy", "dataclasses", "datetime"}
    | {"enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "numbers", "operator", "re"}
    | {"statistics", "string", "textwrap", "typing", "unicodedata", "zlib", "base64", "binascii"}
)
"""Modules that keep nothing of what a program does with them."""
_SHARED = frozenset({"__import__", "breakpoint", "input", "open"})
"""Builtins that reach beyond the program."""
_RESERVED = "__plum_"
"""Begins names that only the sandbox gives to cases."""
_RUNNER = "__variants__"
_FIRST = 2
"""Number of the first variant among the sources."""


def can_share(suite: TestSuite) -> bool:
    """Tell whether variants of a suite's reference leave nothing behind, so that they may run in one process.

    Args:
        suite: The suite.

    Returns:
        True if they may: the suite calls a function or class, and neither reference nor cases use a module or builtin
        that has a state.
    """
    if not suite.entry_point or any(case.kind == "stdio" for case in suite.cases):
        return False
    return all(map(_is_stateless, [suite.reference, *(case.statement or case.call or "" for case in suite.cases)]))


def _is_stateless(source: str) -> bool:
    tree = parse(source)
    if tree is None or _RESERVED in source or loaded_names(tree) & _SHARED:
        return False
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.partition(".")[0] not in _STATELESS for name in names):
            return False
    return True


@dataclass
class Together:
    """Variants of a reference, and what they did.

    Attributes:
        name: Id of the programs.
        suite: The suite; its reference is run before and after the variants.
        cases: Calls, values and statements to run.
        variants: Sources.
        limits: What the reference may use.
        seconds: CPU time of the reference for one case and for all; None for what `limits` gives.
        times: A variant gets so many times what the reference has used, but
        least: at least so many seconds.
        marked: The reference with marks (`coverage.Probes.marked`); "" for none.
        results: What each variant did, by its number; None for one that does not load.
        reference: What the reference did.
        reference_seconds: CPU seconds of the reference for all cases.
        marks: Marks that were reached.
        is_faithful: Whether the results hold. Otherwise the variants are to be run one by one.
    """

    name: str
    suite: TestSuite
    cases: tuple[Case, ...]
    variants: Sequence[str]
    limits: Limits
    seconds: tuple[float, float] | None = None
    times: float = TIMES
    least: float = LEAST_SECONDS
    marked: str = ""
    results: dict[int, tuple[CaseResult, ...] | None] = field(default_factory=dict)
    reference: tuple[CaseResult, ...] = ()
    reference_seconds: float = 0.0
    marks: frozenset[int] = frozenset()
    is_faithful: bool = True

    def passed(self, number: int) -> bool:
        """Tell whether a variant passes all cases.

        Args:
            number: Which.

        Returns:
            True if it does; False also for one that does not load.
        """
        results = self.results[number]
        return results is not None and all(result.outcome == "passed" for result in results)

    @property
    def reference_passes(self) -> bool:
        """Whether the results hold, and the reference passes all cases."""
        return (
            self.is_faithful and bool(self.reference) and all(result.outcome == "passed" for result in self.reference)
        )

    def pending(self) -> list[int]:
        """Return the numbers of the variants without a result."""
        return [number for number in range(len(self.variants)) if number not in self.results]

    def program(self) -> Program | None:
        """Return the program that runs what is pending; None if that is nothing."""
        if not self.is_faithful or (self.reference and not self.pending()):
            return None
        cases: list[Case] = []
        for place, number in enumerate(self._order()):
            cases.append(Value(expression=f"{_RUNNER}.load({number})"))
            cases += [_renamed(case, f"{_RUNNER}.run({number}, {index})") for index, case in enumerate(self.cases)]
            if place == self._front - 1:
                cases.append(Value(expression=f"{_RUNNER}.report()"))
        cpu, wall = self.limits.cpu_seconds, self.limits.wall_seconds
        seconds = (*(self.seconds or (cpu, cpu)), self.times, self.least)
        sources = {number: self._source(number) for number in set(self._order())}
        code = f"{_child()}\n{_RUNNER} = VariantRunner({sources!r}, {[*map(_text, self.cases)]!r}, {seconds!r})\n"
        # The sandbox gives a quarter to a first run, and here each source has limits of its own.
        limits = replace(self.limits, cpu_seconds=4 * cpu, wall_seconds=4 * wall)
        return Program(id=self.name, code=code, entry_point=None, cases=tuple(cases), limits=limits)

    def take(self, execution: Execution) -> None:
        """Take what the program did. If its process ended early, the rest is still pending.

        A variant is blamed for such an end only if it was the first to run, so that none suffers from another.

        Args:
            execution: The result of the latest program.
        """
        order, size = self._order(), len(self.cases) + 1
        blocks = [list(execution.cases[start : start + size]) for start in range(0, self._front * size, size)]
        rest = execution.cases[self._front * size :]
        report, rest = rest[0], rest[1:]
        blocks += [list(rest[start : start + size]) for start in range(0, len(rest), size)]
        done = sum(result.outcome != "not_run" for result in (*chain.from_iterable(blocks),))
        is_cut = execution.status not in ("passed", "failed")
        ended = (done - 1) // size if is_cut else len(order)  # the block in which the process ended
        if report.value is None or ended < self._front or not self._agrees(blocks, ended):
            self.is_faithful = False
            return
        self.reference = tuple(blocks[0][1:])
        self.reference_seconds, marks = ast.literal_eval(report.value)
        self.marks = frozenset(marks)
        first = next(iter(self.pending()), None)
        for number, block in zip(self.pending(), blocks[self._front : ended], strict=False):
            self.results[number] = None if block[0].outcome != "passed" else tuple(block[1:])
        if ended == self._front and first is not None:
            self.results[first] = tuple(blocks[ended][1:])

    @property
    def _front(self) -> int:
        """Sources before the variants."""
        return 2 if self.marked else 1

    def _order(self) -> list[int]:
        """Return the numbers of the sources as they run: 0 is the reference, 1 its marked form."""
        variants = [number + _FIRST for number in self.pending()]
        return [*range(self._front), *variants, *([0] if self.seconds is None else [])]

    def _agrees(self, blocks: Sequence[Sequence[CaseResult]], ended: int) -> bool:
        """Return whether the reference did the same at the end, where it was run once more."""
        if self.seconds is not None:
            return True
        first, last = ([one.outcome for one in block] for block in (blocks[0], blocks[-1]))
        return ended < len(blocks) - 1 or (ended == len(blocks) and first == last)

    def _source(self, number: int) -> str:
        return (self.suite.reference, self.marked, *self.variants)[number]


def _renamed(case: Case, expression: str) -> Case:
    """Return a case that has its value from the runner."""
    if isinstance(case, Call):
        return replace(case, expression=expression)
    return Value(expression=expression)


def _text(case: Case) -> tuple[str, str]:
    """Return how the runner compiles a case."""
    if isinstance(case, Statement):
        return "exec", case.source
    assert isinstance(case, Call | Value)
    return "eval", case.expression


@cache
def _child() -> str:
    """Return the source of the runner, without its docstrings: each process compiles it."""
    tree = ast.parse(resources.files(__package__).joinpath("variant_child.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [one for one in node.body if not is_docstring(one)] or [ast.Pass()]
    return ast.unparse(tree)
