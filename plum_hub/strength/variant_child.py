"""Runs variants of one program, one after the other, in one process of a sandbox.

Its code is a statement in such a program (`together.py`), so it imports nothing of this package but what each process
has. It names no module that the sandbox restores before a statement with its name, as that takes a millisecond.

An endless variant is interrupted after so many steps, which costs no process; one that takes long without a step after
so much CPU time; and one that cannot be interrupted is killed by the kernel, together with this.
"""

import signal
import sys
import time
import types
from itertools import accumulate, chain, compress, repeat
from typing import Any

from plum_hub.execution.values import encode

_KILLED_AFTER = 3.0
"""A variant that is still late after so many times its limit runs in C, and is killed."""
_MOST_SECONDS, _LEAST_TIMES = 0.2, 2.0
"""A variant gets no more CPU time than this, but twice that of a slow reference."""
_CASES = 5
"""In all cases together, a variant gets at least so many times what it gets at least in one."""
_SLACK = 2.5
"""CPU time is not the same each time, so its limit is wider than that of steps."""
_LONGEST = 1_000_000
"""Characters of an encoded value."""
_AGAIN = 1_000_000
"""Steps of the reference at the end."""
_ENDLESS = 1 << 62

_ENDED, _RAISED, _NOT_LOADED, _STOPPED, _LEFT_OUT = range(5)


class LateError(BaseException):
    """A variant has used its time. No `Exception`, so that handlers of the variant let it through."""


