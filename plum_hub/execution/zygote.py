"""The first process of a jail: warm, single-threaded, and the parent of every program.

It forks a child for each run, measures it, kills whatever the run leaves behind, and passes on what the child wrote
without interpreting it. It never holds an expected value. It runs no code of any program; of a suite, it compiles only
cases that a child has compiled without harm, so that the following samples find them ready. A zygote that compiles
programs (`precompile.py`) runs none.

Most of a program's cost beyond its own work is page faults: each page that a child, or after a fork this process,
writes to is copied or at least unlocked, and in Python even reading an object writes to it. So the loop touches few
objects, and what a child does has been done here before (`sandbox_child.warm_up`).
"""

import functools
import gc
import importlib
import json
import mmap
import os
import resource
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator

from plum_hub.execution import compiler, frames, internals, sandbox_child, scratch, trusted, values
from plum_hub.execution.visibility import ELSEWHERE, MEMORY_READERS, OTHER_ENVIRONMENT, STACK_BYTES, limit_stack
from plum_hub.execution.wire import (
    ASKED,
    COMPILE,
    COMPILED,
    FRAME,
    MODULE,
    PART,
    SCRIPT,
    STOP,
    TOKEN_BYTES,
    TOLD,
    RunRequest,
    receive,
    send,
)

# What many programs import. Each module makes forks slower, so rarely used ones are left out.
_PRELOADED = [
    "bisect", "collections", "copy", "dataclasses", "datetime", "enum", "functools", "heapq", "itertools", "json",
    "math", "operator", "re", "string", "typing",
]  # fmt: skip
_NOT_LOADED = tuple(pattern.removesuffix("*") for pattern in MEMORY_READERS)
"""Prefixes of builtin modules that are not preloaded; some interpreters are built with these among them."""
_FILES = 256
_FIXED_LIMITS = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NPROC: 64,
    resource.RLIMIT_NOFILE: _FILES,
    resource.RLIMIT_FSIZE: 64 << 20,
}
_PROCESSES_OF_ALL = 1 << 22
_KEPT_BYTES = 1 << 20  # a buffer that was filled further is replaced
_COMPILED_BYTES = 4 << 20  # larger cases are compiled in every child
_TAIL = 2000  # bytes of output that are kept
_SHORTEST_WAIT, _OUTPUT_WAIT, _WATCHED_WAIT = 0.01, 0.05, 0.02  # seconds
_CORES, _CORES_SHOWN = os.cpu_count() or 1, 2
"""Cores of the machine, and what programs are told of them everywhere: with one process for each of many, as
`multiprocessing.Pool()` starts, a right program would exceed the limit of processes.
"""
_ELSEWHERE = ELSEWHERE in os.environ
_OTHER_FOLDER = "elsewhere"
_DEEPER = 200  # calls more than usual, elsewhere
_STATE = slice(0, sandbox_child.RESULTS)  # part of the buffer: whether the child has entered, or why not
_ENTERED = b"entered".ljust(_STATE.stop - _STATE.start, b"\0")


def main(control: int, packages: str = "", children: int | None = None) -> None:
    """Prepare, and serve the judge over one socket until it is gone.

    Args:
        control: The socket's file descriptor.
        packages: Folder whose numpy and pandas programs may use; empty for none.
        children: Without a pid namespace, the descriptor of this process's /proc/PID/task/PID/children; its working
            folder is then the scratch folder.
    """
    try:
        prepare(packages, children)
    except BaseException as error:  # whatever it is, the judge tells it
        send(control, {"failed": "its interpreter", "reason": f"{type(error).__name__}: {error}"})
        raise
    inherited, control = control, os.dup(control)  # moved to a descriptor that `_enter` closes
    os.close(inherited)
    send(control, {"ready": True})
    serve(control, control, children)


def serve(requests: int, answers: int, children: int | None = None) -> None:
    """Serve the judge until it is gone.

    Args:
        requests: File descriptor that requests come from.
        answers: File descriptor that answers go to; may be the same. Both are below 256.
        children: As for `main`.
    """
    jail = _Jail(requests, answers, children)
    while True:
        try:
            jail.serve()
        except (EOFError, ConnectionError):
            return
        except OSError as error:
            send(answers, {"fault": f"{type(error).__name__}: {error}"})
            return


