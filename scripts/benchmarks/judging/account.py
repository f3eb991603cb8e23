"""Where the cores' time goes while a mixed workload is judged: the programs' own work, ours, others', or none.

What a verdict reports is the CPU time of the program's process. Of that, the program's own is the median over equal
programs, without what the process of an empty program takes; the rest is ours, as is all that the judge, its jails and
their forks use. Other work on the machine is what its cores were busy with besides; shares and rates are of the time
that it left, and stay comparable where the clock would not. But what others use of a core that we leave idle does not
show as idle, and their caches make our work dearer: only a quiet machine shows both. The kernel counts in ticks, so
that a second or less can be off by some hundredths.
"""

import os
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from judging.material import Task, canonical, tasks

from plum_hub.execution import Call, Judge, Limits, Program

LONG = 0.005
"""CPU seconds from which on a program is one of the long ones."""
_EVERY, _REPEATS = 10, 10
_MADE = {0.005: 160, 0.02: 80, 0.1: 40}
"""CPU seconds of made programs, and how many there are of each."""
_EMPTY = 300  # enough for the judge to have started all that it will start
_LONGEST = Limits(cpu_seconds=1.0, wall_seconds=60.0)  # one longer program at the end would leave other cores idle
_PATIENT = Limits(cpu_seconds=120.0, wall_seconds=600.0, memory_mb=4096)  # nothing runs twice
_SPIN = """
from time import process_time
def f(seconds):
    end = process_time() + seconds
    while process_time() < end:
        pass
"""


@dataclass(frozen=True)
class Account:
    """CPU seconds of one run on so many cores. `passed` counts verdicts."""

    cores: int
    programs: int
    passed: int
    seconds: float
    own: float
    ours: float
    others: float

    @property
    def time(self) -> float:
        """The cores' time that others left."""
        return self.cores * self.seconds - self.others

    @property
    def idle(self) -> float:
        return self.time - self.own - self.ours

    @property
    def rate(self) -> float:
        """Verdicts a second, as if others had not been there."""
        return self.programs * self.cores / self.time

    def linear(self, one: "Account") -> float:
        """Return the rate over so many times that of one core."""
        return self.rate / (self.cores * one.rate)


def measured(folder: Path, workers: int) -> dict[str, list[Account]]:
    """Judge all programs and the long ones, on one core and on as many as there are workers; no more than there are."""
    most = min(workers, len(os.sched_getaffinity(0)))
    programs = list(_workload(folder, most))
    one, own = _judged(programs, 1)
    long = [program for program in programs if own[_name(program.id)] >= LONG]
    return {
        "all": [one, _judged(programs, most)[0]],
        "of 5 ms and more": [_judged(long, 1)[0], _judged(long, most)[0]],
    }


def _workload(folder: Path, workers: int) -> Iterable[Program]:
    """Yield real and made programs, those of a suite one after the other, suites in the order of chance."""
    real = [task for name in ("humaneval", "mbpp") for task in [*tasks(folder, name)][::_EVERY] if task.split]  # type: ignore[arg-type]
    suites = [[_real(task, number, _PATIENT) for number in range(_REPEATS)] for task in _short(real, workers)]
    for seconds, count in _MADE.items():
        cases = (Call(expression=f"f({seconds})", expected="None"),)
        made = [_made(f"{seconds:g} s", number, _SPIN, cases) for number in range(count)]
        suites += [made[start : start + _REPEATS] for start in range(0, count, _REPEATS)]
    random.Random(0).shuffle(suites)
    return (program for suite in suites for program in suite)


def _short(real: Sequence[Task], workers: int) -> list[Task]:
    """Return the tasks whose solution passes within `_LONGEST`."""
    with Judge(workers=workers) as judge:
        done = judge.run(_real(task, 0, _LONGEST) for task in real)
        passed = {_name(execution.id) for execution in done if execution.status == "passed"}
    return [task for task in real if task.id in passed]


def _real(task: Task, number: int, limits: Limits) -> Program:
    return canonical(task, number).program(f"{task.id} #{number}", limits, split=True)


def _made(name: str, number: int, code: str, cases: tuple[Call, ...]) -> Program:
    text = f"{code}# {number}\n"
    return Program(id=f"{name} #{number}", code=text, entry_point="f", cases=cases, limits=_PATIENT)


def _name(program: str) -> str:
    """Return what equal programs share."""
    return program.partition(" #")[0]


def _judged(programs: Sequence[Program], count: int) -> tuple[Account, dict[str, float]]:
    """Judge on so many cores. Return the account, and the own CPU seconds of each kind of program."""
    cores = sorted(os.sched_getaffinity(0))
    used = cores[:count]
    os.sched_setaffinity(0, used)
    try:
        with Judge(workers=count) as judge:
            cases = (Call(expression="f()", expected="None"),)
            nothing = [_made("empty", number, "def f():\n    pass\n", cases) for number in range(_EMPTY)]
            empty = statistics.median(execution.cpu_seconds for execution in judge.run(nothing))
            busy, mine, start = _busy(used), _tree_seconds(), time.perf_counter()
            done = list(judge.run(programs))
            seconds = time.perf_counter() - start
            busy, mine = _busy(used) - busy, _tree_seconds() - mine
    finally:
        os.sched_setaffinity(0, cores)
    seen: defaultdict[str, list[float]] = defaultdict(list)
    for execution in done:
        seen[_name(execution.id)].append(max(0.0, execution.cpu_seconds - empty))
    own = {name: statistics.median(each) for name, each in seen.items()}
    total = sum(own[_name(execution.id)] for execution in done)
    passed = sum(execution.status == "passed" for execution in done)
    others = max(0.0, busy - mine)
    return Account(count, len(done), passed, seconds, total, mine - total, others), own


def _busy(cores: Sequence[int]) -> float:
    """Return the seconds that these cores were not idle since the machine started, stolen ones included."""
    seconds = 0.0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name in {f"cpu{core}" for core in cores}:
            user, nice, system, _idle, _wait, *rest = map(int, ticks)
            seconds += (user + nice + system + sum(rest[:3])) / os.sysconf("SC_CLK_TCK")
    return seconds


def _tree_seconds() -> float:
    """Return the CPU seconds of this process and all below it, those that have ended included."""
    found: dict[int, tuple[int, float]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            found[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    tree = {os.getpid()}
    while more := {pid for pid, (parent, _) in found.items() if parent in tree} - tree:
        tree |= more
    return sum(found[pid][1] for pid in tree)
