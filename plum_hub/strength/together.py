"""Variants of one reference in one program: its mutants share a process, its start and its loading.

A mutant is a small change of a program that was proved, so its outcome needs no process of its own as that of a sample
does: nothing is labelled by it. What a variant could leave behind for the next, such as a changed module, is excluded
by what a reference may import (`shared.py`), and noticed besides: the reference runs first and last, and must do the
same both times.

A variant that gives what the reference gives, encoded, passes the case as the reference does. What it gives else leaves
the sandbox and is compared here.
"""

import ast
import json
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from itertools import takewhile
from typing import Any

from plum_hub.execution import Call, Execution, Limits, Program, Statement
from plum_hub.execution.base import Case, Steps, Value
from plum_hub.execution.outcomes import compare
from plum_hub.strength.sites import is_docstring

LEAST = 10_000, 0.02
"""Steps in one case, and CPU seconds in all, that a variant may take, however fast its reference is."""
TIMES = 4.0
"""A variant may take so many times the steps of its reference, in each case."""
_RUNNER = "__variants__"
_FRAMES = 24
"""Reports of one program, or a multiple. With the same number, the cases are the same, and compiled only once."""
_SPARE = 3
"""Reports besides those of variants."""
_ENDED, _NOT_LOADED, _STOPPED, _LEFT_OUT = 0, 2, 3, 4
"""How a variant ended (`variant_child.py`)."""
_ENDLESS = 1 << 62
_NO_REPORTS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    SyntaxError,
    RecursionError,
    MemoryError,
)
"""What reading reports raises that a reference has changed."""


