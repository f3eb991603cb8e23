"""The strength of suites in releases."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from plum_hub.loading import FetchedRelease
from plum_hub.pipeline.base import Context
from plum_hub.publishing.dataset import release
from plum_hub.release.reading import config_files, read_rows
from plum_hub.run import Run
from plum_hub.verification.diff import compare_releases
from tests.rehearsal import command, plum_hub, published
from tests.releases import audit, reseal, rewrite
from tests.strength.weak import STRONG, rows, write_weak


def told_apart(verdicts: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """The pass rate and the dual agreement of each suite, by trying every set of cases that some sample passes."""
    found = {}
    for suite_id in {row["suite_id"] for row in verdicts}:
        results = [
            [case["outcome"] == "passed" for case in row["cases"]] for row in verdicts if row["suite_id"] == suite_id
        ]
        best = max(results.count(one) * sum(one) for one in results)
        found[suite_id] = (sum(map(all, results)) / len(results), best / len(results) / len(results[0]))
    return found


@pytest.fixture
def tree(filtered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filtered / "run" / "release" / "dataset", tmp_path / "tree"))


def test_a_release_of_measured_suites_has_their_strength_and_verifies(filtered: Path, tree: Path) -> None:
    suites = list(read_rows(config_files(tree, "test_suites")))
    strengths = {row["id"]: row for row in rows(filtered / "run", "strengths")}
    assert len(suites) == 3
    for row in suites:
        measured = strengths[row["suite_id"]]
        assert row["case_count"] == len(row["cases"]) == 4
        for column in ("mutation_score", "statement_coverage", "branch_coverage"):
            assert row[column] == measured[column] == 1.0
    manifest = json.loads((tree / "manifest.json").read_text())
    assert manifest["counts"]["strength"]["mean"] == 1.0
    assert {"case_count", "mutation_score", "statement_coverage"} <= set(manifest["columns"]["test_suites"])
    outcomes = told_apart(rows(filtered / "run", "verdicts"))
    assert [(row["pass_rate"], row["dual_agreement"]) for row in suites] == [
        outcomes[row["suite_id"]] for row in suites
    ]
    assert any(0 < row["pass_rate"] < row["dual_agreement"] < 1 for row in suites)
    assert manifest["counts"]["dual_agreement"]["count"] == 3
    card = (tree / "README.md").read_text()
    assert card.count("Of 3 suites the mean is ") == 2
    assert "A suite's dual agreement (CodeT, arXiv 2207.10397)" in card
    assert "Of 3 suites the mean is 1.000, and the quartiles are 1.000, 1.000 and 1.000." in card
    assert "![Suites by their mutation score](figures/mutation_scores.svg)" in card
    assert (tree / "figures" / "mutation_scores.svg").is_file()
    assert audit(tree) == {}


@pytest.mark.parametrize(
    ("column", "value", "check", "what"),
    [
        ("mutation_score", 0.95, "counts", "distribution of mutation_score"),
        ("mutation_score", float("nan"), "counts", "shares from 0 to 1"),
        ("mutation_score", 0.5, "recipe", "at least as strong as suites.min_strength 0.9"),
        ("branch_coverage", 1.5, "counts", "shares from 0 to 1"),
        ("case_count", 7, "counts", "its cases"),
        ("case_count", None, "schemas", "case_count"),
        ("pass_rate", 1.0, "counts", "its pass rate"),
        ("pass_rate", None, "counts", "its pass rate"),
        ("dual_agreement", 1.0, "counts", "its dual agreement"),
        ("dual_agreement", 0.95, "counts", "distribution of dual_agreement"),
        ("dual_agreement", float("nan"), "counts", "its dual agreement"),
    ],
)
def test_verify_sees_forged_strengths(tree: Path, column: str, value: float | None, check: str, what: str) -> None:
    rewrite(tree, "test_suites", lambda its: its[0].update({column: value}))
    reseal(tree)
    found = audit(tree)
    assert any(what in one for one in found[check]), found


@pytest.mark.parametrize("summary", ["strength", "dual_agreement"])
def test_strengths_without_their_columns_are_no_release(tree: Path, summary: str) -> None:
    reseal(tree, lambda manifest: manifest["counts"].pop(summary))
    assert any("test_suites" in one for one in audit(tree)["schemas"])


def test_verify_sees_that_forged_samples_are_told_apart_otherwise(tree: Path) -> None:
    def forge(samples: list[dict[str, Any]]) -> None:
        for row in samples:
            if row["status"] == "failed":
                row["cases"][0]["outcome"] = "wrong"

    rewrite(tree, "samples", forge)
    reseal(tree)
    assert any("its dual agreement" in one for one in audit(tree)["counts"])


def test_a_release_from_before_discrimination_was_recorded_verifies(tree: Path) -> None:
    from pyarrow import parquet

    (path,) = config_files(tree, "test_suites")
    parquet.write_table(parquet.read_table(path).drop_columns(["pass_rate", "dual_agreement"]), path)
    reseal(tree, lambda manifest: manifest["counts"].pop("dual_agreement"))
    assert audit(tree) == {}


def test_a_suite_without_samples_has_no_discrimination(filtered: Path, tmp_path: Path) -> None:
    """All its samples were found in a benchmark."""
    run = Path(shutil.copytree(filtered / "run", tmp_path / "run"))
    lonely = rows(run, "suites")[0]["id"]
    with (run / "shards" / "00000" / "dropped.jsonl").open("a") as file:
        for row in rows(run, "samples"):
            if row["suite_id"] == lonely:
                drop = {"id": row["id"], "stage": "decontamination", "reason": "benchmark_text", "detail": "humaneval"}
                file.write(json.dumps({**drop, "instruction_id": row["instruction_id"]}) + "\n")
    path = run / "shards" / "00000" / "preferences.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if json.loads(line)["suite_id"] != lonely))
    tree = Path(release(Context(run=Run.open(run)), None).folder)
    suites = {row["suite_id"]: row for row in read_rows(config_files(tree, "test_suites"))}
    assert len(suites) == 3
    assert [row["suite_id"] for row in suites.values() if row["pass_rate"] is None] == [lonely]
    assert [row["suite_id"] for row in suites.values() if row["dual_agreement"] is None] == [lonely]
    assert suites[lonely]["mutation_score"] == 1.0
    assert json.loads((tree / "manifest.json").read_text())["counts"]["dual_agreement"]["count"] == 2
    assert audit(tree) == {}
    rewrite(tree, "test_suites", lambda its: next(row for row in its if row["pass_rate"] is None).update(pass_rate=0.0))
    reseal(tree)
    assert audit(tree) == {"counts": {f"suite {lonely}, its pass rate"}}


def test_more_samples_do_not_make_another_suite(filtered: Path, tmp_path: Path) -> None:
    write_weak(tmp_path)
    done = plum_hub(command(tmp_path, "-q", *STRONG, "--set", "samples.per_instruction=5"))
    assert done.returncode == 0, done.stderr
    trees = [one / "run" / "release" / "dataset" for one in (filtered, tmp_path)]
    rates = [[row["pass_rate"] for row in read_rows(config_files(one, "test_suites"))] for one in trees]
    assert rates[0] != rates[1]
    old, new = (
        FetchedRelease(
            repo="local/x", version=version, commit="c" * 40, folder=one, hub="embedded", tags={}, before=None
        )
        for version, one in zip(("v1.0.0", "v1.1.0"), trees, strict=True)
    )
    changes = compare_releases(old, new).configs["test_suites"]
    assert (changes.added, changes.removed, changes.changed) == ([], [], [])


def test_a_release_without_measurements_is_as_before(tmp_path: Path) -> None:
    write_weak(tmp_path, tasks=2)
    assert plum_hub(command(tmp_path, "-q")).returncode == 0
    tree = tmp_path / "run" / "release" / "dataset"
    manifest = json.loads((tree / "manifest.json").read_text())
    assert "strength" not in manifest["counts"]
    assert "dual_agreement" not in manifest["counts"]
    assert not {"mutation_score", "case_count", "pass_rate", "dual_agreement"} & set(manifest["columns"]["test_suites"])
    assert "mutation" not in (tree / "README.md").read_text()
    assert not (tree / "figures" / "mutation_scores.svg").exists()
    assert audit(tree) == {}


def test_suites_of_a_release_are_filtered_and_a_pulled_run_is_complete(tmp_path: Path) -> None:
    """Of a published dataset whose suites were not measured, and whose run is pulled after they were."""
    write_weak(tmp_path, tasks=2, mixed=False)
    home = {"PLUM_HUB_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf")}
    done = plum_hub(published(tmp_path, "-q", "--repo", "plain"), **home)
    assert done.returncode == 0, done.stderr
    again = published(tmp_path, "-q", "--suites", "local/plain@v1.0.0", "--repo", "strong", *STRONG, run="again")
    again.remove("--instructions")
    again.remove(str(tmp_path / "tasks.jsonl"))
    done = plum_hub(again, **home)
    assert done.returncode == 0, done.stderr
    suites, dropped = rows(tmp_path / "again", "suites"), rows(tmp_path / "again", "dropped")
    weak = [row["id"] for row in dropped if row["reason"] == "weak"]
    before = {row["id"] for row in rows(tmp_path / "run", "suites")}
    assert {row["id"] for row in suites} | set(weak) == before
    assert weak
    assert plum_hub(again, **home).returncode == 0  # nothing is decided twice
    assert rows(tmp_path / "again", "dropped") == dropped
    pull = [sys.executable, "-m", "plum_hub", "pull", "local/strong@v1.0.0", "--run", str(tmp_path / "pulled")]
    done = plum_hub(pull, **home)
    assert done.returncode == 0, done.stderr
    status = json.loads(
        plum_hub([sys.executable, "-m", "plum_hub", "status", str(tmp_path / "pulled"), "--json"], **home).stdout
    )
    assert status["rows"]["suites"] == len(suites)
    assert status["strength"] is None
