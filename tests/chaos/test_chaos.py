"""A small part of `scripts/chaos`: after any fault, the same command again ends in the undisturbed release."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plum_hub.lines import appending
from tests.chaos import attempt, damage
from tests.chaos.facts import differences
from tests.chaos.points import Chaos

_SAMPLES = damage.Damage("run/shards/00000/samples.jsonl", within=True)
RUN = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Chaos:
    return Chaos(tmp_path_factory.mktemp("chaos"))


def can_mount() -> bool:
    enter = ["unshare", "-m" if os.geteuid() == 0 else "-Urm", "true"]
    return subprocess.run(enter, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("number", [1, 2])
def test_a_kill_at_any_operation_changes_no_release(chaos: Chaos, number: int) -> None:
    found, problems = chaos.problems(chaos.draw(number, subject="build"))
    assert not problems, (found.struck, problems)


def test_a_full_disk_is_one_line_and_changes_no_release(chaos: Chaos) -> None:
    if not can_mount():
        pytest.skip("this machine allows no file system of one's own: kernel.unprivileged_userns_clone")
    found, problems = chaos.problems(chaos.draw(1, faults=("full",), subject="build"))
    assert not problems, (found.struck, problems)
    assert found.codes[0] != 0
    (line,) = [line for line in found.said[0].splitlines() if line.startswith("plum-hub: ")]
    assert "No space left" in line or "disk is full" in line


def test_a_point_is_drawn_by_its_number_alone(chaos: Chaos) -> None:
    again = Chaos(chaos.folder)
    assert [again.draw(number, subject="build") for number in range(20)] == [
        chaos.draw(number, subject="build") for number in range(20)
    ]
    assert len({chaos.draw(number, subject="build").at for number in range(20)}) > 10


def test_what_differs_is_found(chaos: Chaos) -> None:
    whole = chaos.undisturbed("build").facts
    assert differences(whole, whole) == []
    other = json.loads(json.dumps(whole))
    other["files"]["README.md"] = "0" * 64
    other["hub"]["commits"]["refs/heads/main"] += 1
    assert [text.partition(":")[0] for text in differences(other, whole)] == [
        "files.README.md",
        "hub.commits.refs/heads/main",
    ]
    assert whole["matches"]
    assert whole["published"] == [["local/plum-tasks-answers", "v1.0.0"]]


SWAP = """
import sys
from pathlib import Path
from plum_hub.files import replace_folder
folder = Path(sys.argv[1])
new = folder / "new"
new.mkdir()
for name in "abc":
    (new / name).write_text("new")
replace_folder(new, folder / "place")
"""
METRICS = """
import sys
from pathlib import Path
from plum_hub.training.checkpoint import TrainingFolder
with TrainingFolder(Path(sys.argv[1])).metrics(2, kept=True) as keep:
    keep({"step": 3})
"""


def struck(code: str, folder: Path, point: int) -> int:
    """Run a program that is killed at an operation; its exit code."""
    hook = {
        "PYTHONPATH": f"{attempt.HOOK}:{RUN}", "CHAOS_ROOT": str(folder), "CHAOS_LOG": f"{folder}.log",
        "CHAOS_POINT": str(point), "CHAOS_FAULT": "kill", "CHAOS_VICTIM": "self",
    }  # fmt: skip
    return subprocess.run([sys.executable, "-c", code, str(folder)], env=os.environ | hook, check=False).returncode


def test_a_folder_in_place_of_another_is_never_a_part(tmp_path: Path) -> None:
    codes, seen = [], set()
    for point in range(1, 40):
        folder = tmp_path / str(point)
        (folder / "place").mkdir(parents=True)
        for name in "abc":
            (folder / "place" / name).write_text("old")
        codes.append(struck(SWAP, folder, point))
        there = {path.name: path.read_text() for path in (folder / "place").glob("*")}
        assert there in ({}, dict.fromkeys("abc", "old"), dict.fromkeys("abc", "new"))
        seen.add(there.get("a"))
        if codes[-1] == 0:
            break
    assert codes[-1] == 0
    assert set(codes[:-1]) == {-9}
    assert seen == {"old", "new", None}


def test_metrics_of_steps_that_stay_survive_a_kill(tmp_path: Path) -> None:
    codes = []
    for point in range(1, 40):
        folder = tmp_path / str(point)
        folder.mkdir()
        path = folder / "metrics.jsonl"
        path.write_text('{"step":1}\n{"step":2}\n{"step":3}\n')
        codes.append(struck(METRICS, folder, point))
        assert path.read_text().startswith('{"step":1}\n{"step":2}\n')
        if codes[-1] == 0:
            break
    assert codes[-1] == 0
    assert len(codes) > 4


def test_a_damaged_file_is_named_or_made_again(chaos: Chaos) -> None:
    chaos.undisturbed("build")
    whole = damage.Whole(chaos.folder / "build-whole")
    ((result, what),) = damage.verdicts(whole, [0], [damage.Damage("run/environments.jsonl")])
    assert result == "refused", what


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("hub.json", "hub.json of local/plum-tasks-answers"),
        ("refs/heads/main", "refs/heads/main"),
    ],
)
def test_a_damaged_file_of_the_embedded_hub_is_named(chaos: Chaos, name: str, named: str) -> None:
    chaos.undisturbed("build")
    whole = damage.Whole(chaos.folder / "build-whole")
    ((result, what),) = damage.verdicts(whole, [0], [damage.Damage(f"home/hub/repos/*/*/*.git/{name}")])
    assert (result, named in what.partition("cannot read what it stores: ")[2]) == ("refused", True), what


@pytest.mark.parametrize(
    "struck", damage.ROWS if os.environ.get("EVERY_FAULT") else [_SAMPLES], ids=lambda one: one.name
)
def test_another_value_in_a_row_is_named_and_made_again(chaos: Chaos, struck: damage.Damage) -> None:
    chaos.undisturbed("build")
    whole = damage.Whole(chaos.folder / "build-whole")
    ((result, what),) = damage.verdicts(whole, [0], [struck])
    assert result == ("refused" if "environments" in struck.name else "mended"), what
    assert "checksum" in what


def test_a_row_that_is_struck_within_stays_a_row(tmp_path: Path) -> None:
    rows = [{"id": "a", "cases": [{"outcome": "passed", "n": 1}]}, {"id": "b", "cases": []}]
    for seed in range(30):
        path = tmp_path / "rows.jsonl"
        path.unlink(missing_ok=True)
        with appending(path) as append:
            for row in rows:
                append(row)
        assert damage.strike(tmp_path, damage.Damage("rows.jsonl", within=True), seed)
        found = [json.loads(line) for line in path.read_bytes().splitlines()]
        assert [sum(row[key] != one[key] for key in row) for row, one in zip(rows, found, strict=True)] in (
            [0, 1],
            [1, 0],
        )
