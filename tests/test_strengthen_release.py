"""The next version of a release, whose suites have more cases: nothing is sampled, labels follow, it is verified."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rehearsal import plum_hub, published, rows, set_home
from tests.test_strengthen import write_tasks

CLI = [sys.executable, "-m", "plum_hub"]
ADD = [*CLI, "strengthen", "local/weak@v1.0.0", "--hub", "embedded", "-q", "--json"]


def ran(*arguments: str) -> dict[str, Any]:
    done = plum_hub([*arguments])
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _with_third_answer(folder: Path) -> None:
    """Let the policy be wrong about 6 besides, which no case of a suite and no mutant of its reference shows."""
    given = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    for row in given:
        if "Solve" in row["contains"]:
            row["texts"].append(row["texts"][0].replace("    return x", "    return 0 if x == 6 else x"))
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with local/weak@v1.0.0, whose suites miss a branch, and with its next version; made in `work`."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        set_home(patch, folder)
        write_tasks(folder)
        _with_third_answer(folder)
        done = plum_hub(published(folder, "-q", "--repo", "weak"))
        assert done.returncode == 0, done.stderr
        tried = ran(*ADD, "--dry-run", "--run", str(folder / "work"))
        assert tried["release"] is None
        assert not (folder / "work").exists()
        made = ran(*ADD, "--run", str(folder / "work"))
        assert made["cases"] == tried["cases"] > 0
        assert made["release"]["tag"] == "v1.1.0"
        yield folder


def test_the_next_version_has_the_samples_under_stronger_suites(home: Path) -> None:
    before, after = home / "work" / "parent", home / "work" / "run"
    weak, strong = rows(before, "suites"), rows(after, "suites")
    cases: list[tuple[Any, Any]] = [(old["cases"], new["cases"]) for old, new in zip(weak, strong, strict=True)]
    assert all(old == new[: len(old)] for old, new in cases)
    assert any(len(new) > len(old) for old, new in cases)
    assert [one["id"] for one in rows(before, "samples")] == [one["id"] for one in rows(after, "samples")]
    labels = [{row["sample_id"]: row["label"] for row in rows(run, "preferences")} for run in (before, after)]
    flipped = {name for name in labels[0].keys() & labels[1].keys() if labels[0][name] != labels[1][name]}
    assert flipped
    status = ran(*CLI, "status", str(after), "--json")
    assert status["added_cases"] == sum(len(new) - len(old) for old, new in cases)
    manifest = json.loads((after / "release" / "dataset" / "manifest.json").read_text())
    assert manifest["previous"]["tag"] == "v1.0.0"
    more = [len(new) - len(old) for old, new in cases]
    counts = {"suites": len(more), "strengthened": sum(map(bool, more)), "cases": sum(more)}
    assert manifest["lineage"]["added_cases"] == counts
    card = (after / "release" / "dataset" / "README.md").read_text()
    assert f"stronger: {counts['cases']}, to {counts['strengthened']} of {counts['suites']} suites." in card
    assert (
        "added_cases" not in json.loads((home / "run" / "release" / "dataset" / "manifest.json").read_text())["lineage"]
    )
    assert manifest["lineage"]["suites_from"] == "local/weak@v1.0.0"
    assert "generator of the tests" in card
    assert "those of\nan earlier version of this dataset, `local/weak@v1.0.0`" in card
    assert "those of another dataset" not in card
    changed = ran(*CLI, "diff", "local/weak", "v1.0.0", "v1.1.0", "--json", "--hub", "embedded")
    assert {flip["old_sample_id"] for flip in changed["flips"]} == flipped
    assert {tuple(flip["why"]) for flip in changed["flips"]} == {("suite", "strengthening")}
    stronger = {"strengthening": counts["strengthened"]}
    suites = changed["configs"]["test_suites"]["why"]
    assert (suites["added"], suites["removed"]) == (stronger, stronger)


def test_a_run_is_strengthened_on_the_hub_where_it_was_published(home: Path, tmp_path: Path) -> None:
    """The token of another Hub, which is there now, does not decide."""
    away = {"HF_TOKEN": "hf_x", "HF_ENDPOINT": "http://127.0.0.1:9"}
    tried = plum_hub([*CLI, "strengthen", str(home / "run"), "--dry-run", "--run", str(tmp_path / "w")], **away)
    assert tried.returncode == 0, tried.stderr
    assert "local/weak@v1.0.0" in tried.stdout
    named = plum_hub([*ADD[:5], "--dry-run", "--hub", "auto"], **away)
    assert named.returncode == 9


def test_it_is_verified_and_loads_and_can_be_pulled(home: Path) -> None:
    found = ran(*CLI, "verify", "local/weak@v1.1.0", "--json", "--hub", "embedded")
    assert found["agrees"], found
    done = plum_hub(
        [
            sys.executable,
            "-c",
            "import plum_hub; print(len(plum_hub.load('local/weak', 'kto', 'v1.1.0', hub='embedded')))",
        ]
    )
    assert int(done.stdout) == len(rows(home / "work" / "run", "preferences")), done.stderr
    ran(*CLI, "pull", "local/weak@v1.1.0", "--run", str(home / "pulled"), "--hub", "embedded", "--json")
    assert len(rows(home / "pulled", "samples")) == len(rows(home / "work" / "run", "samples"))


def test_a_forged_seed_is_found(home: Path) -> None:
    """Samples are accepted for a suite with fewer cases, and for no other."""
    from dataclasses import replace

    from plum_hub.records import Sample, TestSuite
    from plum_hub.run import Run
    from plum_hub.verification.provenance import Provenance

    run, parent = Run.open(home / "work" / "run"), Run.open(home / "work" / "parent")
    provenance = Provenance(run.recipe, None)  # type: ignore[arg-type]  # origins follow from the recipe
    suite, old = next(run.rows(TestSuite)), next(parent.rows(TestSuite))
    sample = next(one for one in run.rows(Sample) if one.suite_id == suite.id)
    assert provenance.origin(suite, sample) == old.id
    assert provenance.origin(suite, replace(sample, seed=sample.seed + 1)) == suite.id
    assert Provenance(parent.recipe, None).origins(suite) == [suite.id]  # type: ignore[arg-type]


def test_an_interrupted_call_goes_on_and_another_one_is_refused(home: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(home / "work", work)
    shard = work / "run" / "shards" / "00000"
    for kind in ("preferences", "verdicts"):
        (shard / f"{kind}.jsonl").unlink()
    for kind in ("suites", "samples"):
        lines = (shard / f"{kind}.jsonl").read_bytes().splitlines(keepends=True)
        (shard / f"{kind}.jsonl").write_bytes(lines[0] + lines[1][:20])
    assert ran(*ADD, "--run", str(home / "work"))["release"]["tag"] == "v1.1.0"  # nothing is made again
    again = ran(*ADD, "--run", str(work))
    assert again["release"]["tag"] == "v1.2.0"  # the programs were measured anew
    for kind in ("suites", "samples", "preferences"):
        assert rows(work / "run", kind) == rows(home / "work" / "run", kind), kind
    for options, words in ((["--most", "2"], "suites.strengthen=5"), (["--by", "inputs"], "strengthen_by=mutants")):
        done = plum_hub([*ADD, "--run", str(work), *options])
        assert done.returncode == 4
        assert words in done.stderr
        assert "--run DIR" in done.stderr


def test_by_samples_those_are_told_apart_that_passed_the_same_cases(home: Path, tmp_path: Path) -> None:
    options = ("--by", "samples", "--hub", "embedded", "--run", str(tmp_path / "work"))
    found = ran(*CLI, "strengthen", "local/weak@v1.0.0", "-q", "--json", *options, "--repo", "told-apart")
    assert found["cases"] > sum(len(row["cases"]) for row in rows(home / "work" / "run", "suites")) - sum(
        len(row["cases"]) for row in rows(home / "work" / "parent", "suites")
    )
    run = tmp_path / "work" / "run"
    wrong = {row["id"] for row in rows(run, "samples") if "x == 6" in str(row["code"])}
    assert {row["status"] for row in rows(run, "verdicts") if row["sample_id"] in wrong} == {"failed"}
    assert ran(*CLI, "verify", "local/told-apart@v1.0.0", "--json", "--hub", "embedded")["agrees"]


@pytest.mark.usefixtures("home")
def test_a_strong_release_stays_as_it_is(tmp_path: Path) -> None:
    command = [word.replace("v1.0.0", "v1.1.0") for word in ADD]
    found = ran(*command, "--run", str(tmp_path / "work"))
    assert (found["cases"], found["release"]) == (0, None)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("source", "code", "words"),
    [("local/weak", 2, "REPO@TAG"), ("local/weak@v9.9.9", 9, "has no version v9.9.9"), ("run", 4, "recipe.yaml")],
)
def test_what_cannot_be_strengthened_is_said_in_one_line(tmp_path: Path, source: str, code: int, words: str) -> None:
    (tmp_path / "run").mkdir()
    named = str(tmp_path / "run") if source == "run" else source
    done = plum_hub([*CLI, "strengthen", named, "--hub", "embedded", "--run", str(tmp_path / "work")])
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
