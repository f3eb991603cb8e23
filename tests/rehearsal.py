"""A whole build with the scripted engine: tasks, and canned answers of a generator and a policy."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

VERBS = ["add", "subtract", "multiply", "repeat", "shift", "scale", "offset", "raise", "lower", "widen"]


def set_home(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Give the embedded Hub and the Hub's caches a fresh home below a folder, without a token."""
    patch.setenv("PLUM_HUB_HOME", str(folder / "home"))
    patch.setenv("HF_HOME", str(folder / "hf"))
    for variable in ("HF_TOKEN", "HF_ENDPOINT"):
        patch.delenv(variable, raising=False)


def addend(number: int) -> int:
    """What the task's function adds: never 0, since what returns its argument is a stub and passes no suite."""
    return number or 10


def task(number: int) -> str:
    verb = VERBS[number % len(VERBS)]
    function = f"`{verb}_{number}(x)`"
    return f"Write a Python function {function} that gives the integer x plus {addend(number)}, for rehearsal {number}."


def name(number: int) -> str:
    return f"{VERBS[number % len(VERBS)]}_{number}"


def suite_answer(number: int, reference: str) -> str:
    function, plus = name(number), addend(number)
    return (
        f"### Starter code\n```python\ndef {function}(x: int) -> int:\n    pass\n```\n\n"
        f"### Solution\n```python\ndef {function}(x: int) -> int:\n    return {reference}\n```\n\n"
        f"### Tests\n```python\nassert {function}(0) == {plus}\nassert {function}(5) == {plus + 5}\n"
        f"assert {function}(-1) == {plus - 1}\n```\n"
    )


def program(number: int, body: str) -> str:
    return f"Here it is.\n\n```python\ndef {name(number)}(x: int) -> int:\n    {body}\n```\n"


def write_rehearsal(folder: Path, tasks: int = 6) -> None:
    """`tasks.jsonl` and `answers.jsonl`; every third task gets no right answer from the policy."""
    with (folder / "tasks.jsonl").open("w") as file:
        for number in range(tasks):
            file.write(json.dumps({"instruction": task(number)}) + "\n")
    with (folder / "answers.jsonl").open("w") as file:
        for number in range(tasks):
            good, bad = suite_answer(number, f"x + {addend(number)}"), suite_answer(number, "x + 99")
            responses = [good, bad, good, "I cannot do that."]
            file.write(json.dumps({"contains": f"Task:\n{task(number)}", "texts": responses}) + "\n")
            answers = [
                program(number, f"return x + {addend(number)} + 100"),
                program(number, "return x +"),
                program(number, "return undefined_name"),
                "No idea.",
            ]
            if number % 3 != 2:
                answers += [
                    program(number, f"return x + {addend(number)}"),
                    program(number, f"return {addend(number)} + x"),
                ]
            file.write(json.dumps({"contains": f"{task(number)}\n\nSolve", "texts": answers}) + "\n")


def command(folder: Path, *options: str, run: str = "run", delay: float = 0.0, mypy: bool = False) -> list[str]:
    """The command line of a build over the rehearsal in `folder`; without mypy, whose start is most of such a build,
    unless it is asked for."""
    settings = ["instructions.near_duplicates=1.0", "samples.per_instruction=6", "suites.responses=4"]
    settings += ["decontamination.benchmarks=[]"]  # its own tests compare; no other asks a Hub for HumanEval
    if not mypy:
        settings += ["verdicts.mypy_codes=[]"]
    if delay:
        settings += [f"policy.delay_seconds={delay}", f"generator.delay_seconds={delay}"]
    return [
        sys.executable, "-m", "plum_hub", "build-dataset",
        "--model", f"scripted:{folder / 'answers.jsonl'}", "--instructions", str(folder / "tasks.jsonl"),
        "--run", str(folder / run), "--hub", "none",
        *[part for setting in settings for part in ("--set", setting)], *options,
    ]  # fmt: skip


def plum_hub(arguments: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    import os

    return subprocess.run(arguments, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


def rows(run: Path, kind: str) -> list[dict[str, object]]:
    """The rows of a kind, without what may differ between runs: times, memory, and the checksums of both."""
    path = run / "shards" / "00000" / f"{kind}.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for row in found:
        row.pop("cpu_seconds", None)
        row.pop("peak_memory_mb", None)
        row.pop("row_crc32", None)
    return found


def unchecked(rows: str) -> str:
    """The lines of rows without their checksums, so that they may be changed."""
    return re.sub(r',"row_crc32":"[0-9a-f]{8}"}', "}", rows)


def published(folder: Path, *options: str, hub: str = "embedded", run: str = "run", mypy: bool = False) -> list[str]:
    """As `command`, published to a Hub."""
    arguments = command(folder, *options, run=run, mypy=mypy)
    arguments[arguments.index("--hub") + 1] = hub
    return arguments


KILLED = """
import os, signal, sys
from pathlib import Path
from plum_hub.pipeline import suites
from plum_hub.pipeline.base import Context
from plum_hub.progress import Progress
from plum_hub.run import Run

class UntilKilled(Progress):
    left = int(sys.argv[2])

    def advance(self, *arguments, **keywords):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)

suites._BATCH = 2
suites.run_suites(Context(run=Run.open(Path(sys.argv[1])), progress=UntilKilled()))
"""
"""Runs stage `suites` of a run (first argument) in batches of two instructions, and kills itself after so many rows
(second argument; -1: never)."""
