"""`plum-hub verify` on real releases of an embedded Hub, as they were published and as a forger would leave them."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plum_hub.errors import RunError
from plum_hub.loading import FetchedRelease
from plum_hub.progress import Progress
from plum_hub.records import digest
from plum_hub.release.manifest import VerifiableManifest
from plum_hub.verification.dataset import DatasetReport, draw_samples, verify_dataset
from plum_hub.verification.files import check_manifest
from plum_hub.verification.findings import MEANINGS, Findings
from plum_hub.verification.options import VerifyOptions
from plum_hub.verification.provenance import read_provenance
from plum_hub.verification.rows import split
from plum_hub.verification.rows_check import RowsCheck
from plum_hub.verification.tag import check_tag
from tests.forgeries import TAMPERED, UNBELIEVABLE, row_of
from tests.releases import REPO, Releases, publish, reseal, rewrite, two_versions

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Releases]:
    found = two_versions(tmp_path_factory.mktemp("verifying"))
    with found.hub():  # stays up for all commands
        yield found


@pytest.fixture
def tree(releases: Releases, tmp_path: Path) -> Path:
    """A copy of v1.0.0 to be tampered with."""
    return Path(shutil.copytree(releases.tree(), tmp_path / "tree"))


def verified(releases: Releases, release: str, *options: str, home: Path | None = None) -> tuple[int, dict[str, Any]]:
    """The exit code and the report of `plum-hub verify`, by a user whose memory is in `home`."""
    with releases.hub() as hub:
        stranger = {"PLUM_HUB_HOME": str(home), "HF_HOME": str(home), "HF_TOKEN": hub.token} if home else {}
        address = ("--hub", hub.endpoint) if home else ()
        done = releases.plum_hub("verify", release, "--json", "-q", *address, *options, **stranger)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout or "{}")


def disagreements(report: dict[str, Any]) -> dict[str, set[str]]:
    """What does not agree, by check."""
    found: dict[str, set[str]] = {}
    for one in report["disagreements"]:
        found.setdefault(one["check"], set()).add(one["what"])
    return found


def audit(tree: Path, sample: int | None = 0, seed: int = 0) -> DatasetReport:
    """The report on a tree that is not on a Hub; nothing is judged unless it is asked for."""
    release = FetchedRelease(
        repo="local/x", version="c" * 40, commit="c" * 40, folder=tree, hub="embedded", tags={}, before=None
    )
    return verify_dataset(
        VerifyOptions(repo="local/x", version="c" * 40, sample=sample, seed=seed), release, Progress()
    )


def what_differs(report: DatasetReport) -> dict[str, set[str]]:
    return disagreements(report.as_json())


def test_a_release_agrees_with_itself(releases: Releases, tmp_path: Path) -> None:
    code, report = verified(releases, f"{REPO}@v1.0.0", home=tmp_path)
    assert (code, report["agrees"], report["disagreements"]) == (0, True, [])
    assert report["commit"] == releases.commits["v1.0.0"]
    assert report["judged"] == report["samples"] == 36
    assert set(report["checks"]) == set(MEANINGS)
    assert all(check["compared"] for check in report["checks"].values()), report["checks"]
    assert report["harness"]["published"] == report["harness"]["here"]
    assert "there is no earlier record of the commit of v1.0.0" in " ".join(report["notes"])
    code, report = verified(releases, f"{REPO}@v1.0.0", home=tmp_path)
    assert (code, report["notes"]) == (0, [])  # the first time is the record


def test_publishing_again_verifies_too(releases: Releases) -> None:
    code, report = verified(releases, f"{REPO}@v1.1.0", "--run", str(releases.folder / "more"))
    assert (code, report["samples"], report["notes"]) == (0, 48, [])


def test_the_screen_says_what_was_compared(releases: Releases) -> None:
    done = releases.plum_hub("verify", f"{REPO}@v1.0.0", "-q", "--sample", "2", "--seed", "5")
    assert done.returncode == 0, done.stderr
    assert "everything agrees" in done.stdout
    assert "2 of 36, drawn by --seed 5" in done.stdout
    assert all(meaning in done.stdout for meaning in MEANINGS.values())


def test_a_sample_is_drawn_by_its_seed(tree: Path) -> None:
    """Only the samples that are drawn are judged, so only among them a wrong outcome is seen."""
    forged = row_of(tree, "samples", status="passed")["sample_id"]

    def forge(rows: Rows) -> None:
        row = next(row for row in rows if row["sample_id"] == forged)
        row["cases"] = [{**case, "outcome": "raised"} for case in row["cases"]]

    rewrite(tree, "samples", forge)
    names: list[str] = []
    rewrite(tree, "samples", lambda rows: names.extend(row["sample_id"] for row in rows))
    reseal(tree)
    seeds = {forged in draw_samples(names, 18, seed): seed for seed in range(20)}
    for seen, seed in seeds.items():
        report = audit(tree, 18, seed)
        assert (report.judged, report.samples, report.as_json()["seed"]) == (18, 36, seed)
        assert what_differs(report) == ({"verdicts": {f"sample {forged}"}} if seen else {})
    assert set(seeds) == {True, False}
    assert what_differs(audit(tree, None)) == {"verdicts": {f"sample {forged}"}}


def test_an_edited_parquet(releases: Releases, tree: Path) -> None:
    rewrite(tree, "sft", lambda rows: rows[0].update(completion=[{"role": "assistant", "content": "pass"}]))
    publish(releases, tree, "local/edited")
    code, report = verified(releases, "local/edited@v1.0.0")
    assert code == 14
    assert disagreements(report)["files"] == {"sft/train-00000-of-00001.parquet"}


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_flipped_label(releases: Releases, tree: Path, everywhere: bool) -> None:
    """In kto alone it is no view of its sample; in the sample too, its program comes to another status."""
    passed = row_of(tree, "samples", status="passed")
    name = passed["sample_id"]

    def flip(rows: Rows) -> None:
        for row in rows:
            if row["sample_id"] == name and "label" in row:
                row["label"] = False
            elif row["sample_id"] == name:
                row.update(status="failed", detail="failed: case 1 wrong: 7")
                row["cases"][0].update(outcome="wrong", detail="7")

    rewrite(tree, "kto", flip)
    if everywhere:
        rewrite(tree, "samples", flip)
    reseal(tree)
    publish(releases, tree, f"local/flipped-{everywhere}".lower())
    code, report = verified(releases, f"local/flipped-{everywhere}@v1.0.0".lower())
    found = disagreements(report)
    assert code == 14
    if everywhere:
        assert found["verdicts"] == {f"sample {name}"}
        (one,) = (one for one in report["disagreements"] if one["check"] == "verdicts")
        assert (one["published"], one["found"]) == ("failed, rejected (wpp)", "passed, chosen (ppp)")
    else:
        assert found["views"] == {f"kto {name}, label"}
        assert "files" not in found


def test_a_swapped_suite(releases: Releases, tree: Path) -> None:
    def swap(rows: Rows) -> None:
        first, second = rows[0], rows[1]
        for key in ("cases", "reference", "entry_point"):
            first[key], second[key] = second[key], first[key]

    swapped: Rows = []
    rewrite(tree, "test_suites", lambda rows: (swap(rows), swapped.extend(rows[:2])))
    reseal(tree)
    publish(releases, tree, "local/swapped")
    code, report = verified(releases, "local/swapped@v1.0.0")
    found = disagreements(report)
    assert code == 14
    assert found["ids"] == {f"suite {row['suite_id']}" for row in swapped}
    assert found["verdicts"]


def test_a_moved_tag(releases: Releases, tmp_path: Path) -> None:
    """Onto the commit of another version the card betrays it; onto a release that is whole, only a record."""
    first = publish(releases, releases.tree(), "local/moved")
    assert verified(releases, "local/moved@v1.0.0", "--sample", "1")[0] == 0

    publish(releases, releases.tree("v1.1.0"), "local/moved")
    code, report = verified(releases, "local/moved@v1.0.0", "--sample", "1")
    by_card, by_memory = "README.md, the version it is written for", "v1.0.0, when it was first used here"
    assert (code, disagreements(report)) == (14, {"tag": {by_card, by_memory, "v1.0.0, as v1.0.0 names it"}})

    whole = Path(shutil.copytree(releases.tree("v1.1.0"), tmp_path / "whole"))
    card = whole / "README.md"
    card.write_text(card.read_text().replace("v1.1.0", "v1.0.0"))
    reseal(whole, lambda manifest: manifest.pop("previous"))
    moved = publish(releases, whole, "local/moved")
    assert moved != first
    code, report = verified(releases, "local/moved@v1.0.0", "--sample", "1", "--commit", first[:8])
    assert (code, disagreements(report)) == (14, {"tag": {"v1.0.0, by --commit", by_memory}})
    code, report = verified(releases, "local/moved@v1.0.0", "--sample", "1", home=tmp_path / "stranger")
    assert (code, disagreements(report)) == (0, {})
    assert f"compare {moved} with the publisher's" in " ".join(report["notes"])


def test_the_manifest_of_the_next_release_keeps_a_tag_where_it_was(releases: Releases, tmp_path: Path) -> None:
    """Nobody has to have looked before the tag was moved."""
    first = publish(releases, releases.tree(), "local/kept")
    later = Path(shutil.copytree(releases.tree("v1.1.0"), tmp_path / "later"))
    reseal(later, lambda manifest: manifest["previous"].update(commit=first))
    publish(releases, later, "local/kept", "v1.1.0")
    code, report = verified(releases, "local/kept@v1.1.0", "--sample", "1", home=tmp_path / "one")
    assert (code, disagreements(report)) == (0, {})

    other = Path(shutil.copytree(releases.tree(), tmp_path / "other"))
    (other / "more.txt").write_text("more")
    publish(releases, other, "local/kept", "v1.0.0")
    code, report = verified(releases, "local/kept@v1.1.0", "--sample", "1", home=tmp_path / "two")
    assert (code, disagreements(report)) == (14, {"tag": {"v1.0.0, as v1.1.0 names it"}})


def tag_differs(tree: Path, commit: str | None = None, run: Path | None = None, **about: Any) -> set[str]:
    """What does not agree about the tag of a tree."""
    release = {"version": "v1.0.0", "commit": "c" * 40, "hub": "public", "tags": {}, "before": None} | about
    findings = Findings()
    check_tag(FetchedRelease(repo="local/x", folder=tree, **release), commit, run, findings)
    assert findings.compared["tag"] >= (release["version"] == "v1.0.0")
    return {one.what for one in findings.listed}


def test_every_record_of_a_tag_counts(tree: Path, tmp_path: Path) -> None:
    commit = "c" * 40
    assert tag_differs(tree) == set()
    assert tag_differs(tree, commit="ccccccc") == set()
    assert tag_differs(tree, commit="cccccca") == {"v1.0.0, by --commit"}
    assert tag_differs(tree, before=commit) == set()
    assert tag_differs(tree, before="d" * 40) == {"v1.0.0, when it was first used here"}
    assert tag_differs(tree, tags={"v1.0.0": commit, "v1.0.1": "d" * 40, "stable": commit}) == set()
    assert tag_differs(tree, tags={"v1.0.0": commit, "v1.0.1": commit}) == {"v1.0.1 beside v1.0.0"}
    assert tag_differs(tree, version="v1.0.1") == {"README.md, the version it is written for"}
    assert tag_differs(tree, version=commit) == set()
    rows = [("local/x", "v1.0.0", "e" * 40), ("local/x", "v1.1.0", "d" * 40), ("local/x", "v1.0.0", commit)]
    said = [json.dumps({"repo": repo, "tag": tag, "commit": one}) for repo, tag, one in rows]
    listed = tmp_path / "releases.jsonl"
    listed.write_text("\n".join(said) + "\n")
    assert tag_differs(tree, run=tmp_path) == set()  # once on each of two Hubs
    listed.write_text("\n".join(said[:2]) + "\n")
    assert tag_differs(tree, run=tmp_path) == {f"v1.0.0, by {tmp_path}"}
    listed.write_text(said[1] + "\n")
    with pytest.raises(RunError, match=r"does not name local/x@v1\.0\.0"):
        tag_differs(tree, run=tmp_path)
    listed.write_text("[]\n")
    with pytest.raises(RunError, match=r"releases\.jsonl:1: not a release"):
        tag_differs(tree, run=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([REPO], 2, "write it as REPO@TAG"),
        (["numbers@v1.0.0"], 2, "write it as REPO@TAG with its namespace, as in  me/numbers@v1.0.0"),
        ([f"{REPO}@v1.0.0", "--commit", "main"], 2, "not a commit"),
        ([f"{REPO}@v1.0.0", "--seed", "1"], 2, "give both, or neither"),
        ([f"{REPO}@v7.0.0"], 9, "no version v7.0.0; name one of: v1.0.0, v1.1.0"),
    ],
)
def test_what_cannot_be_verified_is_another_code(
    releases: Releases, arguments: list[str], code: int, said: str
) -> None:
    done = releases.plum_hub("verify", *arguments)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_another_harness_is_told_and_is_no_disagreement(tree: Path) -> None:
    manifest = json.loads((tree / "manifest.json").read_text())
    same = {key: manifest["lineage"][key] for key in ("limits", "extraction")}
    harness = {"sandbox": "jail-0-cpython-3.9.1", "static_check": "mypy-1.0/python-3.9.1/0", **same}

    def forge(rows: Rows) -> None:
        for row in rows:
            row["verdict_id"] = digest(row["sample_id"], row["suite_id"], harness)

    rewrite(tree, "samples", forge)
    reseal(
        tree,
        lambda manifest: manifest["lineage"].update(
            harness_version=harness["sandbox"], checker_version=harness["static_check"]
        ),
    )
    report = audit(tree)
    assert what_differs(report) == {}
    notes = " ".join(report.findings.notes)
    assert "sandbox: the release was made with jail-0-cpython-3.9.1, and is judged here with jail-" in notes
    assert "static check: the release was made with mypy-1.0/python-3.9.1/0" in notes


def test_another_extraction_is_told_and_programs_are_judged_as_published(tree: Path) -> None:
    manifest = json.loads((tree / "manifest.json").read_text())["lineage"]
    harness = {"sandbox": manifest["harness_version"], "static_check": manifest["checker_version"]}
    harness |= {"limits": manifest["limits"], "extraction": "0"}

    def forge(rows: Rows) -> None:
        for row in rows:
            row["verdict_id"] = digest(row["sample_id"], row["suite_id"], harness)
            row["code"] = f"{row['code']}# found otherwise\n" if row["code"] else None

    rewrite(tree, "samples", forge)
    reseal(tree, lambda manifest: manifest["lineage"].update(extraction="0"))
    report = audit(tree, None)
    assert what_differs(report) == {}
    assert "extracted from answers by version 0 of the rules" in " ".join(report.findings.notes)


def test_rows_that_their_digest_does_not_name(tree: Path) -> None:
    manifest = json.loads((tree / "manifest.json").read_text())
    (tree / "manifest.json").write_text(json.dumps(manifest | {"content": {**manifest["content"], "sft": "0"}}))
    assert what_differs(audit(tree)) == {"content": {"rows of sft"}}


def test_ids_of_a_server_that_is_not_published_are_left_alone(tree: Path) -> None:
    import yaml

    recipe = yaml.safe_load((tree / "recipe.yaml").read_text())
    recipe["policy"] = {"type": "openai", "model": "small"}
    (tree / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    served = {"engine": "openai", "model": "small", "revision": ""}
    reseal(tree, lambda manifest: manifest["lineage"]["policy"]["identity"].update(served))
    report = audit(tree)
    assert what_differs(report) == {}
    assert "policy: the address of its server is part of the ids of samples" in " ".join(report.findings.notes)


@pytest.mark.parametrize(("tamper", "check", "what"), TAMPERED, ids=lambda it: getattr(it, "__name__", ""))
def test_whatever_a_forger_seals_again(tree: Path, tamper: Callable[[Path], None], check: str, what: str) -> None:
    tamper(tree)
    reseal(tree)
    found = what_differs(audit(tree, sample=None if check == "suites" else 0))
    assert any(what in one for one in found[check]), found
    assert "files" not in found


@pytest.mark.parametrize("tamper", UNBELIEVABLE)
def test_without_a_manifest_nothing_is_believed(tree: Path, tamper: Callable[[Path], None]) -> None:
    tamper(tree)
    assert set(what_differs(audit(tree))) == {"manifest"}


def test_files_that_are_too_many_or_too_few(tree: Path) -> None:
    (tree / "notes.txt").write_text("hello")
    (tree / "recipe.yaml").unlink()
    assert what_differs(audit(tree))["files"] == {"notes.txt", "recipe.yaml"}


def test_counts_are_counted(tree: Path) -> None:
    reseal(tree, lambda manifest: manifest["counts"].update(chosen=99, statuses={"passed": 36}))
    assert what_differs(audit(tree)) == {"counts": {"labels", "verdicts"}}


def test_the_licence_of_a_source_is_that_of_its_rows(tree: Path) -> None:
    reseal(tree, lambda manifest: manifest["lineage"]["sources"][0].update(license="mit"))
    reseal(tree, lambda manifest: manifest["counts"].update(pass_ratios=[0] * 9 + [6]))
    unnamed = "sources and licences of rows that the manifest does not name"
    assert what_differs(audit(tree)) == {"counts": {"suites by their pass rate", unnamed}}


@pytest.mark.parametrize("files", [64, 2])
def test_a_release_in_parts_is_the_same_release(tree: Path, files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of more samples than fit in memory is read in parts, each with all that belongs together. Where they
    are more than files are open at a time, they are written in two steps.
    """
    monkeypatch.setattr("plum_hub.verification.rows._FILES", files)
    monkeypatch.setattr("plum_hub.verification.rows._GATHERED", 10)
    findings = Findings()
    manifest = check_manifest(tree, findings, VerifiableManifest)
    assert manifest is not None
    provenance = read_provenance(tree, manifest.lineage, findings)
    assert provenance is not None
    with split(tree, 1) as whole, split(tree, 4) as parts:
        (everything,) = whole
        several = list(parts)
        check = RowsCheck(provenance, findings)
        names = [check.check_part(part) for part in parts]
        check.check_counts(manifest.counts)
    assert len(several) == 4
    assert sum(map(bool, names)) > 1
    for config, rows in everything.items():
        assert sorted(map(str, rows)) == sorted(str(row) for part in several for row in part[config])
    assert sorted(name for part in names for name in part) == sorted(row["sample_id"] for row in everything["samples"])
    assert findings.agree, findings.listed
