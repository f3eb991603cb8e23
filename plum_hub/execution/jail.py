"""The sandbox that isolates programs with namespaces: a warm zygote for each core, a forked child for each program.

A worker prefers programs of the suite that it ran last, within the next few programs: its jail holds that suite's cases
compiled. A program that exceeded a limit is run again on a processor core of its own, beside nothing but other such
programs on other cores: its CPU time is then its own, whatever the number of cores.
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
from plum_hub.execution.precompile import Precompiler, UpcomingProgram
from plum_hub.execution.trial import ProgramTrial
from plum_hub.execution.worker import BrokenWorkerError, Enclosure, Jail, Worker
from plum_hub.threads import cpu_count

_HARNESS = "11"
"""Increased by hand whenever a verdict could change."""

_INCONCLUSIVE, _KILLED = ("timed_out", "out_of_memory"), ("crashed", "not_executable")
"""What counts only if it happens again to a program that runs alone. The latter only where a program was killed: by
itself, or by the machine because others took the memory.
"""
_FIRST_SHARE = 0.25
"""Fraction of the time limits for the first run, beside others. A program that needs more is run again alone, and only
that run counts. Most programs need far less, and an endless one is recognised soon.
"""
_LOOKAHEAD = 16
"""Programs per worker that are read ahead, so that a worker can find programs of its suite among them."""
_QUICK_SECONDS = 0.001
"""If the iterable takes longer than this to give a program, nothing more is read ahead for now."""
_GRACE_SECONDS = 30.0
_ATTEMPTS = 2


_GRACE = 1.5
"""Factor on the time limits of a program that runs alone after sharing its core with processes of others: the same work
takes more CPU time on a busy machine, and a program within its limits on a quiet one must be within them here.
"""


@dataclass(eq=False)
class _Task:
    """A program to run. `alone`: on a core of its own; `grace`: factor on its time limits."""

    program: Program
    compiled: bytes = b""
    alone: bool = False
    attempts: int = 0
    grace: float = 1.0


class _Lookahead:
    """The next programs, a few at a time."""

    def __init__(self, source: Iterator[Program], most: int, precompiler: Precompiler) -> None:
        self._source, self._most, self._precompiler = source, most, precompiler
        self._programs: deque[UpcomingProgram] = deque()
        self._ended = False

    @property
    def exhausted(self) -> bool:
        """Whether no program is left, as far as is known."""
        return self._ended and not self._programs

    def take(self, preferred: str, busy: Container[str]) -> UpcomingProgram | None:
        """Take one of the next programs.

        Prefers one with the `preferred` cases, then one whose cases no worker is `busy` with, then the first.
        """
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
        """Read what is available without waiting, but at least one."""
        seen = len(self._programs)
        while not self._ended and len(self._programs) < self._most:
            started = time.monotonic()
            program = next(self._source, None)
            if program is None:
                self._ended = True
            else:
                self._programs.append(UpcomingProgram(program, cases_of(program).name))
            if time.monotonic() - started > _QUICK_SECONDS:
                break
        self._precompiler.submit([*self._programs][seen:])


@dataclass(eq=False)
class _WorkerSlot:
    """A worker with its running task and at most one queued task, so that it never waits for us."""

    worker: Worker
    trials: deque[tuple[_Task, ProgramTrial]] = field(default_factory=deque)
    deadline: float = 0.0

    @property
    def takes_more(self) -> bool:
        """Whether a second task can be queued: the first one's next answer is its last."""
        return len(self.trials) == 1 and self.trials[0][1].is_last_run and not self.trials[0][0].alone

    def send(self, task: _Task) -> None:
        """Send a task's first run after what is queued."""
        share = task.grace if task.alone else _FIRST_SHARE
        trial = ProgramTrial(task.program, self.worker.overhead_bytes, time_share=share, compiled=task.compiled)
        self.worker.send(trial.request(self.worker.cached_cases))
        self.worker.cached_cases = trial.cases.name
        self.trials.append((task, trial))
        if len(self.trials) == 1:
            self.start_clock()

    def send_next_run(self) -> None:
        """Send the next run of the first task."""
        self.worker.send(self.trials[0][1].request(self.worker.cached_cases))
        self._extend_deadline()

    def start_clock(self) -> None:
        """Start the deadline of the first task, and set its memory limit."""
        task, _ = self.trials[0]
        task.attempts += 1
        self.worker.allow(task.program.limits.memory_mb << 20)
        self._extend_deadline()

    def _extend_deadline(self) -> None:
        task, _ = self.trials[0]
        self.deadline = time.monotonic() + task.grace * task.program.limits.wall_seconds + _GRACE_SECONDS


class _Packages(NamedTuple):
    """Paths of the packages that programs may use, and the suffix for the harness version."""

    paths: tuple[str, ...] = ()
    version: str = ""


def _find_packages(*, numpy: bool, pandas: bool) -> _Packages:
    """Find numpy, or numpy and pandas with what it imports.

    Raises:
        MissingExtraError: One is not installed.
    """
    found = _Packages()
    for name, wanted, parts in (
        ("numpy", numpy or pandas, ("numpy",)),
        ("pandas", pandas, ("pandas", "dateutil", "six", "pytz", "tzdata")),
    ):
        if not wanted:
            continue
        if not _paths(name):
            raise MissingExtraError(f"judging programs that use {name}", "train")
        version = f"{found.version}-{name}-{importlib.metadata.version(name)}"
        found = _Packages((*found.paths, *(path for part in parts for path in _paths(part))), version)
    return found


