"""The sandbox that shuts programs into namespaces: a warm zygote for each core, one forked child for each program.

A worker goes on with the suite that it has, as far as the next few programs allow: its jail holds the suite's cases
compiled. A program that was over its limit is run again on a processor core of its own, with nothing else beside it
but other such programs on cores of theirs: CPU time is then the program's alone, whatever the number of cores.
"""

import functools
import importlib.metadata
import importlib.util
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from plum_hub.errors import MissingExtraError, SandboxError
from plum_hub.execution import wire
from plum_hub.execution.base import Execution, Program
from plum_hub.execution.cases import cases_of
from plum_hub.execution.scribe import Next, Scribe
from plum_hub.execution.trial import ProgramTrial
from plum_hub.execution.worker import BrokenWorkerError, Enclosure, Jail, Worker

_HARNESS = "6"
"""Raised by hand whenever a verdict could change."""

_INCONCLUSIVE = ("timed_out", "out_of_memory")
_FIRST_SHARE = 0.25
"""Of the time limits, for the run that others run beside: a program that needs more is run alone, and only that counts.
Most need far less, and of one that never ends enough is seen."""
_LOOKAHEAD = 16
"""Programs for each worker that are taken from their iterable before their turn, for a worker to find its suite among
them."""
_QUICK_SECONDS = 0.001
"""An iterable that takes longer to give a program is not asked before its turn."""
_GRACE_SECONDS = 30.0
_ATTEMPTS = 2


_GRACE = 1.5
"""Of the time limits, for a program that runs alone after it had to share its core with processes that are not ours: a
program within its limits on a quiet machine is within them on a busy one, where the same work takes more CPU time."""


@dataclass(eq=False)
class _Task:
    program: Program
    compiled: bytes = b""
    alone: bool = False
    attempts: int = 0
    grace: float = 1.0


class _Lookahead:
    """The next programs, a few at a time."""

    def __init__(self, source: Iterator[Program], most: int, scribe: Scribe) -> None:
        self._source, self._most, self._scribe = source, most, scribe
        self._programs: deque[Next] = deque()
        self._ended = False

    @property
    def exhausted(self) -> bool:
        """Whether there are no more, as far as it was asked."""
        return self._ended and not self._programs

    def take(self, preferred: str, busy: Container[str]) -> Next | None:
        """One of the next programs: one with the `wanted` cases if there is any, else one whose cases are not `taken`,
        else the first."""
        if len(self._programs) <= self._most // 2:
            self._fill()
        if not self._programs:
            return None
        names = [program.cases for program in self._programs]
        free = (number for number, name in enumerate(names) if name not in busy)
        number = names.index(preferred) if preferred in names else next(free, 0)
        found = self._programs[number]
        del self._programs[number]
        return found

    def _fill(self) -> None:
        """Take what there is, but wait for one at most."""
        seen = len(self._programs)
        while not self._ended and len(self._programs) < self._most:
            started = time.monotonic()
            program = next(self._source, None)
            if program is None:
                self._ended = True
            else:
                self._programs.append(Next(program, cases_of(program).name))
            if time.monotonic() - started > _QUICK_SECONDS:
                break
        self._scribe.ask([*self._programs][seen:])


@dataclass(eq=False)
class _WorkerSlot:
    """A worker, the task that it is at, and the one that waits there, so that it never waits for us."""

    worker: Worker
    trials: deque[tuple[_Task, ProgramTrial]] = field(default_factory=deque)
    deadline: float = 0.0

    @property
    def takes_more(self) -> bool:
        """Whether another task can be sent while the first runs: its answers come next then."""
        return len(self.trials) == 1 and self.trials[0][1].is_last_run and not self.trials[0][0].alone

    def send(self, task: _Task) -> None:
        """Send a task's first run behind what is there."""
        share = task.grace if task.alone else _FIRST_SHARE
        trial = ProgramTrial(task.program, self.worker.overhead_bytes, time_share=share, compiled=task.compiled)
        self.worker.send(trial.request(self.worker.cached_cases))
        self.worker.cached_cases = trial.cases.name
        self.trials.append((task, trial))
        if len(self.trials) == 1:
            self.start_clock()

    def send_next_run(self) -> None:
        """Send the first task's next run."""
        trial = self.trials[0][1]
        self.worker.send(trial.request(self.worker.cached_cases))

    def start_clock(self) -> None:
        """The first task starts now."""
        task, _ = self.trials[0]
        task.attempts += 1
        self.worker.allow(task.program.limits.memory_mb << 20)
        self.deadline = time.monotonic() + task.grace * task.program.limits.wall_seconds + _GRACE_SECONDS