def prepare(packages: str = "", children: int | None = None) -> None:
    """Import what programs are likely to use, hide what they must not reach, and make forks cheap.

    Args:
        packages: As for `main`.
        children: As for `main`.

    Raises:
        SystemExit: This process is neither the first of a pid namespace nor supervised; or it could reach files that
            are not the sandbox's, which it would empty and whose owners' processes it would kill.
    """
    if children is None and (os.getpid() != 1 or not os.statvfs("/").f_flag & os.ST_RDONLY):
        raise SystemExit(
            "a zygote runs as the first process of its own pid namespace, on a read-only root, or with a supervisor"
        )
    for name in (*sys.builtin_module_names, *_PRELOADED):
        if name != "__main__" and not name.startswith(_NOT_LOADED):
            importlib.import_module(name)
    if packages:
        sys.path.append(packages)
        values.know_numpy()
        if os.path.isdir(f"{packages}/pandas"):  # noqa: PTH112  pathlib makes forks slower
            frames.preload()
            values.know_pandas()
            trusted.named("pandas")
    _set_surroundings()
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    limits = dict(_FIXED_LIMITS)
    if children is not None:  # it counts the user's on the whole machine; a supervisor counts the sandbox's
        limits[resource.RLIMIT_NPROC] = _PROCESSES_OF_ALL
    for limit, value in limits.items():
        most = resource.getrlimit(limit)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (value, value))
    limit_stack(STACK_BYTES)
    internals.hide_internals(packages)
    sandbox_child.warm_up()
    gc.collect()
    gc.freeze()


def _set_surroundings() -> None:
    """Set environment, number of cores, time zone, recursion limit and the state of `random` for all children."""
    os.environ.clear()
    for name in ("cpu_count", "process_cpu_count"):
        if hasattr(os, name):
            vars(os)[name] = functools.partial(int, _CORES_SHOWN)
    if _ELSEWHERE:
        os.environ.update(OTHER_ENVIRONMENT)
        time.tzset()
        sys.setrecursionlimit(sys.getrecursionlimit() + _DEEPER)
    _seed_for_all(int(_ELSEWHERE))


def _seed_for_all(seed: int) -> None:
    """Seed `random` once for all children, so that a program that uses it gets the same verdict again."""
    register = os.register_at_fork
    vars(os)["register_at_fork"] = lambda **_hooks: None
    importlib.import_module("random").seed(seed)
    vars(os)["register_at_fork"] = register