def _paths(name: str) -> list[str]:
    """Return where a package is, or a module, and the libraries beside it; nothing if it is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return []
    file = Path(spec.origin).resolve()
    if file.name != "__init__.py":
        return [str(file)]
    return [str(path) for path in (file.parent, file.parents[1] / f"{name}.libs") if path.exists()]


def _physical(cores: Set[int]) -> frozenset[int]:
    """Return one logical core of each physical core: two that share one slow each other down."""
    first: dict[str, int] = {}
    for core in sorted(cores):
        siblings = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        first.setdefault(siblings.read_text() if siblings.exists() else "unknown", core)
    return frozenset(first.values())


class JailSandbox:
    """Runs programs in one jail for each worker, started on demand.

    A program that exceeds its memory limit, or a quarter of its time limits, is run once more, alone on a processor
    core, and only that run counts. Programs are read as workers become free, and a few ahead, so memory is bounded by
    the number of workers and not of programs.

    Args:
        workers: Number of jails; None for one for each core that affinity and quota leave this process.
        enclose: Starts an enclosure from the zygote's end of a socket and the core to stay on; None for a jail.
        numpy: Whether programs may use numpy.
        pandas: Whether programs may use pandas, and numpy with it.
        elsewhere: Whether programs get other surroundings (`Program.elsewhere`).
    """

    enclosure: type[Jail] = Jail

    def __init__(
        self,
        workers: int | None = None,
        enclose: Callable[[socket.socket, int | None], Enclosure] | None = None,
        *,
        numpy: bool = False,
        pandas: bool = False,
        elsewhere: bool = False,
    ) -> None:
        self._packages = _find_packages(numpy=numpy, pandas=pandas)
        self._cores = os.sched_getaffinity(0)
        self._size = workers or cpu_count()
        self._enclose = enclose or functools.partial(
            self.enclosure, packages=self._packages.paths, workers=self._size, elsewhere=elsewhere
        )
        self._exclusive_cores: frozenset[int | None] = frozenset({None})
        if self._size == len(self._cores):
            self._exclusive_cores = _physical(self._cores)
        self._precompiler = Precompiler(lambda: Worker(self._enclose))
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
        return f"{self.enclosure.name}-{_HARNESS}-{sys.implementation.name}-{version}{self._packages.version}"

    def run(self, programs: Iterable[Program]) -> Iterator[Execution]:
        """Run every program once; see `Sandbox`.

        Args:
            programs: Consumed as workers become free.

        Yields:
            What each program did, as each finishes, in any order.

        Raises:
            SandboxError: This machine could not run programs as promised, or this sandbox is already running some.
            ValueError: An expected value is neither a literal nor a closeness.
        """
        if self._running:
            raise SandboxError("this judge is already running programs; finish that `run` first, or open another judge")
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
        ahead = _Lookahead(source, _LOOKAHEAD * self._size, self._precompiler)
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
        """Return whether only programs that run alone are started now; once one is, all of them."""
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
        """Return whether another task can be sent; those that run alone wait for the others to end."""
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
        self._precompiler.collect()
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
        """Return a worker on a processor core that no other worker uses."""
        free = self._exclusive_cores - {slot.worker.core for slot in self._slots}
        for worker in self._idle:
            if worker.core in free:
                self._idle.remove(worker)
                return worker
        return Worker(self._enclose, min((core for core in free if core is not None), default=None))

    def _free_core(self) -> int | None:
        """Return the core that a new jail stays on, if there is a core for each.

        Moving children between cores costs 5 % of a small program's time.
        """
        if self._size != len(self._cores):
            return None
        busy = {worker.core for worker in [*self._idle, *(slot.worker for slot in self._slots)]}
        return min(self._cores - busy, default=None)

    def _requeue(self, task: _Task, error: BrokenWorkerError) -> None:
        """Queue a task again after its worker broke; fail after the second time."""
        if task.attempts >= _ATTEMPTS:
            raise SandboxError(
                f"the sandbox broke twice while running program {task.program.id!r} ({error}); "
                "run the command again; if it fails again, run `plum-hub doctor`"
            ) from error
        (self._inconclusive if task.alone else self._retries).append(task)

    def _wait(self) -> Iterator[Execution]:
        """Wait until a worker can continue, and yield what has finished."""
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
            if time.monotonic() > slot.deadline and not slot.worker.is_ready:  # the caller may have paused meanwhile
                self._break(slot, BrokenWorkerError("it stopped answering"))

    def _advance(self, slot: _WorkerSlot) -> Execution | None:
        """Send and receive for one worker; return the execution of a program that has finished."""
        task, trial = slot.trials[0]
        try:
            answer = slot.worker.pump()
        except BrokenWorkerError as error:
            self._break(slot, error)
            return None
        if answer is not None and answer[0] == wire.PART and trial.observe(answer[1]):
            slot.worker.stop()
        if answer is None or answer[0] == wire.PART:  # there was progress, so the worker is alive
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
        inconclusive = execution.status in _INCONCLUSIVE or (trial.killed and execution.status in _KILLED)
        if inconclusive and not task.alone:
            grace = _GRACE if trial.contended else 1.0
            self._inconclusive.append(_Task(task.program, task.compiled, alone=True, grace=grace))
            return None
        return execution

    def _break(self, slot: _WorkerSlot, error: BrokenWorkerError) -> None:
        """Replace a broken worker. Its running task has used an attempt, its queued one has not."""
        task, _ = slot.trials.popleft()
        self._discard(slot)
        self._requeue(task, error)

    def _discard(self, slot: _WorkerSlot) -> None:
        """Close a worker and requeue its tasks."""
        self._slots.remove(slot)
        self._retries.extend(task for task, _ in slot.trials)
        slot.worker.close()

    def close(self) -> None:
        """See `Sandbox`."""
        self._precompiler.close()
        for worker in [*self._idle, *(slot.worker for slot in self._slots)]:
            worker.close()
        self._idle.clear()
        self._slots.clear()
