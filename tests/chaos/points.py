"""Which points there are: drawn by a seed, by the number of a file operation and never by time."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random

from tests.chaos.attempt import Attempt, Outcome
from tests.chaos.facts import differences
from tests.engines.tiny import write_tiny_model
from tests.rehearsal import published, write_rehearsal
from tests.test_shards import sharded
from tests.training import toy

REPOSITORY = Path(__file__).resolve().parents[2]
DISK = 24 << 20
"""Bytes of the small file system that becomes full."""
VICTIMS = {
    "build": ("self", "self", "command", "judge", "publisher", "hub", "git"),
    "typed": ("self", "command", "static", "judge"),
    "workers": ("self", "command", "worker", "worker", "judge"),
    "training": ("self",),
}
"""Roles that are drawn for each subject. One that has no process at the point stands for the process at it."""
SHARES = {"build": 0.62, "workers": 0.2, "typed": 0.06, "training": 0.12}
"""Share of the points of each subject."""


@dataclass(frozen=True)
class Point:
    """A fault at a place of a subject."""

    number: int
    subject: str
    fault: str
    victim: str
    at: int
    clock: int = 0


@dataclass
class Chaos:
    """A folder in which points are tried, each against the undisturbed command, whose outcome it keeps."""

    folder: Path
    seed: int = 0
    whole: dict[str, Outcome] = field(default_factory=dict)

    def undisturbed(self, subject: str) -> Outcome:
        """What a command makes that is left alone, and how many operations it takes."""
        if subject not in self.whole:
            kept = self.folder / f"{subject}-whole.json"
            if kept.exists():
                self.whole[subject] = _outcome(kept.read_text())
                return self.whole[subject]
            found = self.attempt(Point(0, subject, "none", "self", 0), name=f"{subject}-whole")
            if found.codes != (0, 0) or "nothing" in found.facts:
                raise SystemExit(f"{subject}: the undisturbed command fails: {found}")
            kept.write_text(json.dumps(asdict(found)))
            self.whole[subject] = found
        return self.whole[subject]

    def draw(self, number: int, *, faults: tuple[str, ...] = ("kill", "torn"), subject: str = "") -> Point:
        """Draw a point; the same number gives the same one."""
        random = Random(f"{self.seed} {number}")
        subject = subject or random.choices([*SHARES], weights=[*SHARES.values()])[0]
        fault, victim = random.choice(faults), random.choice(VICTIMS[subject])
        at = random.randint(1, self.undisturbed(subject).counted)
        clock = random.choice((-1, 1)) * random.randint(1, 10**9) if fault == "clock" else 0
        name = "kill" if clock else fault
        return Point(number, subject, name, "self" if name in ("torn", "full") else victim, at, clock)

    def attempt(self, point: Point, name: str = "") -> Outcome:
        """Try a point."""
        folder = self.folder / (name or f"{point.subject}-{point.number}-{point.fault}")
        shutil.rmtree(folder, ignore_errors=True)
        for old in folder.parent.glob(f"{folder.name}.*"):
            old.unlink()
        folder.mkdir(parents=True)
        attempt = replace(
            self._subject(point.subject, folder), fault=point.fault, point=point.at, victim=point.victim,
            clock=point.clock, disk=DISK if point.fault == "full" else 0,
        )  # fmt: skip
        enter = ["unshare", "-m" if os.geteuid() == 0 else "-Urm"] if attempt.disk else []
        done = subprocess.run(
            [*enter, sys.executable, "-m", "tests.chaos.attempt"], input=json.dumps(asdict(attempt)),
            capture_output=True, text=True, cwd=REPOSITORY, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{attempt}: {done.stderr[-3000:]}")
        return _outcome(done.stdout)

    def problems(self, point: Point) -> tuple[Outcome, list[str]]:
        """Try a point, and state everything that is not as it must be."""
        wanted, found = self.undisturbed(point.subject), self.attempt(point)
        if not found.struck and found.counted < point.at:  # the undisturbed command filled the libraries' caches too
            found = self.attempt(replace(point, at=found.counted))
        problems = [f"a process was left: {line}" for line in found.left]
        problems += [
            f"a traceback at start {at}: {said}" for at, said in enumerate(found.said, 1) if "Traceback" in said
        ]
        if not found.struck:
            problems.append(f"nothing happened: {found.counted} operations")
        if found.codes[1]:
            problems.append(f"the second start ended with {found.codes[1]}: {found.said[1]}")
        problems += differences(found.facts, wanted.facts)
        if not problems:
            shutil.rmtree(self.folder / f"{point.subject}-{point.number}-{point.fault}", ignore_errors=True)
        return found, problems

    def _subject(self, subject: str, folder: Path) -> Attempt:
        if subject == "training":
            return self._training(folder)
        write_rehearsal(folder, {"build": 4, "typed": 2, "workers": 6}[subject])
        command = published(folder, "--quiet", mypy=subject == "typed")
        if subject == "workers":
            command = sharded(2, [*command, "--workers", "2"])
        environment = {
            "PLUM_HUB_HOME": str(folder / "home"), "HF_HOME": str(folder / "hf"), "HF_TOKEN": "", "HF_ENDPOINT": "",
        }  # fmt: skip
        return Attempt(folder=str(folder), command=command, kind="build", environment=environment)

    def _training(self, folder: Path) -> Attempt:
        model, rows = self.folder / "model", self.folder / "rows.jsonl"
        if not model.exists():
            write_tiny_model(model)
            toy.write(rows, toy.rows(4, 6))
        command = toy.command(rows, model, folder / "out", "--set", "learning_rate=1e-3", "--quiet")
        return Attempt(folder=str(folder), command=command, kind="training", environment=dict(toy.environment()))


def _outcome(text: str) -> Outcome:
    found = json.loads(text)
    return Outcome(**found | {name: tuple(found[name]) for name in ("codes", "said", "left")})


def report(outcomes: "list[tuple[Point, Outcome, list[str]]]", say: Callable[[str], None]) -> None:
    """Say how many points of each kind ended as they must."""
    groups: dict[str, list[bool]] = {}
    for point, _, problems in outcomes:
        groups.setdefault(f"{point.subject} {point.fault}", []).append(not problems)
    for name, equal in sorted(groups.items()):
        say(f"{name:<24}{sum(equal):>5} of {len(equal)}")
