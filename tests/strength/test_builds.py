"""Builds that measure suites and leave weak ones out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.rehearsal import command, plum_hub
from tests.strength.measuring import CLAMP
from tests.strength.weak import STRONG, rows, write_weak

KINDS = ("suites", "strengths", "samples", "dropped")


def test_weak_suites_are_left_out_before_samples_are_paid_for(filtered: Path) -> None:
    run = filtered / "run"
    strengths = {row["id"]: row for row in rows(run, "strengths")}
    kept = rows(run, "suites")
    assert len(kept) == 3
    assert all(len(row["cases"]) == 4 for row in kept)  # the other suites have more, and would be taken otherwise
    assert all(strengths[row["id"]]["mutation_score"] == 1.0 for row in kept)
    assert all(strengths[row["id"]]["branch_coverage"] == 1.0 for row in kept)
    weak = [row for row in rows(run, "dropped") if row["reason"] == "weak"]
    assert {row["stage"] for row in weak} == {"suites"}
    assert len({row["instruction_id"] for row in weak}) == 6
    assert all(
        "mutation score 0." in str(row["detail"]) and "suites.min_strength 0.9" in str(row["detail"]) for row in weak
    )
    assert {row["suite_id"] for row in rows(run, "samples")} == {row["id"] for row in kept}
    assert min(row["branch_coverage"] for row in strengths.values()) == 0.5


def test_status_shows_mean_and_quartiles(filtered: Path) -> None:
    done = plum_hub([sys.executable, "-m", "plum_hub", "status", str(filtered / "run")])
    assert "mutation score 1.00 on average, quartiles 1.00, 1.00, 1.00, of 3 suites" in " ".join(done.stdout.split())
    done = plum_hub([sys.executable, "-m", "plum_hub", "status", str(filtered / "run"), "--json"])
    assert json.loads(done.stdout)["strength"]["mean"] == 1.0
    assert json.loads(done.stdout)["dropped"]["suites"]["weak"] == len(
        [row for row in rows(filtered / "run", "dropped") if row["reason"] == "weak"]
    )


def test_another_hash_seed_gives_the_same_strengths(filtered: Path, tmp_path: Path) -> None:
    write_weak(tmp_path)
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        command(tmp_path, "-q", *STRONG), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for kind in KINDS:
        assert rows(tmp_path / "run", kind) == rows(filtered / "run", kind), kind


@pytest.mark.parametrize("kind", ["strengths", "suites"])
def test_killed_while_measuring_and_started_again_gives_the_same_rows(
    filtered: Path, tmp_path: Path, kind: str
) -> None:
    write_weak(tmp_path)
    file = tmp_path / "run" / "shards" / "00000" / f"{kind}.jsonl"
    process = subprocess.Popen(
        command(tmp_path, "-q", *STRONG), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (file.exists() and file.stat().st_size):
        assert process.poll() is None, "the build ended before the stage began"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = plum_hub(command(tmp_path, "-q", *STRONG))
    assert done.returncode == 0, done.stderr
    for each in KINDS:
        mine, wanted = rows(tmp_path / "run", each), rows(filtered / "run", each)
        assert sorted(map(json.dumps, mine)) == sorted(map(json.dumps, wanted)), each


def test_measuring_alone_leaves_nothing_out_and_by_default_nothing_is_measured(tmp_path: Path) -> None:
    write_weak(tmp_path)
    assert plum_hub(command(tmp_path, "-q", run="plain")).returncode == 0
    assert not (tmp_path / "plain" / "shards" / "00000" / "strengths.jsonl").exists()
    assert plum_hub(command(tmp_path, "-q", "--set", "suites.strength=true")).returncode == 0
    assert rows(tmp_path / "run", "suites") == rows(tmp_path / "plain", "suites")
    assert rows(tmp_path / "run", "samples") == rows(tmp_path / "plain", "samples")
    assert {row["id"] for row in rows(tmp_path / "run", "strengths")} == {
        row["id"] for row in rows(tmp_path / "run", "suites")
    }


def test_tests_of_the_rows_are_filtered_too(tmp_path: Path) -> None:
    tests = ["assert clamp(5, 0, 10) == 5", "assert clamp(-1, 0, 10) == 0", "assert clamp(-2, 0, 10) == 0"]
    strong = [*tests[:2], "assert clamp(12, 0, 10) == 10", "assert clamp(13, 0, 9) == 9"]
    with (tmp_path / "tasks.jsonl").open("w") as file:
        for number, its in enumerate((tests, strong)):
            text = f"Write a Python function `clamp(x, low, high)` that keeps x between low and high; variant {number}."
            file.write(json.dumps({"instruction": text, "test_list": its, "code": CLAMP}) + "\n")
    (tmp_path / "answers.jsonl").write_text(
        json.dumps({"contains": "clamp", "texts": [f"```python\n{CLAMP}```"]}) + "\n"
    )
    done = plum_hub(command(tmp_path, "-q", "--suites", "rows", *STRONG))
    assert [row["reason"] for row in rows(tmp_path / "run", "dropped") if row["stage"] == "suites"] == ["weak"], (
        done.stderr
    )
    assert [len(row["cases"]) for row in rows(tmp_path / "run", "suites")] == [4]
