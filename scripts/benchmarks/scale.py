"""CPU time and memory as a run grows: whole commands over scripted answers, with the real judge and release.

For each number of samples: `build-dataset` (instructions, responses, suites, samples, verdicts, preferences, release),
`views` of all rules, `status`, `push-dataset` to an embedded Hub, `pull` from it and `verify` of it (100 samples are
judged again), each in a process of its own. Answers come from a file, two of twenty hold a program and the others none,
so what is measured is our own work for each row, not the programs'. There are 20 samples an instruction, as in the
paper; near-duplicates and mypy are off, since every task is the same but for its number.

Ratios are of CPU time (user and system, of a command's processes together), which a busy machine changes little;
seconds by the clock are shown beside it. Keys:

- cpu_per_million: CPU seconds of `build-dataset`, by a million samples, for the largest number;
- growth: this by that of the smallest number: 1 if time is in proportion to rows;
- seconds_per_million: the same by the clock;
- peak_gb: the most memory of a command's processes together (resident set, 10^9 bytes), for the largest number;
- memory_growth: this by that of the smallest number.

    scripts/bench scale [--rows 20000 --rows 100000] [--workers 1]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from release import Watch

SAMPLES = 20
COMMANDS = {"build": "build-dataset", "views": "views", "status": "status", "push": "push-dataset", "pull": "pull",
            "verify": "verify"}  # fmt: skip
SUITE = """### Starter code
```python
def solve(x: int) -> int:
    pass
```

### Solution
```python
def solve(x: int) -> int:
    return 2 * x + 1
```

### Tests
```python
assert solve(0) == 1
assert solve(5) == 11
assert solve(-1) == -1
```
"""
PROSE = "The number is doubled, then one is added to it, so that zero gives one, and five gives eleven. " * 6


def write_inputs(folder: Path, instructions: int) -> None:
    """Write the tasks and the answers."""
    with (folder / "tasks.jsonl").open("w") as file:
        for number in range(instructions):
            text = f"Write a Python function `solve(x)` that gives twice the integer x plus one; it is task {number}."
            file.write(json.dumps({"instruction": text}) + "\n")
    program = "Here it is.\n\n```python\ndef solve(x: int) -> int:\n    return {}\n```\n" + PROSE
    answers = [program.format("2 * x + 1"), program.format("2 * x"), *(f"{PROSE} ({n})" for n in range(SAMPLES - 2))]
    rows = [{"contains": "\n\nSolve", "texts": answers}, {"texts": [SUITE]}]
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def measured(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run a command; return its seconds, and the CPU time and the memory of all its processes."""
    environment = os.environ | {"PLUM_HUB_HOME": str(folder / "home")}
    process = subprocess.Popen(
        [sys.executable, "-m", "plum_hub", *arguments], env=environment, stdout=subprocess.DEVNULL, cwd=folder
    )
    watch = Watch(process.pid, {})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = watch.end()
    if process.returncode:
        sys.exit(f"{arguments[0]} ended with exit code {process.returncode}")
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "peak_gb": watch.peak / 1e9}


def scaled(rows: int, workers: int, scratch: Path) -> dict[str, Any]:
    """Build, count and view a run of so many samples."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        write_inputs(folder, rows // SAMPLES)
        keys = [f"samples.per_instruction={SAMPLES}", "suites.responses=1", "instructions.near_duplicates=1.0"]
        keys += ["verdicts.mypy_codes=[]", "decontamination.benchmarks=[]"]
        more = [] if workers == 1 else ["--workers", str(workers)]
        build = measured(
            folder, "build-dataset", "--model", "scripted:answers.jsonl", "--instructions", "tasks.jsonl", "--run",
            "run", "--hub", "none", "--quiet", *more, *(part for key in keys for part in ("--set", key)),
        )  # fmt: skip
        shards = folder / "run" / "shards"
        size = sum(path.stat().st_size for path in shards.rglob("*.jsonl"))
        found = {"rows": rows, "shards": len(list(shards.iterdir())), "bytes": size, "build": build}
        name = f"local/scale-{rows}@v1.0.0"
        found["views"] = measured(folder, "views", "run")
        found["status"] = measured(folder, "status", "run")
        found["push"] = measured(folder, "push-dataset", "run", "--hub", "embedded", "--repo", f"scale-{rows}")
        found["pull"] = measured(folder, "pull", name, "--run", "pulled", "--hub", "embedded")
        found["verify"] = measured(folder, "verify", name, "--hub", "embedded", "--sample", "100")
        return found


def main() -> None:
    """Measure every size; the last line is JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench scale", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, action="append", help="samples of a run; can be repeated")
    parser.add_argument("--workers", type=int, default=1, help="as of build-dataset")
    parser.add_argument("--scratch", type=Path, help="a folder with room for 8 kB a sample")
    options = parser.parse_args()
    found = []
    for rows in sorted(options.rows or [20_000, 100_000]):
        found.append(scaled(rows, options.workers, options.scratch))
        show(found[-1])
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]  # fmt: skip
    print(f"{len(os.sched_getaffinity(0))} cores of {models[0] if models else 'an unnamed CPU'}")
    first, last = found[0], found[-1]
    peaks = [max(one[name]["peak_gb"] for name in COMMANDS) for one in (first, last)]
    million = 1e6 / last["rows"]
    keys = {
        "cpu_per_million": last["build"]["cpu"] * million,
        "growth": last["build"]["cpu"] * million / (first["build"]["cpu"] * 1e6 / first["rows"]),
        "seconds_per_million": last["build"]["seconds"] * million,
        "peak_gb": peaks[1],
        "memory_growth": peaks[1] / peaks[0],
    }
    print(json.dumps({name: round(value, 3) for name, value in keys.items()}))


def show(one: dict[str, Any]) -> None:
    """Print the table of one size."""
    print(f"{one['rows']:,} samples, {one['shards']} shards, {one['bytes'] / 1e6:,.0f} MB of JSON lines")
    print(f"{'':>16} {'CPU s':>8} {'seconds':>8} {'CPU s/million':>14} {'peak GB':>8}")
    for name, title in COMMANDS.items():
        row = one[name]
        print(f"{title:>16} {row['cpu']:>8.1f} {row['seconds']:>8.1f} {row['cpu'] * 1e6 / one['rows']:>14,.0f} "
              f"{row['peak_gb']:>8.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
