"""Compiles programs for the judge, in a jail of its own that runs none.

A process that has just been forked copies a page for nearly everything that the compiler touches: there a program of a
dozen lines takes 0.3 ms to compile, in a process that goes on compiling 0.05 ms. What cannot be compiled, and what the
jail breaks on, is left to the program's own process, whose verdict says why; so a verdict never depends on this.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from plum_hub.errors import SandboxError
from plum_hub.execution import wire
from plum_hub.execution.base import Program
from plum_hub.execution.worker import BrokenWorkerError, Worker

_WORTH = 256
"""Programs from which on the jail is worth its start."""
_LONGEST_SECONDS = 10.0
_MOST_BYTES = 1 << 18
"""Of source in one message; a longer program is left to its own process."""
_MEMORY_BYTES = 1 << 30
_BREAKS = 3
"""As often the jail is replaced."""


@dataclass(eq=False)
class Next:
    """A program whose turn will come."""

    program: Program
    cases: str
    """The name of its cases (`tally.Cases`)."""
    compiled: bytes = b""
    """Its code, marshalled, once there is any."""


class Scribe:
    """Compiles programs a few at a time, while others run.

    Args:
        start: starts and proves a jail.
    """

    def __init__(self, start: Callable[[], Worker]) -> None:
        self._start = start
        self._worker: Worker | None = None
        self._asked: deque[list[Next]] = deque()
        self._deadline = 0.0
        self._met = self._breaks = 0

    def ask(self, programs: Sequence[Next]) -> None:
        """Have programs compiled, in the order in which their turns come."""
        self._met += len(programs)
        if self._met < _WORTH or self._breaks > _BREAKS:
            return
        batch: list[Next] = []
        frames: list[bytes] = []
        for one in programs:
            source = one.program.code.encode(errors="surrogatepass")
            if len(source) <= _MOST_BYTES // len(programs):
                batch.append(one)
                frames.append(wire.framed(wire.COMPILED, source))
        worker = self._started() if batch else None
        if worker is None:
            return
        asked = wire.RunRequest(wire.COMPILE, memory=worker.overhead_bytes + _MEMORY_BYTES)
        worker.send(wire.pack(wire.ASKED.pack(*asked), b"".join(frames)))
        if not self._asked:
            self._deadline = time.monotonic() + _LONGEST_SECONDS
        self._asked.append(batch)

    def _started(self) -> Worker | None:
        if self._worker is None:
            try:
                self._worker = self._start()
            except (BrokenWorkerError, SandboxError):
                self._break()
                return None
            self._worker.allow(_MEMORY_BYTES)
        return self._worker

    @property
    def is_busy(self) -> bool:
        """Whether there is something to `take`, now or later."""
        return bool(self._asked)

    def take(self) -> None:
        """Hand over what has been compiled. A jail that broke, or has been silent for long, is given up."""
        try:
            while self._worker and self._asked and (answer := self._worker.pump()):
                codes = [code for _, code in wire.frames(answer[1])]
                for one, code in zip(self._asked.popleft(), codes, strict=True):
                    one.compiled = code
                self._deadline = time.monotonic() + _LONGEST_SECONDS
        except (BrokenWorkerError, ValueError):
            self._break()
        if self._asked and time.monotonic() > self._deadline:
            self._break()

    def _break(self) -> None:
        self._breaks += 1
        self.close()

    def close(self) -> None:
        """Stop the jail. Idempotent."""
        self._asked.clear()
        if self._worker is not None:
            self._worker.close()
            self._worker = None
