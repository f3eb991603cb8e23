"""What numpy and pandas in the sandbox cost: a worker's start, and each program after it.

The same program, which imports nothing, runs many times in each kind of worker; the sides take turns. A start ends with
the first program of a new judge, the sandbox's own checks included. Figures are medians over the rounds.

    scripts/bench packages [--rounds 5] [--programs 300] [--sandbox jail]
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plum_hub.execution import Call, Judge, Limits, Program

SIDES: dict[str, dict[str, bool]] = {"neither": {}, "numpy": {"numpy": True}, "pandas": {"pandas": True}}
_CASES = (Call(expression="f(1)", expected="2"),)


def programs(count: int) -> Iterator[Program]:
    """Yield different programs of one suite."""
    for number in range(count):
        code = f"def f(x):\n    return x + 1  # {number}\n"
        yield Program(id=str(number), code=code, entry_point="f", cases=_CASES, limits=Limits())


def measured(options: argparse.Namespace, side: str) -> tuple[float, float, float]:
    """Return the seconds of the first program, and the wall and CPU milliseconds of each further one."""
    start = time.perf_counter()
    with Judge(1, sandbox=options.sandbox, **SIDES[side]) as judge:  # type: ignore[arg-type]
        assert all(one.status == "passed" for one in judge.run(programs(1)))
        started = time.perf_counter()
        ended = list(judge.run(programs(options.programs)))
        each = 1000 * (time.perf_counter() - started) / options.programs
        assert all(one.status == "passed" for one in ended)
        return started - start, each, 1000 * statistics.median(one.cpu_seconds for one in ended)


def processor() -> str:
    """Return the name of this machine's processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    """Measure each side; the last line is JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench packages", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--programs", type=int, default=300)
    parser.add_argument("--sandbox", choices=("jail", "landlock"), default="jail")
    options = parser.parse_args()
    seen: dict[str, list[tuple[float, float, float]]] = {side: [] for side in SIDES}
    for _ in range(options.rounds):
        for side in SIDES:
            seen[side].append(measured(options, side))
    result: dict[str, Any] = {"bench": "packages", "sandbox": options.sandbox, "cpu": processor()}
    print(f"{processor()}, {options.sandbox}, one worker, {options.rounds} rounds of {options.programs} programs")
    print(f"{'':12}{'start, s':>10}{'ms a program':>14}{'ratio':>8}{'CPU ms':>8}")
    for side, rows in seen.items():
        start, each, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
        result[side] = {"start_s": round(start, 3), "program_ms": round(each, 3), "cpu_ms": round(cpu, 3)}
        print(f"{side:12}{start:10.2f}{each:14.2f}{each / result['neither']['program_ms']:8.2f}{cpu:8.2f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