class VariantRunner:
    """Runs the reference, then its variants; and once more the reference, if that is wanted.

    Args:
        sources: Sources that count their steps, each with its role: `reference`, which is the first; `variant`;
            `lenient`, a variant that is run to its end, even if a value is not that of the reference; or `again`.
        cases: `eval` and an expression, or `exec` and statements, which have no value.
        limits: Steps and CPU seconds of the reference for one case, and for all; what a variant gets at least in one
            case and, as CPU seconds, in all; and how many times the steps of the reference it gets.
        together: Steps of all variants together, where the reference takes no more; else they get as many as it takes.
            Once they are used, no variant is begun.
        seeded: Name of the module whose random numbers are the same for each source; "" for none.
    """

    def __init__(
        self,
        sources: list[tuple[str, str]],
        cases: list[tuple[str, str]],
        limits: tuple[tuple[int, float], tuple[int, float], tuple[int, float], float],
        together: int,
        seeded: str,
    ) -> None:
        self._sources = iter(sources)
        self._cases = [compile(source, "<case>", kind) for kind, source in cases]
        self._call, self._whole, self._least, self._times = limits
        self._together = together
        self._forms: list[str | None] = []
        """What the reference gives in each case. Where it raises, nothing is run on its variants."""
        self._steps: list[int] = []
        """Steps of the reference in each case, and
        at load: when it loads."""
        self._at_load = 0
        self._order: list[int] = []
        """Numbers of the cases that have a value; first those in which the reference takes few steps, since most
        variants differ from it in any case."""
        self._most, self._left = 0, repeat(True, 0)
        """Steps that were allowed, and what knows how many of them are left."""
        self._scope: dict[str, Any] = {}
        self._module: dict[str, Any] = {}
        self._armed = False
        self._seeded = sys.modules[seeded] if seeded else None
        self._state = self._seeded.getstate() if self._seeded else None
        self._recursion = sys.getrecursionlimit()
        signal.signal(signal.SIGPROF, self._interrupt)

    def next(self) -> str | None:
        """Run the next source.

        Returns:
            A report as JSON; None after the last source. Of the reference: its steps and CPU seconds, the numbers of
            its marks, and what it gives in each case, encoded; null where it raises. Of a variant: how it ended, and
            where it differs from the reference, as case, its own value and that of the reference. Of the reference at
            the end: whether it did the same in the cases that take few steps.
        """
        role, source = next(self._sources, ("", ""))
        return encode(self._report(role, source)).decode() if role else None

    def _report(self, role: str, source: str) -> list[Any]:
        if role == "reference":
            return self._reference(source)
        if role == "variant" and self._together <= 0:
            return [_LEFT_OUT, []]
        if role == "again":
            self._order = self._first(_AGAIN)
        outcome, differences = self._variant(source, lenient=role != "variant")
        return [not outcome and not differences] if role == "again" else [outcome, differences]

    def _reference(self, source: str) -> list[Any]:
        marks = self._load(source, _ENDLESS)
        used, seconds = self._used(), 0.0
        self._at_load = used
        for case in self._cases:
            self._count(min(self._call[0], self._whole[0] - used))
            left, began = min(self._call[1], self._whole[1] - seconds), time.process_time()
            form = None
            try:
                form = self._timed(lambda case=case: self._form(case), left)
            except LateError:  # by steps or by time, which is not the same each time: it counts as all its steps
                self._left = repeat(True, 0)
            except BaseException:  # noqa: BLE001  what the reference raises is its result
                pass
            self._forms.append(form)
            self._steps.append(self._used())
            used, seconds = used + self._steps[-1], seconds + time.process_time() - began
        slow = min(_SLACK * self._times * seconds, max(_MOST_SECONDS, _LEAST_TIMES * seconds))
        self._whole = max(_CASES * self._least[0], self._limit(used)), max(self._least[1], slow)
        self._together = max(self._together, used)
        valued = (number for number, form in enumerate(self._forms) if form is not None)
        self._order = sorted(valued, key=lambda number: self._steps[number] // self._least[0])
        return [used, seconds, sorted(marks), self._forms]

    def _limit(self, steps: int) -> int:
        return max(self._least[0], int(self._times * steps))

    def _first(self, most: int) -> list[int]:
        """Return the first cases in which the reference takes so many steps together."""
        sums = accumulate(self._steps[number] for number in self._order)
        return [number for number, steps in zip(self._order, sums, strict=True) if steps <= most]

    def _variant(self, source: str, *, lenient: bool) -> tuple[int, list[Any]]:
        differences: list[Any] = []
        try:
            self._timed(lambda: self._load(source, self._limit(self._at_load)), self._whole[1])
        except BaseException:  # noqa: BLE001  as above
            return _NOT_LOADED, differences
        try:
            return self._timed(lambda: self._compared(differences, lenient), self._whole[1]), differences
        except BaseException:  # noqa: BLE001  as above
            return _RAISED, differences
        finally:
            self._together -= self._used()

    def _compared(self, differences: list[Any], lenient: bool) -> int:
        whole = self._whole[0]
        for number in self._order:
            self._count(min(self._limit(self._steps[number]), whole))
            form = self._forms[number]
            if (mine := self._form(self._cases[number])) != form:
                differences.append([number, mine, form])
                if not lenient:
                    return _STOPPED
            used = self._used()
            whole, self._together = whole - used, self._together - used
        return _ENDED

    def _form(self, case: types.CodeType) -> str:
        form = encode(eval(case, self._scope)).decode()
        if len(form) > _LONGEST:
            raise ValueError("a value that is too long")
        return form

    def _load(self, source: str, steps: int) -> set[int]:
        """Load a source; return the marks that it reaches, now and later."""
        if self._seeded:
            self._seeded.setstate(self._state)
        sys.setrecursionlimit(self._recursion)
        module = sys.modules["solution"] = types.ModuleType("solution")
        self._module = vars(module)
        self._module["__marks__"] = marks = set[int]()
        self._count(steps)
        exec(compile(source, "<program>", "exec"), self._module)
        self._scope = {**self._module}
        return marks

    def _count(self, most: int) -> None:
        """Let the module make so many steps at most."""
        self._most, self._left = most, repeat(True, most)
        steps = chain(self._left, _late())
        self._module["__step__"] = steps.__next__
        self._module["__items__"] = lambda items: compress(items, steps)

    def _used(self) -> int:
        """Return the steps since they were counted anew, each of them once."""
        used, self._most = self._most - self._left.__length_hint__(), self._left.__length_hint__()
        return used

    def _timed(self, work: Any, seconds: float) -> Any:
        """Do something within some CPU time."""
        if seconds <= 0:
            raise LateError
        self._armed = True
        try:
            signal.setitimer(signal.ITIMER_PROF, seconds, seconds / 4)
            signal.setitimer(signal.ITIMER_VIRTUAL, _KILLED_AFTER * seconds)
            try:
                return work()
            finally:
                self._armed = False
        finally:
            self._armed = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _interrupt(self, _number: int, _frame: object) -> None:
        if self._armed:
            raise LateError


def _late() -> Any:
    yield from ()
    raise LateError
