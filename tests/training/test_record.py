"""`training.json` and `rounds.jsonl`: one model writes and reads each, in the format of every earlier version."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from plum_hub.errors import RunError, TrainingError
from plum_hub.lines import object_of, whole_lines
from plum_hub.publishing.repository import Released, record_release
from plum_hub.release.record import read_releases
from plum_hub.rounds.folder import RoundsFolder
from plum_hub.rounds.record import RoundRecord
from plum_hub.training.checkpoint import RECORD, STEPS, TrainingFolder, mark_complete
from plum_hub.training.record import TrainingRecord
from plum_hub.training.settings import TrainingSettings
from tests.training.records import ROUND, TRAINING


def whole() -> dict[str, object]:
    """The record with every setting, as it is written."""
    return TRAINING | {"settings": TrainingSettings(report_to=("trackio",)).model_dump(mode="json")}


def test_a_training_is_written_as_it_was_read(tmp_path: Path) -> None:
    text = json.dumps(whole(), indent=2, ensure_ascii=False) + "\n"
    (tmp_path / RECORD).write_text(text)
    folder = TrainingFolder(tmp_path)
    record = folder.record()
    assert record is not None
    assert record.seconds is not None
    assert (record.seconds.of_last_start, record.seconds.from_step) == (1.0, 0)
    folder.write(record)
    assert (tmp_path / RECORD).read_text() == text


def test_a_checkpoint_may_have_folders(tmp_path: Path) -> None:
    """As DeepSpeed's and those of sharded weights do: the first one ended the training."""
    step = tmp_path / STEPS / "checkpoint-25"
    (step / "global_step25" / "rank").mkdir(parents=True)
    for path in (step / "latest", step / "global_step25" / "rank" / "states.pt"):
        path.write_text("x")
    folder = TrainingFolder(tmp_path)
    assert folder.last_step() is None
    mark_complete(step)
    assert folder.last_step() == step
    folder.clean()
    assert (step / "global_step25" / "rank" / "states.pt").exists()


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text(""), lambda path: path.write_text("xy")])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    """It ended in a traceback, or was taken for Ctrl-C, at each start."""
    steps = [tmp_path / STEPS / f"checkpoint-{number}" for number in (2, 4, 6)]
    for step in steps:
        (step / "rank").mkdir(parents=True)
        (step / "rank" / "optimizer.pt").write_text("x")
    first, last, _ = steps
    mark_complete(last)
    (first / "complete").touch()  # an earlier version wrote no sizes
    folder = TrainingFolder(tmp_path)
    assert folder.last_step() == last
    damage(last / "rank" / "optimizer.pt")
    assert folder.last_step() == first
    assert folder.clean() == [last]
    assert [step.exists() for step in steps] == [True, False, False]


def test_a_training_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    old = deepcopy(whole())
    for key in ("batch_size", "accumulation"):  # were fixed defaults of the settings
        del old["decided"][key]  # type: ignore[attr-defined]
    old["settings"] |= {"batch_size": 4, "accumulation": 8}  # type: ignore[operator]
    for key in ("seconds", "peak_gb"):
        del old[key]
    (tmp_path / RECORD).write_text(json.dumps(old | {"finished": False}))
    record = TrainingFolder(tmp_path).record()
    assert record is not None
    assert json.loads(record.to_json()) == old | {"finished": False}
    resolved = record.decided.apply(record.settings)
    assert (resolved.batch_size, resolved.accumulation, resolved.precision) == (4, 8, "bf16")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"finished": "yes"}, "finished"),
        ({"rows": {}}, "rows.read"),
        ({"data": None}, "data"),
        ({"steps": 1.5}, "steps"),
    ],
)
def test_a_damaged_training_is_named_in_a_line(change: dict[str, object], named: str, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(json.dumps(whole() | change))
    with pytest.raises(
        TrainingError, match=rf"training\.json: cannot be read \({named}: .*name another folder"
    ) as caught:
        TrainingFolder(tmp_path).record()
    assert "\n" not in str(caught.value)


def test_rounds_are_written_as_they_were_read(tmp_path: Path) -> None:
    public = ROUND | {"model": ROUND["model"] | ROUND["dataset"]}
    none = dict.fromkeys(("repo", "tag", "commit", "hub"))
    folder = RoundsFolder(tmp_path)
    for row in (ROUND, public, ROUND | {"dataset": none}):
        folder.append(RoundRecord.from_json(json.dumps(row).encode()))
    lines = [object_of(line) for _, line in whole_lines(tmp_path / "rounds.jsonl")]
    assert lines == [ROUND, public, ROUND | {"dataset": none}]
    first = folder.records()[0]
    assert (first.gain.significant, first.model.repo, first.dataset.repo) == (True, None, "a/b")
    (tmp_path / "rounds.jsonl").write_text(json.dumps(ROUND | {"gain": {"low": 0.1}}) + "\n")
    with pytest.raises(RunError, match=r"rounds\.jsonl:1: not the record of a round \(gain\."):
        folder.records()


def test_a_release_is_recorded_once_and_a_pull_request_never(tmp_path: Path) -> None:
    place = {"repo": "a/b", "commit": "c", "hub": "public", "url": "u", "load_line": "l"}
    released = Released(folder="f", tag="v1.0.0", **place)
    for one in (Released(folder="f"), Released(folder="f", **place), released, released):
        record_release(tmp_path, one, model="sha256:0", licence="mit")
    ((_, line),) = whole_lines(tmp_path / "releases.jsonl")
    row = object_of(line)
    keys = ["at", "folder", "repo", "tag", "commit", "url", "hub", "endpoint", "load_line", "model", "license"]
    assert list(row) == keys
    assert (row["tag"], row["endpoint"], row["license"]) == ("v1.0.0", None, "mit")
    (tmp_path / "releases.jsonl").write_text(
        '{"repo":"a/b","tag":"v1","commit":"c"}\n{"repo":"a/b","tag":null,"commit":"d"}\n'
    )
    assert [one.tag for one in read_releases(tmp_path)] == ["v1", None]  # as early versions wrote them
    (tmp_path / "releases.jsonl").write_text('{"repo":"a/b","tag":"v1"}\n')
    with pytest.raises(RunError, match=r"releases\.jsonl:1: not a release \(commit: Field required\)"):
        read_releases(tmp_path)


def test_sections_that_a_training_may_lack_are_not_written() -> None:
    record = TrainingRecord.from_json(json.dumps(whole()).encode())
    assert "preflight" not in json.loads(record.to_json())
    assert "columns_not_read" not in json.loads(record.to_json())["rows"]
