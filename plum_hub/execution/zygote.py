"""The first process of a jail: warm, single-threaded, and the parent of every program.

It forks a child for each run, measures it, kills whatever the run leaves behind, and passes on what the child wrote
without understanding it. It never holds an expected value. Nothing that runs here comes from a program.
"""

import _imp
import contextlib
import gc
import importlib
import math
import mmap
import os
import random
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from plum_hub.execution import child
from plum_hub.execution.wire import FRAME, receive, send

# What many programs import. Each module makes every fork dearer, so what few import is left to them.
_PRELOADED = [
    "bisect", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal", "enum", "fractions",
    "functools", "heapq", "itertools", "json", "math", "numbers", "operator", "random", "re", "statistics",
    "string", "textwrap", "typing",
]  # fmt: skip
_FIXED_LIMITS = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NPROC: 64,
    resource.RLIMIT_NOFILE: 256,
    resource.RLIMIT_FSIZE: 64 << 20,
}
_RESULT_BYTES = 32 << 20  # for all results of a run; pages are used as they are written
_SHORTEST_WAIT, _OUTPUT_WAIT = 0.01, 0.05
_SCRATCH = "/tmp"
_ENTERED = b"entered"


def main(control: int) -> None:
    """Serve the judge until it goes."""
    if os.getpid() != 1:
        raise SystemExit("a zygote runs as the first process of its own pid namespace only")
    os.environ.clear()
    _prepare()
    received = bytearray()
    send(control, {"ready": True})
    while True:
        try:
            header, body = receive(control, received)
        except (EOFError, ConnectionError):
            return
        try:
            answer, output = _run_all(control, header, body)
        except OSError as error:
            send(control, {"fault": f"{type(error).__name__}: {error}"})
            return
        send(control, answer, output)


def _prepare() -> None:
    for name in (*sys.builtin_module_names, *_PRELOADED):
        if name != "__main__":
            importlib.import_module(name)
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    for limit, value in _FIXED_LIMITS.items():
        resource.setrlimit(limit, (value, value))
    _hide_internals()
    sys.path.remove("/jail")
    gc.collect()
    gc.freeze()


def _hide_internals() -> None:
    """Take away what would show a program the objects of the machinery below it: tracing could jump over a failed
    statement, the garbage collector would list the tokens, and a builtin module made anew would bring both back."""

    def nothing(*_arguments: object) -> list[object]:
        return []

    def no_trace(_function: object) -> None:
        return None

    def refuse(spec: Any) -> NoReturn:
        raise ImportError(f"{spec.name} is loaded already")

    vars(gc).update(get_objects=nothing, get_referrers=nothing, get_referents=nothing)
    vars(sys).update(settrace=no_trace, setprofile=no_trace)
    vars(_imp).update(create_builtin=refuse)


