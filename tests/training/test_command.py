"""`plum-hub train` as its user meets it."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from plum_hub.cli import cli
from plum_hub.errors import EngineError, RunError, TrainingError
from plum_hub.hubs.client import choose_target, connected
from tests.training import toy

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("one_thread")]


def said(arguments: list[str]) -> str:
    done = CliRunner().invoke(cli, arguments[3:], catch_exceptions=False)  # without the interpreter and its -m
    assert done.exit_code == 0
    return done.stdout


def test_preflight_shows_and_trains_nothing(source: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = json.loads(said(toy.command(source, tiny, out, "--preflight", "--json", "--launch", "2")))
    assert found["processes"] == 2
    assert found["preflight"]["same_prompt_rate"] == found["preflight"]["single_label_rate"] == 0
    assert found["rows"]["epochs"] == [{"rows": 72, "left_out": {}}]
    text = said(toy.command(source, tiny, out, "--preflight"))
    assert "72, 0.00% of one prompt, 0 across batches" in text
    assert "LoRA, fp32" in text
    assert not out.exists()
    with pytest.raises(TrainingError, match="--preflight is for kto"):
        said(toy.command(source, tiny, out, "--preflight", "--method", "sft"))


def test_what_a_scarce_label_costs_is_said(tiny: Path, tmp_path: Path) -> None:
    rows = [row | {"label": row["label"] and number % 12 == 1} for number, row in enumerate(toy.rows())]
    path = toy.write(tmp_path / "rows.jsonl", rows)
    line = toy.command(path, tiny, tmp_path / "out", "--preflight")
    text = said([*line, "--set", "batch_size=4"])
    assert "24 rows; left out: 48 no row of the other label left to stand beside it" in text
    assert "--set batch_size=12 would fit nearly all of them" in text
    assert "72 rows; left out: none" in said(line)  # batches are as large as that takes, when nobody says how large
    assert json.loads(said([*line, "--json"]))["decided"]["batch_size"] == 12


def test_a_training_says_what_it_did(source: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = said(toy.command(source, tiny, out, "--method", "sft", "--quiet"))
    assert "36 of 12 instructions; left out: none" in text
    assert (out / "training.json").exists()
    assert f"curves         {out / 'report'}" in text.replace("\n", "")
    assert {path.name for path in (out / "report").iterdir()} == {"loss.png", "accuracy.png"}
    again = json.loads(said(toy.command(source, tiny, out, "--method", "sft", "--json", "--quiet")))
    assert again["finished"]
    assert again["checkpoint"] == str(out)


def test_a_folder_of_rows_is_only_read(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows").mkdir()
    toy.write(tmp_path / "rows" / "train.jsonl", toy.rows())
    line = toy.command(Path("rows"), tiny, tmp_path, "--method", "sft", "--json", "--quiet")
    del line[line.index("--out") : line.index("--out") + 2]
    for _ in range(2):
        assert json.loads(said(line))["checkpoint"] == "runs/train-rows-sft"
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["train.jsonl"]


def test_what_is_wrong_with_the_folder_is_said_before_processes_start(
    source: Path, tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="holds files that do not belong to a training"):
        said(toy.command(source, tiny, tmp_path, "--launch", "2"))
    with pytest.raises(RunError, match="Not a directory"):
        said(toy.command(source, tiny, tmp_path / "file" / "out", "--launch", "2"))
    assert not capfd.readouterr().err


def test_tensorboard_has_the_metrics(source: Path, tiny: Path, tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    out = tmp_path / "out"
    said(toy.command(source, tiny, out, "--quiet", "--set", "report_to=tensorboard"))
    (events,) = (out / "tensorboard").iterdir()
    found = reader.EventAccumulator(str(events))
    found.Reload()
    rewards = [row["rewards/margins"] for row in toy.metrics(out)]
    assert [point.value for point in found.Scalars("train/rewards/margins")] == pytest.approx(rewards)


@pytest.mark.parametrize("revision", ["0" * 40, "v9"])
def test_a_base_that_is_gone_is_told_at_once(
    revision: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a commit, which libraries would look for again and again before they give up."""
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "home"))
    line = toy.command(source, Path(f"me/gone@{revision}"), tmp_path / "out")
    with connected(choose_target("embedded")) as target:
        for where, told in (
            (target.endpoint, "the Hub has no model me/gone"),
            ("http://127.0.0.1:9", "no Hub answers"),
        ):
            environment = toy.environment(HF_HOME=str(tmp_path / "cache"), HF_HUB_OFFLINE="0", HF_ENDPOINT=where)
            done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == EngineError.exit_code
            assert told in done.stderr
            assert len(done.stderr.splitlines()) == 1