class _Jail:
    """State that lasts from run to run: the buffer for results, and the cases received last."""

    def __init__(self, requests: int, answers: int, children: int | None) -> None:
        self._requests, self._answers, self._children = requests, answers, children
        self.buffer = mmap.mmap(-1, sandbox_child.RESULT_BYTES)
        self._number, self._next = 0, deque[tuple[bytes, bytes]]()
        self._whole = self._shown = 0
        self.tokens = b""
        self.cases: sandbox_child.Sources | sandbox_child.CompiledCases = ()
        self._compiles = self._small = False
        self._nothing = os.open("/dev/null", os.O_RDWR)
        folders = scratch.FOLDERS if children is None else (os.getcwd(),)  # noqa: PTH109
        self._scratch = {os.stat(folder).st_dev: (folder, scratch.room(folder)) for folder in folders}  # noqa: PTH116
        self._folder = folders[0]

    def serve(self) -> None:
        """Receive the next request, carry it out and answer.

        Raises:
            EOFError, ConnectionError: The judge is gone.
            OSError: The run could not be carried out.
        """
        header, body = self._next.popleft() if self._next else receive(self._requests)
        if header == STOP:  # the run that was meant has already ended
            return
        self._number += 1
        request = RunRequest(*ASKED.unpack(header))
        if request.kind == COMPILE:
            resource.setrlimit(resource.RLIMIT_AS, (request.memory, request.memory))
            send(self._answers, COMPILE, compiler.answer(body))
        else:
            self._run(request, body)

    def _run(self, request: RunRequest, body: bytes) -> None:
        """Carry out one run and report how it ended."""
        entry, stdin = request.code + request.cases, request.code + request.cases + request.entry_point
        if request.kind == MODULE:
            self._take_cases(body[request.code : entry])
        files = scratch.script_files(body[stdin:], self._folder) if request.kind == SCRIPT else ()
        self.tokens = os.urandom(TOKEN_BYTES * request.statements)
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os.close(writer)
        seconds = 2 * int(request.cpu) + 3  # counted in ticks: on a busy machine 20 % too many
        limits = ((resource.RLIMIT_CPU, (seconds, seconds)), (resource.RLIMIT_AS, (request.memory, request.memory)))
        poller = select.poll()
        poller.register(reader, select.POLLIN)
        poller.register(self._requests, 0)  # only reports that the judge is gone
        started = time.monotonic()
        pid = os.fork()  # from here to the wait, touch as few objects as possible
        if pid == 0:
            try:
                self._enter(limits, files)
                sandbox_child.extend_timers(request.grace)
                text = body[: request.code]
                program = text if request.compiled else text.decode(errors="surrogatepass")
                work = [self._pipeline(request.kind, program, body[entry:stdin])]
                vars(self).clear()  # a program's frames lead to this object, so it must hold nothing
                sandbox_child.run(work)
            finally:
                os._exit(1)
        stopped, tail = self._watch(poller, pid, started, request, files)
        _, status, usage = os.wait4(pid, 0)
        cpu = usage.ru_utime + usage.ru_stime + self._end_what_is_left()
        os.dup2(self._nothing, 1)
        os.dup2(self._nothing, 2)
        tail = _drain(reader, tail)
        output = scratch.printed(files, request.output)
        if stopped == b"-":
            stopped = b"c" if cpu > request.cpu else b"o" if len(output) > request.output else b"-"
        results = self._results()
        clean = self._clean()
        code, wall = os.waitstatus_to_exitcode(status), time.monotonic() - started
        report = TOLD.pack(
            stopped, code, clean, cpu, wall, usage.ru_maxrss, len(self.tokens), len(results), len(output)
        )
        send(self._answers, report, self.tokens + results + output + tail)

    def _end_what_is_left(self) -> float:
        return _kill_everything_else() if self._children is None else _end_children(self._children)

    def _clean(self) -> bool:
        if self._children is not None:
            return scratch.emptied(self._folder)
        return min(scratch.cleaned(folder, room) for folder, room in self._scratch.values())

    def _pipeline(self, kind: bytes, code: str | bytes, entry_point: bytes) -> Iterator[object]:
        if kind == MODULE:
            parts = sandbox_child.module_parts(code, entry_point.decode() or None, self.cases, self.tokens)
        elif kind == SCRIPT:
            parts = sandbox_child.script_parts(code)
        else:
            from plum_hub.execution import probe

            parts = [probe.steps(code)]
        return sandbox_child.pipeline(self.buffer, parts)

    def _enter(self, limits: Iterable[tuple[int, tuple[int, int]]], files: tuple[int, ...]) -> None:
        """Make this child a program's process.

        Errors are reported where no program can write: until the child has entered, its end says nothing about the
        program.
        """
        try:
            if files:
                os.dup2(files[0], 0)
                os.dup2(files[1], 1)
            os.closerange(3, _FILES)
            for limit, value in limits:
                resource.setrlimit(limit, value)
            if _ELSEWHERE:
                os.mkdir(_OTHER_FOLDER)  # noqa: PTH102
                os.chdir(_OTHER_FOLDER)
        except (ArithmeticError, ValueError, OSError) as error:
            text = f"{type(error).__name__}: {error}".encode()
            self.buffer[_STATE] = text[: len(_ENTERED)].ljust(len(_ENTERED), b"\0")
            raise
        self.buffer[_STATE] = _ENTERED
        self.buffer.madvise(mmap.MADV_DONTFORK)  # a program's children can write no results

    def _watch(
        self, poller: select.poll, pid: int, started: float, request: RunRequest, files: tuple[int, ...]
    ) -> tuple[bytes, bytes]:
        """Wait until the child ends, or kill it once it exceeds a limit.

        Returns the limit, and the end of what was printed.

        Raises:
            EOFError: The judge is gone.
        """
        end = os.pidfd_open(pid)
        poller.register(end, select.POLLIN)
        longest = _OUTPUT_WAIT if files else _WATCHED_WAIT if request.watched else request.wall
        self._whole = self._shown = sandbox_child.RESULTS
        left, tail, stopped = min(request.cpu, request.wall), b"", b"-"
        while stopped == b"-":
            # Threads use CPU time no faster than wall time on each core, so no limit can be exceeded before this.
            ready = [number for number, _ in poller.poll(1000 * min(max(left / _CORES, _SHORTEST_WAIT), longest))]
            if end in ready:
                break
            if self._requests in ready:
                stopped = b"d" if self._is_told_to_stop() else b"-"
            elif ready:
                tail = (tail + os.read(ready[0], 1 << 16))[-_TAIL:]
            elif request.watched:
                self._show(poller)
            # The clock id of that process's CPU time: see clock_getcpuclockid(3).
            cpu_left = request.cpu - time.clock_gettime((~pid << 3) | 2)
            wall_left = request.wall - (time.monotonic() - started)
            left = min(cpu_left, wall_left)
            if left <= 0 and stopped == b"-":
                stopped = b"c" if cpu_left <= 0 else b"w"
            elif files and os.fstat(files[1]).st_size > request.output:
                stopped = b"o"
        os.close(end)
        if stopped != b"-":
            os.kill(pid, signal.SIGKILL)
        return stopped, tail

    def _show(self, poller: select.poll) -> None:
        """Send the results that were complete at the last call: the child may still be writing the newest frame."""
        if self._whole > self._shown:
            poller.modify(self._requests, select.POLLIN)  # from now on the judge may answer
            send(self._answers, PART, self.buffer[self._shown : self._whole])
            self._shown = self._whole
        self._whole, _ = self._find_end(self._whole)

    def _is_told_to_stop(self) -> bool:
        """Read a message that arrived during a run: stop this run, or the next request."""
        header, body = receive(self._requests)
        if header == STOP:
            return int.from_bytes(body, "little") == self._number
        self._next.append((header, body))
        return False

    def _take_cases(self, text: bytes) -> None:
        """Keep new cases for the following programs; compile them here once a child has compiled them without harm.

        Plain calls need no compiler.
        """
        if text:
            received = json.loads(text, object_hook=_tuple)
            self.cases = tuple((kind, sandbox_child.PlainCall(*rest) if kind == "plain" else rest[0])
                               for kind, *rest in received)  # fmt: skip
            self._compiles, self._small = False, len(text) <= _COMPILED_BYTES
            if all(kind == "plain" for kind, _ in self.cases):
                self.cases = sandbox_child.compiled(self.cases)
        elif self._compiles and self._small and not isinstance(self.cases, sandbox_child.CompiledCases):
            self.cases = sandbox_child.compiled(self.cases)
        else:
            return
        gc.freeze()

    def _results(self) -> bytes:
        """Return what the run wrote, and clear the buffer.

        Raises:
            ChildProcessError: The child ended before it became the program's process.
        """
        state, buffer = self.buffer[_STATE], self.buffer
        if state != _ENTERED:
            why = state.rstrip(b"\0").decode(errors="replace") or "its process ended first"
            mend = "raise those of this shell (ulimit -H -v, -t), or lower the program's"
            raise ChildProcessError(f"its limits (cpu_seconds, memory_mb) cannot be set: {why}: {mend}")
        _, end = self._find_end(sandbox_child.RESULTS)
        results = buffer[sandbox_child.RESULTS : end]
        self._compiles |= results[:1] == COMPILED
        if end > _KEPT_BYTES:
            buffer.close()
            self.buffer = mmap.mmap(-1, sandbox_child.RESULT_BYTES)
        else:
            buffer[: end + FRAME.size] = bytes(end + FRAME.size)
        return results

    def _find_end(self, place: int) -> tuple[int, int]:
        """Return where the last complete frame from `place` on starts, and where it ends."""
        last, unpack, buffer = place, FRAME.unpack_from, self.buffer
        while place + FRAME.size <= sandbox_child.RESULT_BYTES:
            kind, length = unpack(buffer, place)
            if kind == b"\0" or place + FRAME.size + length > sandbox_child.RESULT_BYTES:
                break
            last, place = place, place + FRAME.size + length
        return last, place


