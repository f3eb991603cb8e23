"""What was made of rows that are gone, or of samples that a benchmark has, is taken back and made again."""

import contextlib
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from plum_hub.pipeline.retraction import retract_removed
from plum_hub.records import Drop, Preference
from plum_hub.run import Run
from tests.rehearsal import command, plum_hub, rows, unchecked, write_rehearsal

Rows: TypeAlias = list[dict[str, Any]]
SETTINGS = ("--set", "preferences.max_per_label=1", "--set", "preferences.seed=1")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run over three tasks."""
    folder = tmp_path_factory.mktemp("retraction")
    write_rehearsal(folder, tasks=3)
    done = plum_hub(command(folder, *SETTINGS))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(built: Path, tmp_path: Path) -> Path:
    """A copy of it beside it, which the same command resumes."""
    copy = built / tmp_path.name
    shutil.copytree(built / "run", copy)
    return copy


def resumed(run: Path, *options: str) -> str:
    """What the command says that resumes the run."""
    done = plum_hub(command(run.parent, *SETTINGS, *options, run=run.name))
    assert done.returncode == 0, done.stderr
    return done.stderr


def rewrite(run: Path, kind: str, change: Callable[[Rows], Rows]) -> None:
    path = run / "shards" / "00000" / f"{kind}.jsonl"
    found = [json.loads(line) for line in unchecked(path.read_text()).splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in change(found)))


def delete(run: Path, kind: str, sample: str) -> None:
    """Delete the line of a sample."""
    key = "id" if kind == "samples" else "sample_id"
    rewrite(run, kind, lambda found: [row for row in found if row[key] != sample])


def labelled(run: Path, label: bool) -> str:
    """A sample with this label."""
    return str(next(row["sample_id"] for row in rows(run, "preferences") if row["label"] is label))


def told(run: Path) -> tuple[dict[str, object], dict[str, object], dict[str, object]]:
    """The verdict, the label and the reason of each sample."""
    verdicts = {str(row["sample_id"]): row["status"] for row in rows(run, "verdicts")}
    labels = {str(row["sample_id"]): row["label"] for row in rows(run, "preferences")}
    reasons = {str(row["id"]): row["reason"] for row in rows(run, "dropped") if row["stage"] == "preferences"}
    assert len(verdicts) == len(rows(run, "verdicts"))
    assert len(labels) == len(rows(run, "preferences"))
    return verdicts, labels, reasons


def test_a_sample_that_is_answered_otherwise_is_judged_and_labelled_anew(run: Path) -> None:
    """The run has the verdict and the label of a passing answer where the engine, asked again, gives a failing one."""
    truth, wrong, right = told(run), labelled(run, False), labelled(run, True)
    cases = next(row["cases"] for row in rows(run, "verdicts") if row["sample_id"] == right)
    rewrite(run, "verdicts", lambda found: [
        {**row, "status": "passed", "cases": cases} if row["sample_id"] == wrong else row for row in found
    ])  # fmt: skip
    rewrite(run, "preferences", lambda found: [
        {**row, "label": True} if row["sample_id"] == wrong else row for row in found if row["sample_id"] != right
    ])  # fmt: skip
    delete(run, "samples", wrong)
    assert "rows are missing of which others were made: 1 verdicts" in resumed(run)
    assert told(run) == truth
    shard = run / "shards" / "00000"
    before = {path: path.read_bytes() for path in shard.iterdir()}
    assert "missing" not in resumed(run)
    assert {path: path.read_bytes() for path in shard.iterdir()} == before, "a whole run is left alone"


def test_the_labels_of_a_suite_are_made_again_with_a_verdict(run: Path) -> None:
    truth, wrong = told(run), labelled(run, False)
    rewrite(run, "preferences", lambda found: [
        {**row, "label": True} if row["sample_id"] == wrong else row for row in found
    ])  # fmt: skip
    delete(run, "verdicts", wrong)
    assert "rows are missing of which others were made: 0 verdicts" in resumed(run)
    assert told(run) == truth


@pytest.mark.parametrize("twice", [False, True])
def test_a_label_that_is_lost_or_there_twice_is_made_again(run: Path, twice: bool) -> None:
    """The advice about a damaged line is to delete it; its suite then had rows that stood apart, and no release."""
    made = rows(run, "preferences")
    rewrite(run, "preferences", lambda found: [*found, found[0]] if twice else found[1:])
    resumed(run)
    found = rows(run, "preferences")
    assert sorted(map(str, found)) == sorted(map(str, made))
    suites = [row["suite_id"] for row in found]
    assert len([suite for suite, _ in itertools.groupby(suites)]) == len(set(suites))


@pytest.mark.parametrize("kind", ["instructions", "responses", "suites", "samples", "verdicts"])
def test_a_row_that_is_there_twice_is_not_released(run: Path, kind: str) -> None:
    rewrite(run, kind, lambda found: [*found, found[0]])
    done = plum_hub(command(run.parent, *SETTINGS, run=run.name))
    assert done.returncode == 4, done.stderr
    assert f"{kind}.jsonl:{len(rows(run, kind))}: is a second row of" in done.stderr
    assert "beside line 1" in done.stderr


def test_a_verdict_is_not_taken_over_for_another_text(built: Path, run: Path) -> None:
    """The older run lacks a sample of which it has the verdict; the new one has asked again, and was killed."""
    old, sample, other = built / f"{run.name}-old", labelled(run, True), labelled(run, False)
    shutil.copytree(run, old)
    delete(old, "samples", sample)
    [wrong] = [row for row in rows(run, "samples") if row["id"] == other]
    rewrite(run, "samples", lambda found: [
        {**row, "text": wrong["text"], "code": wrong["code"]} if row["id"] == sample else row for row in found
    ])  # fmt: skip
    delete(run, "verdicts", sample)
    resumed(run, "--carry-over", str(old))
    [status] = [row["status"] for row in rows(run, "verdicts") if row["sample_id"] == sample]
    assert status != "passed"


def test_samples_that_are_made_again_are_compared_with_benchmarks_again(run: Path) -> None:
    """What was compared is named by the ids of the rows, and these stay the same."""
    path = run / "shards" / "00000" / "comparisons.jsonl"
    whole = {"benchmark": "x", "revision": "1", "tasks": 1, "tests_run": True, "instructions": 3, "found": {}}
    screened = {"id": "1", **whole, "samples": 0}
    path.write_text("".join(json.dumps(row) + "\n" for row in (screened, {"id": "2", **whole, "samples": 18})))
    delete(run, "samples", labelled(run, True))
    resumed(run)
    assert [row["id"] for row in rows(run, "comparisons")] == ["1"]


def test_a_damaged_row_that_was_left_out_is_compared_with_benchmarks_again(run: Path) -> None:
    path = run / "shards" / "00000" / "dropped.jsonl"
    path.write_bytes(b"[" + path.read_bytes()[1:])
    done = plum_hub(command(run.parent, *SETTINGS, run=run.name))
    assert done.returncode == 4, done.stderr
    assert "dropped.jsonl:1: not a row of dropped" in done.stderr
    assert f"delete this line, and {path.with_name('comparisons.jsonl')}, if there, and run" in done.stderr


@pytest.mark.parametrize("killed", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("was", ["labelled", "left out"])
def test_the_labels_of_a_suite_go_with_a_sample_that_a_benchmark_has(
    run: Path, monkeypatch: pytest.MonkeyPatch, killed: int, was: str
) -> None:
    """Killed before any file is replaced, the next call ends with the same rows."""
    sample, view = labelled(run, True), Run.open(run)
    [instruction] = {row.instruction_id for row in view.rows(Preference) if row.sample_id == sample}

    def left(view: Run) -> list[object]:
        labels = [row for row in view.rows(Preference) if row.instruction_id == instruction]
        return [
            *labels,
            *(row for row in view.rows(Drop) if (row.stage, row.instruction_id) == ("preferences", instruction)),
        ]

    if was == "left out":
        sample = next(row.id for row in left(view) if isinstance(row, Drop))
    others = sum(1 for _ in view.rows(Preference)) - sum(isinstance(row, Preference) for row in left(view))

    class Killed(BaseException):
        pass

    moved, replace = 0, Path.replace

    def replace_or_die(self: Path, target: Path) -> Path:
        nonlocal moved
        if moved == killed:
            raise Killed
        moved += 1
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_or_die)
        with contextlib.suppress(Killed):
            retract_removed(view, {sample})
    retract_removed(view, {sample})
    assert left(Run.open(run)) == []
    assert sum(1 for _ in view.rows(Preference)) == others
