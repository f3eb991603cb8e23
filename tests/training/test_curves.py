"""The curves of a training: every metric that was logged has its line, and no picture is empty."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from plum_hub.errors import RunError, TrainingError
from plum_hub.training.curves import draw


def logged(path: Path, steps: int, **values: float) -> Path:
    path.write_text("".join(json.dumps({"step": step, **values}) + "\n" for step in range(1, steps + 1)))
    return path


PREFERENCE: dict[str, float] = {
    "loss": 0.5, "rewards/chosen": 0.1, "rewards/rejected": -0.1, "rewards/margins": 0.2, "logps/chosen": -9.0,
    "logps/rejected": -12.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (PREFERENCE | {"kl": 0.3}, ["loss", "rewards", "margins", "logps", "kl"]),
        (PREFERENCE, ["loss", "rewards", "margins", "logps"]),
        ({"loss": 2.0, "mean_token_accuracy": 0.5}, ["loss", "accuracy"]),
    ],
    ids=["kto", "dpo", "sft"],
)
def test_each_method_has_its_pictures(values: Mapping[str, float], names: list[str], tmp_path: Path) -> None:
    drawn = draw(logged(tmp_path / "metrics.jsonl", 30, **values), tmp_path / "report")
    assert drawn == [tmp_path / "report" / f"{name}.png" for name in names]
    for path in drawn:
        head = path.read_bytes()[:24]
        assert head.startswith(b"\x89PNG")
        assert struct.unpack(">II", head[16:24]) == (960, 480)


def test_equal_metrics_give_equal_bytes_and_others_do_not(tmp_path: Path) -> None:
    one, same, other = (
        draw(logged(tmp_path / f"{name}.jsonl", 3, loss=loss), tmp_path / name)[0].read_bytes()
        for name, loss in (("one", 0.5), ("same", 0.5), ("other", 0.4))
    )
    assert one == same
    assert one != other


def test_what_was_not_logged_is_not_drawn(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": 1, "loss": float("nan"), "rewards/margins": 0.1, "kl": 0.0}, {"step": 2, "kl": 0.2}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 3, "k')
    assert [picture.stem for picture in draw(path, tmp_path / "report")] == ["margins", "kl"]
    assert draw(tmp_path / "none.jsonl", tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_metrics_that_cannot_be_read_and_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("no metrics\n")
    with pytest.raises(TrainingError, match=r"restore the training.s metrics"):
        draw(broken, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        draw(logged(tmp_path / "metrics.jsonl", 1, loss=1.0), tmp_path / "file")