@dataclass
class Together:
    """Variants of a reference, and what they did.

    Attributes:
        name: Id of the programs.
        reference: Source of the reference, which counts its steps and perhaps has marks (`coverage.Probes.marked`).
        cases: Calls, values and statements to run.
        variants: Sources that count their steps.
        limits: What the reference may use.
        again: Whether the reference is run once more after the variants, and has to do the same.
        call: Steps and CPU seconds of the reference for one case; None for what `limits` gives.
        whole: The same for all cases.
        times: A variant gets so many times the steps of the reference in a case, but at least `LEAST`.
        together: Steps of all variants, or those of the reference where it takes more; then no other is begun.
        passed: Whether each variant passes all cases, by its number; None for one that does not load or is not begun.
        used: Steps and CPU seconds of the reference in all cases.
        marks: Marks of the reference that were reached.
        gives_values: Whether the reference has a value in any case.
        passes: Whether the results hold, and the reference passes all cases.
        is_faithful: Whether the results hold. Otherwise the variants are to be run one by one.
    """

    name: str
    reference: str
    cases: tuple[Case, ...]
    variants: Sequence[str]
    limits: Limits
    again: bool = False
    call: Sequence[float] | None = None
    whole: Sequence[float] | None = None
    times: float = TIMES
    together: int = _ENDLESS
    passed: dict[int, bool | None] = field(default_factory=dict)
    used: tuple[int, float] = 0, 0.0
    marks: Set[int] = frozenset()
    gives_values: bool = False
    passes: bool = False
    is_faithful: bool = True
    _lenient: set[int] = field(default_factory=set)
    """Variants whose first other value was right too, so that all of them are compared."""
    _is_run: bool = False

    def pending(self) -> list[int]:
        """Return the numbers of the variants without a result."""
        return [number for number in range(len(self.variants)) if number not in self.passed]

    def program(self) -> Program | None:
        """Return the program that runs what is pending; None if that is nothing."""
        pending = self.pending()
        if not self.is_faithful or (self._is_run and not pending):
            return None
        cpu = self.limits.cpu_seconds
        unlimited = _ENDLESS, cpu
        variants = [("lenient" if n in self._lenient else "variant", self.variants[n]) for n in pending]
        arguments = {
            "sources": [("reference", self.reference), *variants, *[("again", self.reference)] * self.again],
            "cases": [*map(_text, self.cases)],
            "limits": (self.call or unlimited, self.whole or unlimited, LEAST, self.times),
            "together": self.together,
            "seeded": "random" if "random" in self.reference else "",
        }
        # The sandbox gives a quarter to a first run, and here each source has limits of its own.
        limits = replace(self.limits, cpu_seconds=4 * cpu, wall_seconds=4 * self.limits.wall_seconds)
        frames = _FRAMES * -(-(len(pending) + _SPARE) // _FRAMES)
        code = f"{_RUNNER} = {arguments!r}\n"
        return Program(id=self.name, code=code, entry_point=None, cases=_frames(frames), limits=limits)

    def take(self, execution: Execution) -> None:
        """Take what the program did. If its process ended early, the rest is still pending.

        A variant is blamed for such an end only if it was the first to run, so that none suffers from another.

        Args:
            execution: The result of the latest program.
        """
        self._is_run = True
        values = takewhile(lambda value: value not in (None, "None"), (one.value for one in execution.cases[1:]))
        try:
            self._take([json.loads(ast.literal_eval(value)) for value in values if value is not None])
        except _NO_REPORTS:
            self.is_faithful = self.passes = False

    def _take(self, reports: list[Any]) -> None:
        pending = self.pending()
        if not reports or reports[0] is None:
            self.is_faithful = False
            return
        steps, seconds, marks, forms = reports[0]
        self.used, self.marks, self.gives_values = (int(steps), float(seconds)), frozenset(marks), any(forms)
        self.passes = bool(forms) and None not in forms and all(map(_agrees, self.cases, forms, forms))
        for number, (outcome, differences) in zip(pending, reports[1:], strict=False):
            self._decide(number, outcome, differences)
        if len(reports) == 1 and pending:
            self.passed[pending[0]] = False
        is_cut = len(reports) <= len(pending)
        if len(forms) != len(self.cases) or (self.again and not is_cut and reports[1 + len(pending)] != [True]):
            self.is_faithful = self.passes = False

    def _decide(self, number: int, outcome: int, differences: list[tuple[int, str, str]]) -> None:
        agrees = all(_agrees(self.cases[case], mine, form) for case, mine, form in differences)
        if agrees and outcome == _STOPPED and number not in self._lenient:
            self._lenient.add(number)
        else:
            self.passed[number] = None if outcome in (_NOT_LOADED, _LEFT_OUT) else agrees and outcome == _ENDED


def _agrees(case: Case, mine: str, form: str) -> bool:
    """Return whether an encoded value is that of the case, or of the reference where the case has none."""
    if isinstance(case, Call):
        return compare(mine.encode(), case.expected, case.tolerance, case.comparison).outcome == "passed"
    return mine == form or _ordered(json.loads(mine)) == _ordered(json.loads(form))


def _ordered(item: Any) -> str:
    """Return an encoded value as text in which sets with the same elements are equal, whatever their order."""
    if isinstance(item, list):
        return f"[{','.join(map(_ordered, item))}]"
    if isinstance(item, dict):
        ((tag, content),) = item.items()
        in_order = sorted(map(_ordered, content)) if tag in ("s", "z") else [_ordered(content)]
        return f"{tag}({','.join(in_order)})"
    return json.dumps(item)


def _text(case: Case) -> tuple[str, str]:
    """Return how the runner compiles a case."""
    if isinstance(case, Statement | Steps):
        return "exec", case.source
    assert isinstance(case, Call | Value)
    return "eval", case.expression


@cache
def _frames(count: int) -> tuple[Case, ...]:
    """Return the cases of all programs: the runner, and its reports. Equal cases are compiled once in a sandbox."""
    tree = ast.parse(resources.files(__package__).joinpath("variant_child.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [one for one in node.body if not is_docstring(one)] or [ast.Pass()]
    runner = Statement(source=f"{ast.unparse(tree)}\n{_RUNNER} = VariantRunner(**{_RUNNER})")
    return (runner, *[Value(expression=f"{_RUNNER}.next()")] * count)
