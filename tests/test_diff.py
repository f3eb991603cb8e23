"""`plum-hub diff` between versions of a real release, and between what becomes of one when its making changes."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plum_hub.errors import HubError
from plum_hub.loading import FetchedRelease
from plum_hub.verification.diff import compare_releases
from tests.releases import REPO, Releases, publish, reseal, rewrite, two_versions

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    found = two_versions(tmp_path_factory.mktemp("comparing"), "--set", "verdicts.mypy_codes=[]")
    with found.hub():
        yield found


@pytest.fixture
def changed(releases: Releases, tmp_path: Path) -> Path:
    """A copy of v1.0.0 that becomes another version."""
    return Path(shutil.copytree(releases.tree(), tmp_path / "changed"))


def fetched(tree: Path, version: str) -> FetchedRelease:
    return FetchedRelease(
        repo="local/x", version=version, commit="c" * 40, folder=tree, hub="embedded", tags={}, before=None
    )


def difference(releases: Releases, tree: Path) -> dict[str, Any]:
    """From v1.0.0 to the tree."""
    return compare_releases(fetched(releases.tree(), "v1.0.0"), fetched(tree, "v1.1.0")).as_json()


def why(found: dict[str, Any], config: str) -> dict[str, dict[str, int]]:
    return {kind: counts for kind, counts in found["configs"][config]["why"].items() if counts}


def relabel(tree: Path) -> str:
    """One chosen sample fails now; gives its id."""
    kto: Rows = []
    rewrite(tree, "kto", lambda rows: (kto.extend(rows), next(row for row in rows if row["label"]).update(label=False)))
    name = next(row["sample_id"] for row in kto if not row["label"] and row["sample_id"] in _passed(tree))
    rewrite(tree, "sft", lambda rows: rows.remove(next(row for row in rows if row["sample_id"] == name)))
    rewrite(tree, "samples", lambda rows: _row(rows, name).update(status="timed_out", detail="timed_out"))
    return str(name)


def _passed(tree: Path) -> set[str]:
    found: Rows = []
    rewrite(tree, "samples", found.extend)
    return {row["sample_id"] for row in found if row["status"] == "passed"}


def _row(rows: Rows, name: str) -> dict[str, Any]:
    return next(row for row in rows if row["sample_id"] == name)


def test_a_version_does_not_differ_from_itself(releases: Releases) -> None:
    found = difference(releases, releases.tree())
    assert (found["making"], found["columns"], found["flips"]) == ({}, {}, [])
    for config, rows in found["configs"].items():
        assert rows["old"] == rows["new"] > 0
        assert why(found, config) == {}
        assert rows["added"] == rows["removed"] == rows["changed"] == []


def test_two_real_versions(releases: Releases) -> None:
    done = releases.plum_hub("diff", REPO, "v1.0.0", "v1.1.0", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["old"] == {"version": "v1.0.0", "commit": releases.commits["v1.0.0"]}
    assert found["new"] == {"version": "v1.1.0", "commit": releases.commits["v1.1.0"]}
    assert found["making"] == {"recipe.samples.per_instruction": [6, 8], "samples_per_suite": [6, 8]}
    samples = found["configs"]["samples"]
    assert (samples["old"], samples["new"], len(samples["added"]), samples["removed"]) == (36, 48, 12, [])
    assert why(found, "samples") == {"added": {"number of samples": 12}}
    assert why(found, "test_suites") == {}
    assert found["configs"]["kto"]["removed"] == []
    assert {row["why"] for row in found["configs"]["kto"]["added"]} <= {
        "number of samples",
        "left out: no_chosen_sample",
    }
    assert found["flips"] == []
    back = json.loads(releases.plum_hub("diff", REPO, "v1.1.0", "v1.0.0", "--json").stdout)
    for kind, other in (("added", "removed"), ("removed", "added")):
        assert back["configs"]["samples"][kind] == samples[other]


def test_the_screen_has_every_config(releases: Releases) -> None:
    done = releases.plum_hub("diff", REPO, "v1.0.0", "v1.1.0")
    assert done.returncode == 0, done.stderr
    assert "recipe.samples.per_instruction" in done.stdout
    assert "added: 12 number of samples" in done.stdout
    assert "labels flipped: 0" in done.stdout


@pytest.mark.parametrize(
    ("facts", "causes"),
    [
        ({}, ["unexplained"]),
        ({"harness_version": "jail-9-cpython-3.14.0"}, ["harness"]),
        ({"limits": {"cpu_seconds": 0.1}}, ["limits"]),
        ({"checker_version": "mypy-9", "limits": {"memory_mb": 64}}, ["harness", "limits"]),
    ],
)
def test_a_flipped_label_names_what_differs(
    releases: Releases, changed: Path, facts: dict[str, Any], causes: list[str]
) -> None:
    name = relabel(changed)
    reseal(changed, lambda manifest: manifest["lineage"].update(facts))
    found = difference(releases, changed)
    (flip,) = found["flips"]
    assert (flip["old_sample_id"], flip["new_sample_id"], flip["match"]) == (name, name, "id")
    assert (flip["old_label"], flip["new_label"]) == (True, False)
    assert (flip["old_status"], flip["new_status"]) == ("passed", "timed_out")
    assert list(flip["why"]) == causes
    assert why(found, "kto") == {"changed": {"label": 1}}
    assert why(found, "sft") == {"removed": {"label": 1}}
    assert why(found, "samples") == {"changed": {"detail, status": 1}}


def rename(tree: Path, letter: str, of: Callable[[dict[str, Any]], bool] = lambda _: True) -> None:
    """Give samples other ids, in every config."""

    def renamed(rows: Rows) -> None:
        for row in filter(of, rows):
            for key in {"sample_id", "chosen_sample_id", "rejected_sample_id"} & row.keys():
                row[key] = f"{letter}{row[key][1:]}"
            if row.get("stage") == "preferences":
                row["id"] = f"{letter}{row['id'][1:]}"

    for config in ("kto", "dpo", "sft", "samples", "dropped"):
        rewrite(tree, config, renamed)


def give_another_suite(tree: Path, name: str) -> None:
    """The instruction of a sample has another suite, so all its samples have other ids."""
    instruction: list[str] = []
    rewrite(tree, "samples", lambda rows: instruction.append(_row(rows, name)["instruction_id"]))

    def changed(rows: Rows) -> None:
        for row in rows:
            if row["instruction_id"] in instruction:
                row["suite_id"] = f"x{row['suite_id'][1:]}"
                if "starter_code" in row:
                    row["cases"] = row["cases"][:2]

    rewrite(tree, "samples", changed)
    rewrite(tree, "test_suites", changed)
    rename(tree, "x", lambda row: row["instruction_id"] in instruction)


@pytest.mark.parametrize(
    ("facts", "causes", "reason"),
    [
        ({}, ["suite"], "suite"),
        ({"generator": {"identity": {"model": "another"}}}, ["suite", "generator"], "generator"),
    ],
)
def test_another_suite_is_found_by_the_same_answers(
    releases: Releases, changed: Path, facts: dict[str, Any], causes: list[str], reason: str
) -> None:
    give_another_suite(changed, relabel(changed))
    reseal(changed, lambda manifest: manifest["lineage"].update(facts))
    found = difference(releases, changed)
    (flip,) = found["flips"]
    assert flip["match"] == "answer"
    assert flip["old_sample_id"] != flip["new_sample_id"]
    assert list(flip["why"]) == causes
    assert why(found, "test_suites") == {"added": {reason: 1}, "removed": {reason: 1}}
    assert why(found, "samples") == {"added": {"suite": 6}, "removed": {"suite": 6}}
    assert set(why(found, "kto")["added"]) == {"suite"}


def test_another_policy_is_found_by_number(releases: Releases, changed: Path) -> None:
    name = relabel(changed)

    def resampled(rows: Rows) -> None:
        for row in rows:
            row.update(text=f"{row['text']} {row['index']}", code=f"{row['code']}#")

    rewrite(changed, "samples", resampled)
    rename(changed, "x")
    reseal(changed, lambda manifest: manifest["lineage"]["policy"]["identity"].update(revision="other"))
    found = difference(releases, changed)
    (flip,) = found["flips"]
    assert (flip["old_sample_id"], flip["match"], list(flip["why"])) == (name, "number", ["policy"])
    assert why(found, "samples") == {"added": {"policy": 36}, "removed": {"policy": 36}}
    assert why(found, "test_suites") == {}


def test_what_was_left_out_says_so(releases: Releases, changed: Path) -> None:
    gone: Rows = []
    rewrite(changed, "kto", lambda rows: gone.append(rows.pop(0)))
    name = gone[0]["sample_id"]
    drop = {"id": name, "stage": "preferences", "reason": "truncated", "instruction_id": "", "detail": ""}
    drop["instruction_id"] = gone[0]["instruction_id"]
    rewrite(changed, "dropped", lambda rows: rows.append(drop))
    found = difference(releases, changed)
    assert found["configs"]["kto"]["removed"] == [
        {"id": name, "instruction_id": drop["instruction_id"], "why": "left out: truncated"}
    ]
    assert why(found, "dropped") == {"added": {"preferences: truncated": 1}}


def test_columns_that_came_and_went(releases: Releases, changed: Path) -> None:
    from pyarrow import parquet

    (path,) = (changed / "samples").glob("*.parquet")
    table = parquet.read_table(path)
    names = ["tokens" if name == "prompt_tokens" else name for name in table.column_names]
    parquet.write_table(table.rename_columns(names), path)
    found = difference(releases, changed)
    assert found["columns"] == {"samples": {"removed": ["prompt_tokens"], "added": ["tokens"]}}
    assert why(found, "samples") == {}


def _no_manifest(tree: Path) -> None:
    (tree / "manifest.json").unlink()


def _no_label(tree: Path) -> None:
    from pyarrow import parquet

    (path,) = (tree / "kto").glob("*.parquet")
    parquet.write_table(parquet.read_table(path).drop_columns(["label"]), path)


def _half_a_file(tree: Path) -> None:
    (path,) = (tree / "samples").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_no_manifest, "is not a release of plum-hub"),
        (_no_label, "kto has no column label"),
        (_half_a_file, "plum-hub verify local/x@v1.0.0  and  plum-hub verify local/x@v1.1.0"),
    ],
)
def test_what_cannot_be_compare_releases(
    releases: Releases, changed: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(changed)
    with pytest.raises(HubError, match=said):
        difference(releases, changed)


def test_a_version_that_is_not_there(releases: Releases) -> None:
    done = releases.plum_hub("diff", REPO, "v1.0.0", "v3.0.0")
    assert (done.returncode, "no version v3.0.0; name one of: v1.0.0, v1.1.0" in done.stderr) == (9, True)


def test_a_plain_dataset_is_no_release(releases: Releases, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Plain\n")
    publish(releases, tmp_path, "local/plain")
    done = releases.plum_hub("diff", "local/plain", "v1.0.0", "v1.0.0")
    assert (done.returncode, "local/plain@v1.0.0: is not a release of plum-hub" in done.stderr) == (9, True)
    done = releases.plum_hub("verify", "local/plain@v1.0.0")
    assert (done.returncode, "this is not a release of plum-hub" in done.stdout) == (14, True)
