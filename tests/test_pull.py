"""A run from a release: the same rows, nothing to be sampled or judged again, and published anew."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plum_hub.publishing.row_versions import row_versions
from plum_hub.records import Drop, Instruction, Preference, Sample, TestSuite, Verdict, to_json
from plum_hub.run import Run
from tests.rehearsal import plum_hub, published, rows, set_home, write_rehearsal

CLI = [sys.executable, "-m", "plum_hub"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with one release of the run `run`: local/numbers@v1.0.0."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        set_home(patch, folder)
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


@pytest.mark.usefixtures("home")
def test_a_release_is_pulled_into_the_empty_folder_that_one_is_in(tmp_path: Path) -> None:
    (tmp_path / ".partial").mkdir()  # of a call that was killed
    done = subprocess.run(
        [*CLI, "pull", "local/numbers@v1.0.0", "--run", "."], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / ".partial").exists()
    assert rows(tmp_path, "samples")
    assert Run.open(tmp_path).recipe.suites.source == "local/numbers@v1.0.0"


def test_a_pulled_run_states_the_packages_that_made_its_rows(home: Path, tmp_path: Path) -> None:
    """They are not those of this machine; nor are they of a run that takes rows over."""
    environments = home / "run" / "environments.jsonl"
    before, made = environments.read_bytes(), {"python": "3.9.0, 3.9.1", "vllm": "0.1"}
    environments.write_text('{"python":"3.9.0"}\n{"python":"3.9.1","vllm":"0.1"}\n')
    push = [*CLI, "push-dataset", str(home / "run"), "--hub", "embedded", "--repo", "elsewhere"]
    assert plum_hub(push).returncode == 0
    environments.write_bytes(before)
    pulled = tmp_path / "pulled"
    assert plum_hub([*CLI, "pull", "local/elsewhere@v1.0.0", "--run", str(pulled)]).returncode == 0
    assert [*Run.open(pulled).environments()] == [made]
    assert row_versions(Run.open(pulled)).packages == made
    recipe = ["--recipe", str(pulled / "recipe.yaml"), "--run", str(tmp_path / "next"), "--carry-over", str(pulled)]
    model = ["--model", f"scripted:{home / 'answers.jsonl'}"]
    done = plum_hub([*CLI, "build-dataset", *recipe, *model, "--hub", "none", "-q"])
    assert done.returncode == 0, done.stderr
    assert made in [*Run.open(tmp_path / "next").environments()]
    assert row_versions(Run.open(tmp_path / "next")).packages["vllm"] == "0.1"


@pytest.mark.usefixtures("home")
def test_a_large_release_becomes_a_run_of_several_shards(tmp_path: Path) -> None:
    pull = [*CLI, "pull", "local/numbers@v1.0.0", "--run"]
    assert plum_hub([*pull, str(tmp_path / "one")]).returncode == 0
    small = "from plum_hub.pipeline import pull, shards\nshards.SHARD_INSTRUCTIONS, pull._OPEN_SHARDS = 1, 2\n"
    main = "from plum_hub.cli import main\nmain()"
    done = plum_hub([sys.executable, "-c", small + main, *pull[3:], str(tmp_path / "many")])
    assert done.returncode == 0, done.stderr
    one, many = Run.open(tmp_path / "one"), Run.open(tmp_path / "many")
    assert len(one.names) == 1
    assert len(many.names) == sum(1 for _ in one.rows(Instruction)) > 2
    for kind in (Instruction, TestSuite, Sample, Verdict, Preference, Drop):
        found = [to_json(row) for row in many.rows(kind)]
        assert [to_json(row) for row in one.rows(kind)] == found if kind is not Drop else sorted(found, key=json.dumps)
    for shard in many.shards:  # everything made of an instruction lies beside it
        for kind in (TestSuite, Sample, Verdict, Preference):
            assert {name for (name,) in shard.columns(kind, "instruction_id")} <= shard.ids(Instruction)
    resumed = plum_hub([*CLI, "build-dataset", "--recipe", str(many.folder / "recipe.yaml"), "--run", str(many.folder),
                        "--hub", "none", "-q", "--json"])  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr
    assert sum(1 for _ in many.rows(Sample)) == sum(1 for _ in one.rows(Sample))


def without_names(made: list[dict[str, object]]) -> list[dict[str, object]]:
    """A release names a file of this machine by its last part."""
    return [{key: value for key, value in row.items() if key != "source"} for row in made]


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("local/numbers", 2, "write it as REPO@TAG"),
        ("local/numbers@v9.9.9", 9, "has no version v9.9.9; name one of: v1.0.0"),
        ("local/none@v1.0.0", 9, "no dataset"),
    ],
)
def test_what_cannot_be_pulled_leaves_nothing_behind(home: Path, source: str, code: int, words: str) -> None:
    done = plum_hub([*CLI, "pull", source, "--run", str(home / "refused"), "--hub", "embedded"])
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert not [*home.glob("refused*")]


def test_a_tag_that_was_moved_is_not_pulled(home: Path) -> None:
    """As `plum_hub.load` and `verify` notice it, so does what begins from a release."""
    pull = [*CLI, "pull", "local/numbers@v1.0.0", "--hub", "embedded", "--run"]
    assert plum_hub([*pull, str(home / "before")]).returncode == 0
    (repository,) = (home / "home" / "hub").rglob("numbers*.git")
    git = ["git", "--git-dir", str(repository)]
    commit, parent = plum_hub([*git, "rev-parse", "v1.0.0^{commit}", "v1.0.0^{commit}^"]).stdout.split()
    try:
        assert plum_hub([*git, "tag", "-f", "v1.0.0", parent]).returncode == 0
        done = plum_hub([*pull, str(home / "moved")])
    finally:
        assert plum_hub([*git, "tag", "-f", "v1.0.0", commit]).returncode == 0
    assert done.returncode == 9, done.stderr
    assert f"is commit {parent} now, and was {commit}" in done.stderr
    assert not [*home.glob("moved*")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["pull", "{}", "--run", "no"],
        ["views", "{}"],
        ["report", "{}"],
        ["verify", "{}"],
        ["strengthen", "{}", "--dry-run"],
        ["build-dataset", "--model", "scripted:answers.jsonl", "--suites", "{}"],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("local/numbers@v9.9.9", "local/numbers.* has no (such revision|version)"),
        ("local/none@v1.0.0", "has no local/none"),
    ],
    ids=["version", "name"],
)
def test_a_slip_in_the_name_of_a_release_is_told_by_the_hub_that_was_meant(
    home: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], release: str, words: str
) -> None:
    monkeypatch.chdir(home)
    command = [*CLI, *(word.format(release) for word in arguments)]
    done = plum_hub(command, HF_ENDPOINT="http://127.0.0.1:9")
    last = done.stderr.strip().splitlines()[-1]
    assert (done.returncode, bool(re.match(f"plum-hub: .*{words}", last))) == (9, True), done.stderr
