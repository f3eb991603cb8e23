"""Compile programs ahead of their turn, in a jail that runs none.

A process that has just been forked copies a page for nearly everything that the compiler touches: there a program of a
dozen lines takes 0.3 ms to compile, in a process that goes on compiling 0.05 ms. What does not compile, or breaks the
jail, is left to the program's own process, whose verdict says why; so no verdict depends on this.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from plum_hub.errors import SandboxError
from plum_hub.execution import wire
from plum_hub.execution.base import Program
from plum_hub.execution.worker import BrokenWorkerError, Worker

_MIN_PROGRAMS = 256
"""Programs from which on the jail is worth its start."""
_TIMEOUT_SECONDS = 10.0
_MAX_BYTES = 1 << 18
"""Source in one message; a longer program is left to its own process."""
_MEMORY_BYTES = 1 << 30
_MAX_RESTARTS = 3


@dataclass(eq=False)
class UpcomingProgram:
    """A program that waits for its turn.

    Attributes:
        program: The program.
        cases: Name of its compiled cases (`Cases.name`).
        compiled: Its source and code (`compiler.answer`); empty until it is compiled, and if it cannot be.
    """

    program: Program
    cases: str
    compiled: bytes = b""


class Precompiler:
    """Compiles programs a few at a time, while others run.

    Args:
        start: Starts a jail and proves its isolation.
    """

    def __init__(self, start: Callable[[], Worker]) -> None:
        self._start = start
        self._worker: Worker | None = None
        self._pending: deque[list[UpcomingProgram]] = deque()
        self._deadline = 0.0
        self._seen = self._restarts = 0

    def submit(self, programs: Sequence[UpcomingProgram]) -> None:
        """Send programs to be compiled. The first ones are only counted, as the jail may not be worth its start.

        Args:
            programs: In the order of their turns.
        """
        self._seen += len(programs)
        if self._seen < _MIN_PROGRAMS or self._restarts > _MAX_RESTARTS:
            return
        batch: list[UpcomingProgram] = []
        frames: list[bytes] = []
        for upcoming in programs:
            source = upcoming.program.code.encode(errors="surrogatepass")
            if len(source) <= _MAX_BYTES // len(programs):
                batch.append(upcoming)
                frames.append(wire.framed(wire.COMPILED, source))
        worker = self._started() if batch else None
        if worker is None:
            return
        request = wire.RunRequest(wire.COMPILE, memory=worker.overhead_bytes + _MEMORY_BYTES)
        worker.send(wire.pack(wire.ASKED.pack(*request), b"".join(frames)))
        if not self._pending:
            self._deadline = time.monotonic() + _TIMEOUT_SECONDS
        self._pending.append(batch)

    def _started(self) -> Worker | None:
        if self._worker is None:
            try:
                self._worker = self._start()
            except (BrokenWorkerError, SandboxError):
                self._give_up()
                return None
            self._worker.allow(_MEMORY_BYTES)
        return self._worker

    @property
    def is_busy(self) -> bool:
        """Whether programs are being compiled."""
        return bool(self._pending)

    def collect(self) -> None:
        """Store the code of the programs that are compiled by now. A jail that broke or fell silent is given up."""
        try:
            while self._worker and self._pending and (answer := self._worker.pump()):
                codes = [code for _, code in wire.frames(answer[1])]
                for upcoming, code in zip(self._pending.popleft(), codes, strict=True):
                    upcoming.compiled = code
                self._deadline = time.monotonic() + _TIMEOUT_SECONDS
        except (BrokenWorkerError, ValueError):
            self._give_up()
        if self._pending and time.monotonic() > self._deadline:
            self._give_up()

    def _give_up(self) -> None:
        self._restarts += 1
        self.close()

    def close(self) -> None:
        """Stop the jail. May be called more than once."""
        self._pending.clear()
        if self._worker is not None:
            self._worker.close()
            self._worker = None
