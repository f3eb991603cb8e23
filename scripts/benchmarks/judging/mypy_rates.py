"""The static check beside one mypy process per sample."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from judging.material import canonical, tasks

from plum_hub.static import DROP_CODES, check
from plum_hub.static.process import mypy_arguments

_ALONE = 12
_WRONG = {
    "name-defined": "def f(x):\n    return undefined_name + x\n",
    "call-arg": "def g(a: int) -> int:\n    return a\n\ndef f(x):\n    return g(x, 1, 2)\n",
    "used-before-def": "def f(x):\n    y = z\n    z = x\n    return y + z\n",
    "str-format": "def f(x):\n    return '%d %d' % (1,)\n",
    "": "def f(x: int) -> str:\n    return x\n",
}

Found = dict[str, list[tuple[str, int]]]


def _processes(sources: Mapping[str, str], folder: Path, *, at_once: int) -> tuple[float, Found]:
    """Return seconds, and each sample's errors (code, line) that count. Each process in turn has its own warm cache."""

    def one(item: tuple[int, tuple[str, str]]) -> tuple[str, list[tuple[str, int]]]:
        number, (key, source) = item
        name = f"sample_{abs(hash(source))}.py"
        (folder / name).write_text(source)
        cache = f"--cache-dir=cache-{number % at_once}"
        command = [sys.executable, "-m", "mypy", *mypy_arguments(), "--output=json", cache, name]
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
        errors = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return key, sorted((row["code"], row["line"]) for row in errors if row["code"] in DROP_CODES)

    start = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        found = dict(pool.map(one, enumerate(sources.items())))
    return time.perf_counter() - start, found


def _ours(sources: Mapping[str, str]) -> tuple[float, Found, int]:
    start = time.perf_counter()
    findings = check(sources)
    seconds = time.perf_counter() - start
    errors = {key: sorted((error.code, error.line) for error in one.errors) for key, one in findings.items()}
    return seconds, errors, sum(one.status != "ok" for one in findings.values())


def measured(folder: Path, *, rounds: int, repeats: int) -> dict[str, Any]:
    """Return rates of both, a comparison of their findings, and how many canonical solutions are rejected."""
    found = [*tasks(folder, "humaneval", plus=False), *tasks(folder, "mbpp", plus=False)]
    _, errors, rejected = _ours({task.id: canonical(task, -1).code for task in found})  # also warms the cache
    seconds = []
    for turn in range(rounds):
        numbered = {f"{task.id} {number}": canonical(task, number).code + f"# {turn}\n"
                    for number in range(repeats) for task in found}  # fmt: skip
        seconds.append(_ours(numbered)[0])
    chosen = found[:: len(found) // _ALONE][:_ALONE]
    with tempfile.TemporaryDirectory() as name:
        alone = Path(name)
        for at_once in (1, 2):  # warms the caches
            _processes({task.id: canonical(task, -1).code for task in chosen}, alone, at_once=at_once)
        turns, _ = _processes({task.id: canonical(task, 0).code for task in chosen}, alone, at_once=1)
        both, theirs = _processes({task.id: canonical(task, 1).code for task in chosen}, alone, at_once=2)
        theirs |= _processes(_WRONG, alone, at_once=1)[1]
    errors |= _ours(_WRONG)[1]
    differing = [key for key, seen in theirs.items() if seen != errors[key]]
    missed = [code for code in _WRONG if code and (not errors[code] or errors[code][0][0] != code)]
    rate = len(found) * repeats / statistics.median(seconds)
    return {
        "samples": len(found) * repeats, "per_second": rate, "process_per_second": len(chosen) / turns,
        "processes_at_once_per_second": len(chosen) / both, "compared": len(theirs), "differing": differing + missed,
        "canonical": len(found), "rejected": rejected,
    }  # fmt: skip
