"""Runs variants of one program, one after the other, in one process of a sandbox.

Its source is the beginning of such a program (`together.py`), so it imports nothing of this package. A variant that is
late is interrupted, which costs no process; one that cannot be interrupted is killed by the kernel, together with this.
"""

import signal
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_KILLED_AFTER = 3.0
"""A variant that is still late after so many times its limit runs in C, and is killed."""
_MOST_SECONDS, _LEAST_TIMES = 0.2, 2.0
"""A variant gets no more CPU time than this, but twice that of a slow reference."""


class LateError(BaseException):
    """A variant has used its CPU time. No `Exception`, so that handlers of the variant let it through."""


class VariantRunner:
    """Holds the variant that runs now.

    Args:
        sources: The reference is number 0, and the others are its variants.
        cases: `eval` and an expression, or `exec` and statements, which have no value.
        seconds: CPU time of the reference for one case and for all; a variant gets so many times the time that the
            reference has used; but at least so many seconds.
    """

    def __init__(
        self,
        sources: Mapping[int, str],
        cases: Sequence[tuple[str, str]],
        seconds: tuple[float, float, float, float],
    ) -> None:
        self._sources = sources
        self._cases = [compile(source, "<case>", kind) for kind, source in cases]
        self._call_seconds, self._whole_seconds, self._times, self._least = seconds
        self._current = -1
        self._scope: dict[str, Any] = {}
        self._used = 0.0
        self._armed = self._ended = False
        self._without_value: set[int] = set()
        """Cases on which the reference raises. They are not run on its variants."""
        self._reference_seconds = 0.0
        self._marks: list[int] = []
        signal.signal(signal.SIGPROF, self._interrupt)

    def load(self, number: int) -> None:
        """Load a source, in place of the one before.

        Args:
            number: Which.
        """
        self._leave()
        self._current, self._used, self._ended = number, 0.0, False
        module = sys.modules["solution"] = types.ModuleType("solution")
        vars(module)["__marks__"] = marks = set[int]()
        try:
            self._timed(lambda: exec(compile(self._sources[number], "<program>", "exec"), vars(module)))
        except LateError:
            self._ended = True
        self._scope = {**vars(module), "__marks__": marks}

    def run(self, number: int, case: int) -> object:
        """Run one case on the source that is loaded.

        Args:
            number: Which source that should be.
            case: Which case.

        Returns:
            Its value.

        Raises:
            RuntimeError: The source has failed before, or the reference has no value here.
            Exception: What the case raises.
        """
        if self._ended or number != self._current or (number and case in self._without_value):
            raise RuntimeError("not run")
        try:
            return self._timed(lambda: eval(self._cases[case], self._scope))
        except BaseException:
            self._ended = number > 0
            if not number:
                self._without_value.add(case)
            raise

    def report(self) -> tuple[float, list[int]]:
        """Say how long the reference took, and which marks of the source that ran last were reached.

        Returns:
            CPU seconds of the reference for all its cases, and the numbers of the marks.
        """
        self._leave()
        return self._reference_seconds, self._marks

    def _leave(self) -> None:
        """Keep what is asked for later, and forget the source that was loaded."""
        if self._current == 0:
            self._reference_seconds = self._used
            most = max(_MOST_SECONDS, _LEAST_TIMES * self._used)
            self._whole_seconds = self._call_seconds = max(self._least, min(self._times * self._used, most))
        self._marks = sorted(self._scope.get("__marks__", ()))
        self._scope, self._current = {}, -1

    def _timed(self, work: Callable[[], object]) -> object:
        """Do something within the time that is left."""
        left = min(self._call_seconds, self._whole_seconds - self._used)
        if left <= 0:
            raise LateError
        began, self._armed = time.process_time(), True
        try:
            signal.setitimer(signal.ITIMER_PROF, left, left / 4)
            signal.setitimer(signal.ITIMER_VIRTUAL, _KILLED_AFTER * left)
            try:
                return work()
            finally:
                self._armed = False
        except MemoryError:
            raise RuntimeError("out of memory") from None
        finally:
            self._armed = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            self._used += time.process_time() - began

    def _interrupt(self, _number: int, _frame: object) -> None:
        if self._armed:
            raise LateError
