"""Long-running checks: verdicts that change with the machine's load, and what a judge leaves behind."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from judging.material import Task, mixed
from judging.rates import mix_programs

from plum_hub.execution import Call, Execution, Judge, Limits, Program

_SMALL = Limits(cpu_seconds=2.0, wall_seconds=30.0)
_LITTER = (
    "",
    "open('/tmp/left', 'w').write('x' * 10_000)\n",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n",
    "import os, time\nif os.fork() == 0:\n    time.sleep(60)\n",
    "kept = bytearray(30_000_000)\n",
    "print('x' * 100_000)\n",
)


@contextlib.contextmanager
def _hogs(count: int) -> Iterator[None]:
    """Keep so many processes busy within the block."""
    started = [subprocess.Popen([sys.executable, "-I", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in started:
            hog.kill()
            hog.wait()


def _verdict(execution: Execution) -> tuple[str, tuple[str, ...]]:
    return execution.status, tuple(case.outcome for case in execution.cases)


def repeated(found: Sequence[Task], *, times: int, workers: int, count: int = 2000) -> dict[str, Any]:
    """Judge the same mix repeatedly, every second time with all cores busy; count programs whose verdict changes."""
    programs = mix_programs(found, mixed(found, count), workers)
    first: dict[str, tuple[str, tuple[str, ...]]] = {}
    differing: set[str] = set()
    with Judge(workers=workers) as judge:
        for number in range(times):
            with _hogs(len(os.sched_getaffinity(0)) if number % 2 else 0):
                seen = {execution.id: _verdict(execution) for execution in judge.run(programs)}
            first = first or seen
            new = {name for name in first if seen[name] != first[name]}
            differing |= new
            print(f"round {number + 1}{', busy' if number % 2 else ''}: {len(new)} differ", file=sys.stderr)
    return {"programs": count, "rounds": times, "differing": len(differing)}


def _status(pid: str) -> dict[str, str]:
    lines = Path("/proc", pid, "status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _below() -> list[dict[str, str]]:
    """Return the kernel's status of every process below this one."""
    seen = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                seen[entry.name] = _status(entry.name)
    below = {str(os.getpid())}
    while more := {pid for pid, status in seen.items() if status["PPid"] in below} - below:
        below |= more
    return [seen[pid] for pid in below - {str(os.getpid())}]


def _megabytes(status: dict[str, str]) -> float:
    return round(int(status.get("VmRSS", "0 kB").split()[0]) / 1024, 1)


def _memory() -> list[float]:
    """Return the memory of this process and of each zygote, the first process of its namespace, in MB."""
    zygotes = [status for status in _below() if status["NSpid"].split()[1:] == ["1"]]
    return [_megabytes(_status("self")), *sorted(map(_megabytes, zygotes))]


def _traces() -> dict[str, int]:
    """Count what a judge could leave behind."""
    return {
        "processes": len(_below()),
        "temporary_files": len(list(Path(tempfile.gettempdir()).iterdir())),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "open_files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
    }


def _small_programs(count: int) -> Iterator[Program]:
    """Yield small programs, some of which leave files, threads, children, memory or output behind."""
    for number in range(count):
        litter = _LITTER[number % len(_LITTER)] if number % 10 == 0 else ""
        yield Program(
            id=str(number),
            code=f"{litter}def f(x):\n    return x + {number}\n",
            entry_point="f",
            cases=(Call(expression="f(1)", expected=str(number + 1)),),
            limits=_SMALL,
        )


def leaks(count: int, workers: int) -> dict[str, Any]:
    """Judge `count` programs with one judge; return traces before, memory during, and traces after."""
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder  # others write into the usual one
        try:
            with Judge(workers=workers) as judge:  # so that what Python opens once is open
                list(judge.run(_small_programs(100)))
            before, memory, passed = _traces(), [], 0
            with Judge(workers=workers) as judge:
                for number, execution in enumerate(judge.run(_small_programs(count)), 1):
                    passed += execution.status == "passed"
                    if number % max(1, count // 10) == 0:
                        memory.append(_memory())
            return {"programs": count, "passed": passed, "before": before, "after": _traces(), "memory_mb": memory}
        finally:
            tempfile.tempdir = None