class _Numpy(NamedTuple):
    """The folder that it is installed in, and what it adds to the harness's version."""

    folder: Path
    version: str


def _find_numpy() -> _Numpy:
    spec = importlib.util.find_spec("numpy")
    if spec is None or spec.origin is None:
        raise MissingExtraError("a judge whose programs use numpy", "train")
    return _Numpy(Path(spec.origin).resolve().parents[1], f"-numpy-{importlib.metadata.version('numpy')}")


def _physical(cores: Set[int]) -> frozenset[int]:
    """One of the logical cores on each physical one: two that share it slow each other down."""
    first: dict[str, int] = {}
    for core in sorted(cores):
        siblings = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        first.setdefault(siblings.read_text() if siblings.exists() else "unknown", core)
    return frozenset(first.values())


class JailSandbox:
    """Runs programs in as many jails as there are workers, started when first needed.

    A program that is over its memory limit, or takes more than a quarter of its time limits, is run once more, alone on
    a processor core, and only that run counts. Programs are taken from their iterable as workers become free, and a few
    ahead, so memory is bounded by the workers and not by the programs.
    """

    enclosure: type[Jail] = Jail

    def __init__(
        self,
        workers: int | None = None,
        enclose: Callable[[socket.socket, int | None], Enclosure] | None = None,
        *,
        numpy: bool = False,
    ) -> None:
        self._numpy = _find_numpy() if numpy else None
        packages = str(self._numpy.folder) if self._numpy else ""
        self._enclose = enclose or functools.partial(self.enclosure, packages=packages)
        self._cores = os.sched_getaffinity(0)
        self._size = workers or len(self._cores)
        self._exclusive_cores: frozenset[int | None] = frozenset({None})
        if self._size == len(self._cores):
            self._exclusive_cores = _physical(self._cores)
        self._scribe = Scribe(lambda: Worker(self._enclose))
        self._idle: list[Worker] = []
        self._slots: list[_WorkerSlot] = []
        self._retries: deque[_Task] = deque()
        self._inconclusive: deque[_Task] = deque()
        self._running = False
        self._poll_events: dict[int, int] = {}
        self._poller = select.poll()

    @property
    def harness_version(self) -> str:
        """See `Sandbox`."""
        version = ".".join(str(part) for part in sys.version_info[:3])
        numpy = self._numpy.version if self._numpy else ""
        return f"{self.enclosure.name}-{_HARNESS}-{sys.implementation.name}-{version}{numpy}"

    def run(self, programs: Iterable[Program]) -> Iterator[Execution]:
        """See `Sandbox`. A `ValueError` says that an expected value is neither a literal nor a closeness."""
        if self._running:
            raise SandboxError("this judge is already running programs: finish that `run`, or open another judge")
        self._running = True
        try:
            yield from self._run(iter(programs))
        finally:
            self._running = False
            for slot in list(self._slots):
                self._discard(slot)
            self._retries.clear()
            self._inconclusive.clear()

    def _run(self, source: Iterator[Program]) -> Iterator[Execution]:
        ahead = _Lookahead(source, _LOOKAHEAD * self._size, self._scribe)
        while True:
            alone = self._is_exclusive_phase(ahead)
            while self._has_room(alone=alone):
                slot = None if alone or len(self._slots) < self._size else self._next_slot()
                task = self._next(ahead, slot, alone=alone)
                if task is None:
                    break
                self._start(task, slot)
            if self._slots:
                yield from self._wait()
            elif ahead.exhausted and not self._inconclusive and not self._retries:
                return

    def _is_exclusive_phase(self, ahead: _Lookahead) -> bool:
        """Whether only programs that run alone are begun now: once begun with, all of them."""
        if self._is_exclusive():
            return True
        return (
            bool(self._inconclusive)
            and not self._retries
            and (ahead.exhausted or len(self._inconclusive) >= 8 * self._size)
        )

    def _is_exclusive(self) -> bool:
        return any(slot.trials[0][0].alone for slot in self._slots)

    def _has_room(self, *, alone: bool) -> bool:
        """Whether another task can be sent somewhere; those that run alone wait until the others have ended."""
        if alone:
            return not self._slots or (self._is_exclusive() and len(self._slots) < len(self._exclusive_cores))
        return len(self._slots) < self._size or any(slot.takes_more for slot in self._slots)

    def _next_slot(self) -> _WorkerSlot:
        return next(slot for slot in self._slots if slot.takes_more)

    def _next(self, ahead: _Lookahead, slot: _WorkerSlot | None, *, alone: bool) -> _Task | None:
        if alone:
            return self._inconclusive.popleft() if self._inconclusive else None
        if self._retries:
            return self._retries.popleft()
        worker = slot.worker if slot else self._idle[-1] if self._idle else None
        self._scribe.take()
        found = ahead.take(worker.cached_cases if worker else "", {busy.worker.cached_cases for busy in self._slots})
        return None if found is None else _Task(found.program, found.compiled)

    def _start(self, task: _Task, slot: _WorkerSlot | None) -> None:
        if slot is None:
            try:
                slot = _WorkerSlot(self._exclusive_worker() if task.alone else self._worker())
            except BrokenWorkerError as error:
                task.attempts += 1
                self._requeue(task, error)
                return
            self._slots.append(slot)
        slot.send(task)

    def _worker(self) -> Worker:
        return self._idle.pop() if self._idle else Worker(self._enclose, self._free_core())

    def _exclusive_worker(self) -> Worker:
        """A worker on a processor core where no other runs anything."""
        free = self._exclusive_cores - {slot.worker.core for slot in self._slots}
        for worker in self._idle:
            if worker.core in free:
                self._idle.remove(worker)
                return worker
        return Worker(self._enclose, min((core for core in free if core is not None), default=None))

    def _free_core(self) -> int | None:
        """The core that a new jail stays on, where there is one for each: moving a child from core to core costs a
        twentieth of a small program."""
        if self._size != len(self._cores):
            return None
        busy = {worker.core for worker in [*self._idle, *(slot.worker for slot in self._slots)]}
        return min(self._cores - busy, default=None)

    def _requeue(self, task: _Task, error: BrokenWorkerError) -> None:
        if task.attempts >= _ATTEMPTS:
            raise SandboxError(
                f"the sandbox broke twice while it ran program {task.program.id!r} ({error}); "
                "run the same command again, and `plum-hub doctor` if it stays so"
            ) from error
        (self._inconclusive if task.alone else self._retries).append(task)

    def _wait(self) -> Iterator[Execution]:
        """Wait until a worker can go on, and yield what is then known."""
        slots = {slot.worker.socket.fileno(): slot for slot in self._slots}
        poll_events = {
            number: select.POLLIN | (select.POLLOUT if slot.worker.has_unsent else 0) for number, slot in slots.items()
        }
        if poll_events != self._poll_events:
            self._poll_events, self._poller = poll_events, select.poll()
            for number, events in poll_events.items():
                self._poller.register(number, events)
        earliest = min(slot.deadline for slot in self._slots)
        waiting = [slot for slot in self._slots if slot.worker.has_answer]
        ready = self._poller.poll(0 if waiting else 1000 * max(0.0, earliest - time.monotonic()))
        for slot in dict.fromkeys([*waiting, *(slots[number] for number, _ in ready)]):
            execution = self._advance(slot)
            if execution is not None:
                yield execution
        for slot in list(self._slots):
            if time.monotonic() > slot.deadline:
                self._break(slot, BrokenWorkerError("it fell silent"))

    def _advance(self, slot: _WorkerSlot) -> Execution | None:
        task, trial = slot.trials[0]
        try:
            answer = slot.worker.pump()
        except BrokenWorkerError as error:
            self._break(slot, error)
            return None
        if answer is not None and answer[0] == wire.PART and trial.observe(answer[1]):
            slot.worker.stop()
        if answer is None or answer[0] == wire.PART:  # something moved, so it is not silent
            slot.deadline = max(slot.deadline, time.monotonic() + _GRACE_SECONDS)
            return None
        finished = trial.take(*answer, slot.worker.has_killed_for_memory)
        if not finished and trial.clean:
            slot.send_next_run()
            return None
        slot.trials.popleft()
        if not trial.clean:
            self._discard(slot)
        elif slot.trials:
            slot.start_clock()
        else:
            self._slots.remove(slot)
            self._idle.append(slot.worker)
        execution = trial.execution()
        if execution.status in _INCONCLUSIVE and not task.alone:
            grace = _GRACE if trial.contended else 1.0
            self._inconclusive.append(_Task(task.program, task.compiled, alone=True, grace=grace))
            return None
        return execution

    def _break(self, slot: _WorkerSlot, error: BrokenWorkerError) -> None:
        """Replace a broken worker: the task that it was at has had an attempt, the one that waited has not."""
        task, _ = slot.trials.popleft()
        self._discard(slot)
        self._requeue(task, error)

    def _discard(self, slot: _WorkerSlot) -> None:
        """Close a worker; what waited there waits for another."""
        self._slots.remove(slot)
        self._retries.extend(task for task, _ in slot.trials)
        slot.worker.close()

    def close(self) -> None:
        """See `Sandbox`."""
        self._scribe.close()
        for worker in [*self._idle, *(slot.worker for slot in self._slots)]:
            worker.close()
        self._idle.clear()
        self._slots.clear()