def _tuple(found: dict[str, list[object]]) -> tuple[object, ...]:
    """Return the tuple that stands for an argument of a plain call (`cases.Cases.text`)."""
    return tuple(found[""])


def _kill_everything_else() -> float:
    """Kill every other process of this jail; return the CPU seconds that they used."""
    if os.getpid() != 1:
        raise SystemExit("a zygote kills inside its own pid namespace only")
    seconds = 0.0
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return seconds  # not even a zombie
        try:
            _, _, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return seconds
        seconds += usage.ru_utime + usage.ru_stime


def _end_children(children: int) -> float:
    """Kill every descendant; return the CPU seconds that they used.

    Orphans become children of this process, and only this process can reap its children, so no pid is reused meanwhile.
    """
    seconds = 0.0
    while True:
        try:
            ended, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return seconds
        if ended:
            seconds += usage.ru_utime + usage.ru_stime
            continue
        for child_number in os.pread(children, 1 << 16, 0).split():
            os.kill(int(child_number), signal.SIGKILL)


def _drain(reader: int, tail: bytes) -> bytes:
    """Read the end of what was printed. Every process that could print is dead, so this ends."""
    while text := os.read(reader, 1 << 16):
        tail = (tail + text)[-_TAIL:]
    os.close(reader)
    return tail
