"""Which evaluations are taken for which training, and what is said where none is."""

import json
import shutil
from pathlib import Path

import pytest

from plum_hub.engines.revision import folder_sha256
from plum_hub.errors import RunError
from plum_hub.reports.content import ReportContent
from plum_hub.reports.gather import gather
from tests.reports.experiment import write_scores, write_training

BASE, BETTER = {"a": 1, "b": 0}, {"a": 1, "b": 1}


def content(*folders: Path) -> ReportContent:
    return gather([str(folder) for folder in folders], "auto", None).content


def compared(found: ReportContent) -> set[tuple[str, str, str]]:
    """Each training with the evaluations of its model and of its base."""
    return {(one.training, one.after, one.before) for one in found.gains}


def write_small(experiment: Path) -> None:
    write_training(experiment / "training" / "kto")
    write_scores(experiment / "evaluation" / "base", "r", BASE)
    write_scores(experiment / "evaluation" / "kto", "trained", BETTER)


def test_each_of_two_experiments_has_its_own_scores(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_small(tmp_path / "runs" / name)
    found = content(tmp_path / "runs")
    assert compared(found) == {
        (f"runs/{name}/training/kto", f"runs/{name}/evaluation/kto", f"runs/{name}/evaluation/base")
        for name in ("one", "other")
    }
    assert found.notes == ()


def test_an_experiment_without_evaluations_does_not_get_those_of_another(tmp_path: Path) -> None:
    write_small(tmp_path / "runs" / "one")
    write_training(tmp_path / "runs" / "other" / "training" / "kto")
    found = content(tmp_path / "runs")
    assert {training for training, _, _ in compared(found)} == {"runs/one/training/kto"}
    (note,) = found.notes
    assert note.startswith("runs/other/training/kto: none of the evaluations is of its model")


@pytest.mark.parametrize("second", ["again/kto", "other/evaluation/kto"])
def test_scores_of_equally_near_evaluations_are_not_taken(second: str, tmp_path: Path) -> None:
    write_small(tmp_path / "runs")
    write_scores(tmp_path / "runs" / second, "third", BETTER)
    found = content(tmp_path / "runs")
    assert found.gains == ()
    assert f"runs/{second} and runs/evaluation/kto have the same name" in found.notes[0] or (
        f"runs/evaluation/kto and runs/{second} have the same name" in found.notes[0]
    )


def test_scores_to_which_two_trainings_are_equally_near_are_not_taken(tmp_path: Path) -> None:
    write_small(tmp_path / "runs")
    write_training(tmp_path / "runs" / "again" / "kto")
    found = content(tmp_path / "runs")
    assert found.gains == ()
    assert all("have the same name and are equally near; report one of them" in note for note in found.notes)
    assert len(found.notes) == 2


@pytest.mark.parametrize(
    "protocol", [{}, {"name": "evalplus", "version": "0.3.1"}], ids=["alike", "by-another-protocol"]
)
def test_of_two_evaluations_of_a_base_the_comparable_one_is_taken(protocol: dict[str, str], tmp_path: Path) -> None:
    write_small(tmp_path / "runs")
    write_scores(tmp_path / "runs" / "evaluation" / "base-again", "r", BETTER, protocol=protocol)
    found = content(tmp_path / "runs")
    if protocol:
        assert {before for _, _, before in compared(found)} == {"runs/evaluation/base"}
        assert found.notes == ()
    else:
        assert found.gains == ()
        assert "runs/evaluation/base and runs/evaluation/base-again are evaluations of it" in found.notes[0]


def test_of_equal_evaluations_of_a_base_one_is_taken(tmp_path: Path) -> None:
    write_small(tmp_path / "runs")
    write_scores(tmp_path / "runs" / "evaluate-m", "r", BASE)
    write_scores(tmp_path / "runs" / "evaluation" / "base-again", "r", BASE)
    found = content(tmp_path / "runs")
    assert {before for _, _, before in compared(found)} == {"runs/evaluation/base"}
    assert found.notes == ()


def test_each_evaluation_of_an_experiment_is_compared_with_its_own_of_the_base(tmp_path: Path) -> None:
    """With `evaluation.sampled` there are two of each model; no gain was reported at all."""
    write_small(tmp_path / "runs")
    file = tmp_path / "runs" / "training" / "kto" / "config.json"
    file.write_text("{}")
    revision = f"sha256:{folder_sha256(file.parent)}"
    for name, of, passed in (("base", "r", BASE), ("kto", revision, BETTER)):
        for ending, asked in (("", {}), ("-sampled", {"samples": 10, "temperature": 0.2})):
            folder = tmp_path / "runs" / "evaluation" / f"{name}{ending}"
            shutil.rmtree(folder, ignore_errors=True)
            write_scores(folder, of, passed)
            record = json.loads((folder / "scores.json").read_text())
            record["scores"] = [score | asked for score in record["scores"]]
            (folder / "scores.json").write_text(json.dumps(record))
    found = content(tmp_path / "runs")
    assert compared(found) == {
        ("runs/training/kto", f"runs/evaluation/kto{ending}", f"runs/evaluation/base{ending}")
        for ending in ("", "-sampled")
    }
    assert found.notes == ()


@pytest.mark.parametrize("config", ["adapter_config.json", "config.json", "merged/config.json"])
def test_a_model_is_known_by_its_files_whatever_it_was_called(config: str, tmp_path: Path) -> None:
    write_training(tmp_path / "runs" / "lora")
    file = tmp_path / "runs" / "lora" / config
    file.parent.mkdir(exist_ok=True)
    file.write_text("{}")
    revision = f"sha256:{folder_sha256(file.parent)}"
    model = {"type": "transformers", "model": "runs/lora", "revision": revision}
    write_scores(tmp_path / "runs" / "evaluate-lora", revision, BETTER, model=model)
    write_scores(tmp_path / "runs" / "evaluate-m", "r", BASE)
    assert compared(content(tmp_path / "runs")) == {("runs/lora", "runs/evaluate-lora", "runs/evaluate-m")}


def test_a_model_is_known_by_the_relative_path_that_was_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_training(tmp_path / "runs" / "lora")
    model = {"type": "transformers", "model": "runs/lora", "revision": "sha256:gone"}
    write_scores(tmp_path / "runs" / "evaluate-lora", "sha256:gone", BETTER, model=model)
    write_scores(tmp_path / "runs" / "evaluate-m", "r", BASE)
    monkeypatch.chdir(tmp_path)
    assert compared(content(Path("runs"))) == {("runs/lora", "runs/evaluate-lora", "runs/evaluate-m")}


def test_weights_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write_small(tmp_path / "runs")
    folder = tmp_path / "runs" / "training" / "kto"
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").mkdir()  # as a volume that was not mounted leaves it
    with pytest.raises(RunError, match=r"model\.safetensors: cannot be read \(Is a directory\)"):
        content(tmp_path / "runs")


def test_a_training_that_was_not_evaluated_is_a_note(tmp_path: Path) -> None:
    write_training(tmp_path / "runs" / "lora")
    assert content(tmp_path / "runs").notes == ()  # nothing was evaluated, as the tables say
    write_scores(tmp_path / "runs" / "evaluate-m", "r", BASE)
    (note,) = content(tmp_path / "runs").notes
    assert note == "runs/lora: none of the evaluations is of its model; evaluate it, and name that folder too"


def test_a_copy_of_a_training_has_the_scores_of_its_own_folder(tmp_path: Path) -> None:
    for name in ("one", "copy"):
        folder = tmp_path / "runs" / name
        write_small(folder)
        (folder / "training" / "kto" / "adapter_config.json").write_text("{}")
        revision = f"sha256:{folder_sha256(folder / 'training' / 'kto')}"
        write_scores(folder / "evaluation" / "more", revision, BETTER)
    assert {(training.split("/")[1], after) for training, after, _ in compared(content(tmp_path / "runs"))} == {
        (name, f"runs/{name}/evaluation/more") for name in ("one", "copy")
    }
