"""A run from a release: the same rows, nothing to be sampled or judged again, and published anew."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rehearsal import plum_hub, published, rows, write_rehearsal

CLI = [sys.executable, "-m", "plum_hub"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with one release of the run `run`: local/numbers@v1.0.0."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLUM_HUB_HOME", str(folder / "home"))
        patch.setenv("HF_HOME", str(folder / "hf"))
        for name in ("HF_TOKEN", "HF_ENDPOINT"):
            patch.delenv(name, raising=False)
        write_rehearsal(folder)
        done = plum_hub(published(folder, "-q", "--repo", "numbers"))
        assert done.returncode == 0, done.stderr
        yield folder


def test_a_run_goes_on_from_a_release(home: Path) -> None:
    pull = [*CLI, "pull", "local/numbers@v1.0.0", "--run", str(home / "pulled")]
    done = plum_hub([*pull, "--json"])
    assert done.returncode == 0, done.stderr
    before = {
        kind: rows(home / "run", kind) for kind in ("instructions", "suites", "samples", "verdicts", "preferences")
    }
    for kind, made in before.items():
        key = str if kind == "instructions" else json.dumps
        wanted = [
            row
            for row in made
            if kind != "instructions" or row["id"] in {s["instruction_id"] for s in before["suites"]}
        ]
        assert sorted(map(key, without_names(rows(home / "pulled", kind)))) == sorted(
            map(key, without_names(wanted))
        ), kind
    summary = json.loads(done.stdout)
    assert summary["wanted"]["samples"] == summary["rows"]["samples"] == len(before["samples"])
    again = plum_hub(pull)
    assert again.returncode == 4
    assert "--run DIR" in again.stderr
    samples = (home / "pulled" / "shards" / "00000" / "samples.jsonl").read_bytes()
    recipe = str(home / "pulled" / "recipe.yaml")
    resumed = plum_hub(
        [*CLI, "build-dataset", "--recipe", recipe, "--run", str(home / "pulled"), "--hub", "none", "-q"]
    )
    assert resumed.returncode == 0, resumed.stderr
    assert (home / "pulled" / "shards" / "00000" / "samples.jsonl").read_bytes() == samples
    pushed = plum_hub([*CLI, "push-dataset", str(home / "pulled"), "--hub", "embedded", "--repo", "mine", "--json"])
    assert pushed.returncode == 0, pushed.stderr
    manifest = json.loads((home / "pulled" / "release" / "dataset" / "manifest.json").read_text())
    assert manifest["lineage"]["suites_from"] == "local/numbers@v1.0.0"
    original = json.loads((home / "run" / "release" / "dataset" / "manifest.json").read_text())
    tables = [{file["path"]: file["sha256"] for file in made["files"] if file["rows"]} for made in (manifest, original)]
    for config in ("kto", "dpo", "sft", "samples", "test_suites"):
        [path] = [path for path in tables[0] if path.startswith(f"{config}/")]
        assert tables[0][path] == tables[1][path], config


def without_names(made: list[dict[str, object]]) -> list[dict[str, object]]:
    """A release names a file of this machine by its last part."""
    return [{key: value for key, value in row.items() if key != "source"} for row in made]


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("local/numbers", 3, "REPO@TAG"),
        ("local/numbers@v9.9.9", 9, "no such revision"),
        ("local/none@v1.0.0", 9, "no dataset"),
    ],
)
def test_what_cannot_be_pulled_leaves_nothing_behind(home: Path, source: str, code: int, words: str) -> None:
    done = plum_hub([*CLI, "pull", source, "--run", str(home / "refused"), "--hub", "embedded"])
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert not [*home.glob("refused*")]
