"""`plum-hub run RECIPE`: a tiny model is sampled, trained in two ways, evaluated and released; killed on the way."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from plum_hub.cli import cli
from plum_hub.errors import NothingToReleaseError, PlumError, RecipeError, RunError, UsageError
from plum_hub.experiments.folder import ExperimentFolder
from plum_hub.experiments.results import ExperimentRecord
from plum_hub.rounds.folder import RoundsFolder
from plum_hub.run import Run
from tests.rehearsal import rows
from tests.training import toy
from tests.training.solver import write_solver, write_tasks

pytestmark = pytest.mark.filterwarnings("default")

HUMANEVAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "humaneval" / "HumanEval.jsonl.gz"
EVALUATED = HUMANEVAL.is_file()


def write_recipe(folder: Path) -> Path:
    write_solver(folder / "solver")
    write_tasks(folder, 8)
    tree = {
        "data": {
            "policy": f"transformers:{folder / 'solver'}",
            "generator": f"scripted:{folder / 'generator.jsonl'}",
            "instructions": {"source": str(folder / "tasks.jsonl"), "near_duplicates": 1.0},
            "suites": {"responses": 1},
            "samples": {"per_instruction": 6, "max_tokens": 48, "temperature": 1.0},
            "decontamination": {"benchmarks": []},
        },
        "training": {
            "methods": ["sft", {"method": "kto", "rejected": "both", "settings": {"learning_rate": 1e-3}}],
            "settings": {
                "accumulation": 1, "precision": "fp32", "lora_rank": 4, "max_length": 512, "checkpoint_every": 2,
            },
        },
        "evaluation": {"benchmarks": ["humaneval"] if EVALUATED else [], "limit": 3, "max_tokens": 32},
        "release": {"dataset": "solved", "model": "solver-{name}"},
    }  # fmt: skip
    recipe = folder / "experiment.yaml"
    recipe.write_text(yaml.safe_dump(tree))
    return recipe


def line(recipe: Path, *options: str) -> list[str]:
    data = ["--benchmark-data", str(HUMANEVAL)] if EVALUATED else []
    return ["run", str(recipe), "--run", str(recipe.parent / "run"), "--hub", "embedded", "--json", *data, *options]


def said(arguments: list[str]) -> dict[str, Any]:
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refusal(arguments: list[str], kind: type[PlumError]) -> str:
    with pytest.raises(kind) as caught:
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def circle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """An experiment that was killed while its second method was trained, and what it said when it ended."""
    folder = tmp_path_factory.mktemp("experiment")
    recipe = write_recipe(folder)
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {**toy.environment(), "PLUM_HUB_HOME": str(folder / "home")}.items():
            patch.setenv(key, value)
        process = subprocess.Popen(
            [sys.executable, "-m", "plum_hub", *line(recipe, "--quiet")], stdout=subprocess.DEVNULL
        )
        metrics = folder / "run" / "training" / "kto-both" / "metrics.jsonl"
        while not metrics.exists() or not metrics.read_bytes():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        made = (folder / "run" / "data" / "shards" / "00000" / "samples.jsonl").read_bytes()
        trained = (folder / "run" / "training" / "sft" / "training.json").read_bytes()
        found = said(line(recipe))
    assert (folder / "run" / "data" / "shards" / "00000" / "samples.jsonl").read_bytes() == made
    assert (folder / "run" / "training" / "sft" / "training.json").read_bytes() == trained
    return recipe, found


def test_methods_share_samples_and_verdicts(circle: tuple[Path, dict[str, Any]]) -> None:
    run = circle[0].parent / "run"
    assert rows(run / "data", "samples") == rows(run / "data-both", "samples")
    assert rows(run / "data", "verdicts") == rows(run / "data-both", "verdicts")
    assert [Run.open(run / name).recipe.preferences.rejected for name in ("data", "data-both")] == ["failing", "both"]
    for name, data in (("sft", "data"), ("kto-both", "data-both")):
        record = json.loads((run / "training" / name / "training.json").read_text())
        assert (record["finished"], record["on_policy"], record["data"]["name"]) == (True, True, data)
    assert (
        json.loads((run / "training" / "kto-both" / "training.json").read_text())["settings"]["learning_rate"] == 1e-3
    )


def test_results_are_kept(circle: tuple[Path, dict[str, Any]]) -> None:
    recipe, found = circle
    run = recipe.parent / "run"
    record = ExperimentRecord.from_json((run / "results.json").read_bytes())
    assert {"run": str(run), **record.model_dump(mode="json")} == found
    assert [(one.name, one.method, one.rejected) for one in record.models] == [
        ("sft", "sft", None), ("kto-both", "kto", "both"),
    ]  # fmt: skip
    assert [one.folder for one in record.datasets] == ["data", "data-both"]
    assert record.datasets[0].chosen == record.models[0].chosen > 0
    text = (run / "results.md").read_text()
    assert "local/solved@v1.0.0" in text
    assert "local/solver-kto-both@v1.0.0" in text


@pytest.mark.skipif(not EVALUATED, reason="needs ../shared/data/humaneval")
def test_models_are_compared_problem_by_problem(circle: tuple[Path, dict[str, Any]]) -> None:
    pairs = [(one["first"], one["second"]) for one in circle[1]["comparisons"]]
    assert pairs == [("base", "sft"), ("base", "kto-both"), ("sft", "kto-both")]
    for one in circle[1]["comparisons"]:
        assert {gain["problems"] for gain in one["gains"]} == {3}
        assert one["notes"] == []
    folder = circle[0].parent / "run" / "evaluation"
    scores = [json.loads((folder / name / "scores.json").read_text())["scores"][0] for name in ("base", "kto-both")]
    revisions = [score["model_revision"] for score in scores]
    assert revisions[0] == Run.open(circle[0].parent / "run" / "data").recipe.policy.revision != revisions[1]
    assert scores[1]["model"] == "solver-plum-kto-both"
    assert "| humaneval base | 3 | 0.0 | 0.0 (+0.0, -56.1 to +56.1)" in (folder.parent / "results.md").read_text()


def test_what_is_released_is_what_it_says(circle: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUM_HUB_HOME", str(circle[0].parent / "home"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for one in (*circle[1]["datasets"], *circle[1]["models"]):
        release = one["release"]
        assert release["tag"] == "v1.0.0"
        done = CliRunner().invoke(cli, ["verify", f"{release['repo']}@v1.0.0", "--hub", "embedded"])
        assert done.exit_code == 0, done.output
    manifest = circle[0].parent / "run" / "training" / "kto-both" / "release" / "model" / "manifest.json"
    assert json.loads(manifest.read_text())["lineage"]["data"]["repo"] == "local/solved-both"


def test_what_is_done_is_not_done_again(circle: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, found = circle
    monkeypatch.setenv("PLUM_HUB_HOME", str(recipe.parent / "home"))
    run = recipe.parent / "run"
    before = {
        path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name in ("samples.jsonl", "training.json")
    }
    again = said(line(recipe, "--until", "evaluation"))  # to publish once more would load both models
    assert {**again, "at": ""} == {**found, "at": ""}
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_another_experiment_is_not_mixed_in(circle: tuple[Path, dict[str, Any]]) -> None:
    recipe, _ = circle
    assert "evaluation.limit: 3 -> 4" in refusal(line(recipe, "--set", "evaluation.limit=4"), RunError)
    assert "training.methods: sft was" in refusal(line(recipe, "--method", "dpo"), RunError)
    assert "samples.per_instruction: 6 -> 7" in refusal(line(recipe, "--set", "samples.per_instruction=7"), RunError)
    sealed = recipe.parent / "run" / "experiment.yaml"
    text = sealed.read_text()
    sealed.write_text(text.replace("limit: 3", "limit: 4"))
    assert "was edited" in refusal(line(recipe), RunError)
    sealed.write_text(text)
    experiment = ExperimentFolder(sealed.parent).sealed()
    assert experiment is not None
    assert str(experiment.data.policy.revision).startswith("sha256:")


def test_what_cannot_be_run(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    assert "--until data" in refusal(line(recipe, "--model", f"scripted:{tmp_path / 'generator.jsonl'}"), UsageError)
    assert "--repo" in refusal(line(recipe, "--repo", "x"), UsageError)
    assert "no namespace me" in refusal(line(recipe, "--set", "release.model=me/x-{name}"), UsageError)
    assert "evaluation.protocol: nobody" in refusal(line(recipe, "--set", "evaluation.protocol=nobody"), UsageError)
    assert "--list" in refusal(line(tmp_path / "no.yaml"), RecipeError)
    rounds = ["--rounds", "2", "--method", "sft", "--until", "data"]
    assert "end with --until training" in refusal(line(recipe, *rounds), UsageError)
    assert not (tmp_path / "run").exists()
    assert "--until" in refusal(["run", "--model", "x", "--until", "data"], UsageError)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").touch()
    assert "not the folder of an experiment" in refusal(line(recipe), RunError)
    (tmp_path / "answers.jsonl").write_text('{"texts": ["I do not know."]}\n')
    unlabelled = line(recipe, "--model", f"scripted:{tmp_path / 'answers.jsonl'}", "--until", "data")
    refused = refusal([*unlabelled, "--run", str(tmp_path / "unlabelled")], NothingToReleaseError)
    assert "no instruction has a chosen sample" in refused
    assert f"plum-hub status {tmp_path / 'unlabelled' / 'data'}" in refused


def test_rounds_are_part_of_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {**toy.environment(), "PLUM_HUB_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(key, value)
    recipe = write_recipe(tmp_path)
    settings = ["--set", "training.methods=[sft]", "--set", "evaluation.benchmarks=[]"]
    options = [*settings, "--rounds", "2", "--held-out", "0.4", "--quiet"]
    found = said(line(recipe, *options, "--until", "training"))
    assert [one["name"] for one in found["models"]] == ["sft-round-1", "sft-round-2"]
    assert [one["folder"] for one in found["datasets"]] == ["online/rounds/0001", "online/rounds/0002"]
    assert not any(one["release"] for one in (*found["models"], *found["datasets"]))
    second = Run.open(tmp_path / "run" / "online" / "rounds" / "0002").recipe.policy
    assert Path(second.model).name == "solver-round-1"
    experiment = ExperimentFolder(tmp_path / "run").sealed()
    assert experiment is not None
    assert experiment.rounds == 2
    planned = [
        {work["work"]: work["requests"] for work in said(line(recipe, *options[:-1], *more, "--dry-run"))["works"]}
        for more in ([], ["--rounds", "3"])
    ]  # `--quiet` is the last option
    owed = [{name: count for name, count in one.items() if "sft" not in name and count} for one in planned]
    third, held_out = (planned[1][name] for name in ("samples, round 3", "samples, held out, 4 models"))
    assert owed == [{}, {"samples, round 3": third, "samples, held out, 4 models": held_out}]
    assert third + held_out == 8 * 6
    records = RoundsFolder(tmp_path / "run" / "online").records()
    whole = said(line(recipe, *options))  # nothing was published, and nothing said of it
    for made in (whole["datasets"], whole["models"]):
        assert [one["release"]["repo"] for one in made] == ["local/solved-rounds"] * 2
        first, second_tag = (one["release"]["tag"] for one in made)
        assert first == "v1.0.0" != second_tag
    for before, after in zip(records, RoundsFolder(tmp_path / "run" / "online").records(), strict=True):
        assert (after.at, after.gain, after.model.revision) == (before.at, before.gain, before.model.revision)
        assert (before.dataset.repo, after.dataset.repo) == (None, "local/solved-rounds")