def _run_all(control: int, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """Do a program's runs, one after the other, within one budget of CPU and wall time."""
    limits, runs, blobs, clean = header["limits"], [], [], True
    for wanted in header["runs"]:
        run = _Run(control, limits, wanted)
        run.start(body)
        report, frames, output = run.finish()
        clean &= _clean_scratch()
        runs.append({**report, "frames": len(frames), "output": len(output)})
        blobs += [frames, output]
        limits["cpu"] -= report["cpu"]
        limits["wall"] -= report["wall"]
        if report["stopped"] in ("cpu", "wall"):
            break
    return {"runs": runs, "clean": clean}, b"".join(blobs)


class _Run:
    """One fork of the zygote, from its start until nothing of it is left."""

    def __init__(self, control: int, limits: dict[str, Any], wanted: dict[str, Any]) -> None:
        self._control = control
        self._limits = limits
        self._wanted = wanted
        self._buffer = mmap.mmap(-1, _RESULT_BYTES)
        self._secret = os.urandom(child.TOKEN_BYTES * wanted["steps"])
        self._files = [_nameless_file(), _nameless_file()] if wanted["stdin"] is not None else []
        self._started = time.monotonic()
        self._pid = self._told = 0

    def start(self, body: bytes) -> None:
        """Fork. In the child this never returns."""
        if self._files:
            _write_all(self._files[0], self._wanted["stdin"].encode(errors="surrogatepass"))
            os.lseek(self._files[0], 0, os.SEEK_SET)
        self._told, tell = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._enter(tell)
                work = [child.pipeline(self._buffer.write, self._secret, _steps(self._wanted["kind"])(body))]
                self.__dict__.clear()  # frames below the program's code lead here, and to nothing more
                child.run(work)
            finally:
                os._exit(1)
        os.close(tell)

    def _enter(self, tell: int) -> None:
        """Make this child a program's. What goes wrong here is told, over a pipe that no program has open: until the
        child has entered, its end says nothing about the program."""
        try:
            self._set_up()
        except (ArithmeticError, ValueError, OSError) as error:
            os.write(tell, f"{type(error).__name__}: {error}".encode())
            raise
        os.write(tell, _ENTERED)
        os.close(tell)

    def _set_up(self) -> None:
        os.close(self._control)
        os.close(self._told)
        for number, file in enumerate(self._files):
            os.dup2(file, number)
            os.close(file)
        seconds = math.ceil(self._limits["cpu"]) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (self._limits["memory"], self._limits["memory"]))
        random.seed(0)  # a program that draws lots gets the same verdict again

    def finish(self) -> tuple[dict[str, Any], bytes, bytes]:
        """Wait for the end, or bring it about, and tell what happened."""
        stopped = self._watch()
        if stopped != "":
            os.kill(self._pid, signal.SIGKILL)
        _, status, usage = os.wait4(self._pid, 0)
        self._require_entry()
        cpu = usage.ru_utime + usage.ru_stime + _kill_everything_else()
        if stopped == "" and cpu > self._limits["cpu"]:
            stopped = "cpu"
        output = self._output()
        if len(output) > self._limits["output"]:
            stopped = stopped or "output"
        report = {
            "stopped": stopped,
            "exit": os.waitstatus_to_exitcode(status),
            "cpu": cpu,
            "wall": time.monotonic() - self._started,
            "peak_kb": usage.ru_maxrss,
        }
        frames = self._frames()
        self._buffer.close()
        return report, frames, output

    def _require_entry(self) -> None:
        told = os.read(self._told, 1000)
        os.close(self._told)
        if told != _ENTERED:
            why = told.decode(errors="replace") or "its process ended first"
            raise ChildProcessError(f"its limits (cpu_seconds, memory_mb) cannot be set: {why}")

    def _watch(self) -> str:
        """Wait until the child ends by itself (""), or name the limit that it is over."""
        end = os.pidfd_open(self._pid)
        poller = select.poll()
        poller.register(end, select.POLLIN)
        clock = (~self._pid << 3) | 2  # the kernel's name for that process's CPU time: see clock_getcpuclockid(3)
        left = min(self._limits["cpu"], self._limits["wall"])
        try:
            while True:
                # No thread earns CPU time faster than wall time, so nothing can be over its limit before this.
                wait = max(left / (os.cpu_count() or 1), _SHORTEST_WAIT)
                if poller.poll(1000 * (min(wait, _OUTPUT_WAIT) if self._files else wait)):
                    return ""
                cpu_left = self._limits["cpu"] - time.clock_gettime(clock)
                wall_left = self._limits["wall"] - (time.monotonic() - self._started)
                if cpu_left <= 0 or wall_left <= 0:
                    return "cpu" if cpu_left <= 0 else "wall"
                if self._files and os.fstat(self._files[1]).st_size > self._limits["output"]:
                    return "output"
                left = min(cpu_left, wall_left)
        finally:
            os.close(end)

    def _output(self) -> bytes:
        if not self._files:
            return b""
        output = os.pread(self._files[1], self._limits["output"] + 1, 0)
        for file in self._files:
            os.close(file)
        return output

    def _frames(self) -> bytes:
        """What stands behind valid tokens, up to the first that is not valid."""
        frames, place = [], 0
        for start in range(0, len(self._secret), child.TOKEN_BYTES):
            token = self._secret[start : start + child.TOKEN_BYTES]
            if self._buffer[place : place + child.TOKEN_BYTES] != token:
                break
            place += child.TOKEN_BYTES
            if place + FRAME.size > _RESULT_BYTES:
                break
            kind, length = FRAME.unpack_from(self._buffer, place)
            if kind == b"\0":
                break
            frames.append(self._buffer[place : place + FRAME.size + length])
            place += FRAME.size + length
        return b"".join(frames)


def _steps(kind: str) -> Callable[[bytes], Iterator[bytes]]:
    if kind == "probe":
        from plum_hub.execution import probe

        return probe.steps
    return child.steps if kind == "module" else child.script


def _kill_everything_else() -> float:
    """End every other process of this jail, and return the CPU seconds that they used."""
    if os.getpid() != 1:
        raise SystemExit("a zygote kills inside its own pid namespace only")
    seconds = 0.0
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            _, _, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return seconds
        seconds += usage.ru_utime + usage.ru_stime


def _clean_scratch() -> bool:
    """Empty the scratch folder; False when something resists, and then this jail is not used again."""
    entries = list(os.scandir(_SCRATCH))
    if not entries:
        return True
    import shutil

    try:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry)  # noqa: PTH108  pathlib would make every fork dearer
    except (OSError, RecursionError):
        return False
    return True


def _nameless_file() -> int:
    return os.open(_SCRATCH, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
