"""A run goes on where its model and its instructions have moved, and does not look for what it needs no more."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from plum_hub.run import Run
from tests.rehearsal import command, rows, write_rehearsal

KINDS = ("instructions", "responses", "suites", "samples", "verdicts", "preferences", "dropped")


def ran(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a folder."""
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False, env=os.environ)


def build(model: str, tasks: str, run: str = "run", *options: str) -> list[str]:
    """The command of the rehearsal, over files at these paths."""
    given = command(Path(), *options)
    for option, value in (("--model", f"scripted:{model}"), ("--instructions", tasks), ("--run", run)):
        given[given.index(option) + 1] = value
    return given


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a complete run over relative paths."""
    folder = tmp_path_factory.mktemp("built")
    write_rehearsal(folder, tasks=3)
    done = ran(folder, *build("answers.jsonl", "tasks.jsonl"))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def moved(built: Path, tmp_path: Path) -> Path:
    """A folder with a copy of the run; model and tasks lie in `data`, and nothing is where it was."""
    (tmp_path / "data").mkdir()
    for name in ("answers.jsonl", "tasks.jsonl"):
        shutil.copy(built / name, tmp_path / "data")
    shutil.copytree(built / "run", tmp_path / "run")
    return tmp_path


def cut(run: Path) -> None:
    """Leave the run as a build that was killed amid its samples."""
    for kind, lines in (("samples", 5), ("verdicts", 0), ("preferences", 0)):
        path = run / "shards" / "00000" / f"{kind}.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    path = run / "shards" / "00000" / "dropped.jsonl"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if '"preferences"' not in line))


def told(run: Path) -> dict[str, list[str]]:
    """The rows of the run, in any order."""
    return {kind: sorted(json.dumps(row, sort_keys=True) for row in rows(run, kind)) for kind in KINDS}


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_an_unfinished_run_goes_on_with_files_that_have_moved(built: Path, moved: Path, absolute: bool) -> None:
    cut(moved / "run")
    data = moved / "data" if absolute else Path("data")
    given = build(str(data / "answers.jsonl"), str(data / "tasks.jsonl"))
    done = ran(moved, *given)
    assert done.returncode == 0, done.stderr
    assert told(moved / "run") == told(built / "run")
    recipe = (moved / "run" / "recipe.yaml").read_bytes()
    assert recipe == (built / "run" / "recipe.yaml").read_bytes()
    assert Run.open(moved / "run").recipe.policy.model == str(moved / "data" / "answers.jsonl")
    assert Run.open(moved / "run").recipe.generator.model == str(moved / "data" / "answers.jsonl")
    assert str(moved) not in Run.open(moved / "run").recipe.public().to_yaml()


def test_it_is_remembered_where_they_are(built: Path, moved: Path) -> None:
    """Then the sealed recipe is enough, wherever one is."""
    assert ran(moved, *build("data/answers.jsonl", "data/tasks.jsonl")).returncode == 0
    cut(moved / "run")
    sealed = [*command(Path())[:4], "--recipe", str(moved / "run" / "recipe.yaml"), "--run", str(moved / "run")]
    done = ran(moved / "data", *sealed, "--hub", "none")
    assert done.returncode == 0, done.stderr
    assert told(moved / "run") == told(built / "run")
    (moved / "run" / "moved.json").write_text("[")
    damaged = ran(moved, *sealed, "--hub", "none")
    assert damaged.returncode == 4
    assert "moved.json: is damaged" in damaged.stderr


def test_a_complete_run_needs_no_source(built: Path, moved: Path) -> None:
    sealed = [*command(Path())[:4], "--recipe", "run/recipe.yaml", "--run", "run", "--hub", "none"]
    done = ran(moved, *sealed)
    assert done.returncode == 0, done.stderr
    assert "tasks.jsonl: is not here, and was read before; the rows are kept" in done.stderr
    assert told(moved / "run") == told(built / "run")
    path = moved / "run" / "shards" / "00000" / "instructions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    lost = ran(moved, *sealed)
    assert lost.returncode == 5
    assert "tasks.jsonl does not exist" in lost.stderr


@pytest.mark.parametrize("change", ["content", "name"])
def test_other_files_are_another_recipe(moved: Path, change: str) -> None:
    """The name is in the rows."""
    tasks = moved / "data" / "tasks.jsonl"
    if change == "content":
        tasks.write_text(tasks.read_text() + "\n" + json.dumps({"instruction": "Write another function."}) + "\n")
    else:
        tasks = tasks.rename(moved / "data" / "others.jsonl")
    done = ran(moved, *build("data/answers.jsonl", str(tasks)))
    assert done.returncode == 4
    assert f"instructions.source: tasks.jsonl -> {tasks}" in done.stderr
