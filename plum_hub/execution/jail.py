"""The sandbox that shuts programs into namespaces: a warm zygote for each core, one forked child for each program."""

import os
import select
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from plum_hub.errors import SandboxError
from plum_hub.execution.base import Execution, Program
from plum_hub.execution.tally import execution, request
from plum_hub.execution.worker import BrokenWorkerError, Worker

_HARNESS = "1"
"""Raised by hand whenever a verdict could change."""

_UNSURE = ("timed_out", "out_of_memory")
_GRACE_SECONDS = 30.0
_ATTEMPTS = 2


@dataclass(eq=False)
class _Task:
    program: Program
    attempts: int = 0
    deadline: float = 0.0
    alone: bool = False


class JailSandbox:
    """Runs programs in as many jails as there are workers, started when first needed.

    A program that is over a limit is run once more while nothing else runs here, and only that run counts. Programs
    are taken from their iterable as workers become free, so memory is bounded by the workers and not by the programs.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._size = workers or len(os.sched_getaffinity(0))
        self._idle: list[Worker] = []
        self._busy: dict[Worker, _Task] = {}
        self._again: deque[_Task] = deque()
        self._unsure: deque[_Task] = deque()
        self._running = False

    @property
    def harness_version(self) -> str:
        """See `Sandbox`."""
        version = ".".join(str(part) for part in sys.version_info[:3])
        return f"jail-{_HARNESS}-{sys.implementation.name}-{version}"

    def run(self, programs: Iterable[Program]) -> Iterator[Execution]:
        """See `Sandbox`. A `ValueError` says that an expected value is not a literal (`literals.parse_literal`)."""
        if self._running:
            raise SandboxError("this judge is already running programs: finish that `run`, or open another judge")
        self._running = True
        try:
            yield from self._run(iter(programs))
        finally:
            self._running = False
            self._again.clear()
            self._unsure.clear()
            for worker in list(self._busy):
                self._discard(worker)

    def _run(self, source: Iterator[Program]) -> Iterator[Execution]:
        exhausted = False
        while True:
            alone = bool(self._unsure) and (exhausted or len(self._unsure) >= 8 * self._size)
            while len(self._busy) < (1 if alone or any(task.alone for task in self._busy.values()) else self._size):
                task = self._next(source, alone=alone)
                if task is None:
                    exhausted = exhausted or not alone
                    break
                self._begin(task)
            if not self._busy:
                if exhausted and not self._unsure and not self._again:
                    return
                continue
            yield from self._wait()

    def _next(self, source: Iterator[Program], *, alone: bool) -> _Task | None:
        if self._again:
            return self._again.popleft()
        if alone:
            task = self._unsure.popleft()
            task.alone = True
            return task
        program = next(source, None)
        return None if program is None else _Task(program)

    def _begin(self, task: _Task) -> None:
        task.attempts += 1
        try:
            worker = self._idle.pop() if self._idle else Worker()
        except BrokenWorkerError as error:
            self._give_back(task, error)
            return
        worker.send(request(task.program, worker.overhead_bytes))
        task.deadline = time.monotonic() + task.program.limits.wall_seconds + _GRACE_SECONDS
        self._busy[worker] = task

    def _give_back(self, task: _Task, error: BrokenWorkerError) -> None:
        if task.attempts >= _ATTEMPTS:
            raise SandboxError(
                f"the jail broke twice while it ran program {task.program.id!r} ({error}); "
                "run the same command again, and `plum-hub doctor` if it stays so"
            ) from error
        self._again.append(task)

    def _wait(self) -> Iterator[Execution]:
        """Wait until a worker can go on, and yield what is then known."""
        poller = select.poll()
        workers = {worker.socket.fileno(): worker for worker in self._busy}
        for number, worker in workers.items():
            poller.register(number, select.POLLIN | (select.POLLOUT if worker.has_unsent else 0))
        soonest = min(task.deadline for task in self._busy.values())
        events = poller.poll(1000 * max(0.0, soonest - time.monotonic()))
        for number, _ in events:
            done = self._advance(workers[number])
            if done is not None:
                yield done
        for worker, task in list(self._busy.items()):
            if time.monotonic() > task.deadline:
                self._discard(worker)
                self._give_back(task, BrokenWorkerError("it fell silent"))

    def _advance(self, worker: Worker) -> Execution | None:
        task = self._busy[worker]
        try:
            answer = worker.pump()
        except BrokenWorkerError as error:
            self._discard(worker)
            self._give_back(task, error)
            return None
        if answer is None:  # something moved, so it is not silent
            task.deadline = max(task.deadline, time.monotonic() + _GRACE_SECONDS)
            return None
        header, body = answer
        if header["clean"]:
            del self._busy[worker]
            self._idle.append(worker)
        else:
            self._discard(worker)
        done = execution(task.program, header, body)
        if done.status in _UNSURE and not task.alone:
            self._unsure.append(_Task(task.program))
            return None
        return done

    def _discard(self, worker: Worker) -> None:
        del self._busy[worker]
        worker.close()

    def close(self) -> None:
        """See `Sandbox`."""
        for worker in [*self._idle, *self._busy]:
            worker.close()
        self._idle.clear()
        self._busy.clear()
