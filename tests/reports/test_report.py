"""The tables, figures and files of a report."""

import gzip
import json
import os
import re
import shutil
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import plum_hub
from plum_hub.errors import RunError, UsageError
from plum_hub.reports.content import PaperTable, ReportContent
from plum_hub.reports.explorer import explorer_data
from plum_hub.reports.gather import gather
from plum_hub.reports.page import page
from plum_hub.reports.pictures import _results, file_names
from plum_hub.reports.rows import taken
from plum_hub.reports.templates import render
from plum_hub.reports.write import WrittenReport, default_folder
from tests.rehearsal import addend, rows
from tests.reports.experiment import write_experiment, write_scores, write_training

TRUTH = Path(__file__).resolve().parents[2] / "docs" / "results" / "label-truth"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_experiment(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def written(experiment: Path) -> WrittenReport:
    return plum_hub.report([experiment, TRUTH], out=experiment.parent / "out")


def table(content: ReportContent, name: str) -> PaperTable:
    return next(table for table in content.tables if table.id == name)


def here(content: ReportContent, name: str) -> dict[str, list[float | None]]:
    """The rows that this report measured, by their item, to one digit."""
    return {
        row.item: [None if value is None else round(value, 1) for value in row.values]
        for row in table(content, name).rows
        if row.origin == "here"
    }


def test_the_figures_are_those_of_the_rows(experiment: Path, written: WrittenReport) -> None:
    (build,) = written.content.builds
    found = {kind: rows(experiment / "data", kind) for kind in ("samples", "verdicts", "preferences", "dropped")}
    kept = {stage.stage: stage.kept for stage in build.stages}
    assert (kept["samples"], kept["preferences"]) == (len(found["samples"]), len(found["preferences"]))
    assert build.chosen == sum(bool(row["label"]) for row in found["preferences"])
    assert sum(count for stage in build.stages for count in stage.dropped.values()) == len(found["dropped"])
    assert sum(build.statuses.values()) == len(found["verdicts"])
    assert sum(build.pass_ratios) == kept["suites"]


def test_a_training_and_its_evaluations_fill_the_papers_table(written: WrittenReport) -> None:
    assert here(written.content, "table2") == {
        "Baseline": [None, None, 50.0, 50.0],
        "PLUM": [None, None, 75.0, 75.0],
        "Rel. +": [None, None, 50.0, 50.0],
    }
    gains = [(one.gain.suite, round(one.gain.gain, 3)) for one in written.content.gains]
    assert gains == [("base", 0.25), ("plus", 0.25)]
    relative = next(row for row in table(written.content, "table2").rows if row.item == "Rel. +")
    low, high = relative.intervals[2] or (None, None)
    assert (low, high) == (0.0, 150.0)  # the paired bootstrap's 0 to 0.75, of a base of 0.5
    assert table(written.content, "table2").missing is None


def test_the_published_numbers_stand_beside_them(written: WrittenReport) -> None:
    theirs = [row for row in table(written.content, "table1").rows if row.origin == "paper"]
    assert [row.values for row in theirs] == [(63.76,), (42.38,), (45.69,)]
    assert "63.76" in (written.folder / "report.md").read_text()
    assert all(row.intervals == () for each in written.content.tables for row in each.rows if row.origin == "paper")


@pytest.mark.parametrize("name", ["table3", "table4", "table5", "table6", "figure3"])
def test_a_table_without_data_says_what_would_fill_it(name: str, written: WrittenReport) -> None:
    assert here(written.content, name) == {}
    assert "plum-hub" in (table(written.content, name).missing or "")


def test_methods_and_negatives_are_compared_where_both_are_there(experiment: Path, tmp_path: Path) -> None:
    shutil.copytree(experiment, tmp_path / "more")
    seal = (experiment / "data" / "recipe.sha256").read_text().strip()
    data = {"name": "data", "revision": f"sha256:{seal}"}
    write_training(tmp_path / "more" / "training" / "dpo", data=data, settings={"method": "dpo"})
    write_scores(tmp_path / "more" / "evaluation" / "dpo", "other", {"a": 1, "b": 0, "c": 0, "d": 0})
    write_training(tmp_path / "more" / "training" / "kto-non-executable", data=data)
    write_scores(tmp_path / "more" / "evaluation" / "kto-non-executable", "third", {"a": 0, "b": 0, "c": 0, "d": 0})
    content = plum_hub.report(tmp_path / "more", out=tmp_path / "out").content
    table6 = {item: values[2] for item, values in here(content, "table6").items()}
    assert table6 == {"Baseline": 50.0, "DPO": 25.0, "KTO": 75.0}
    assert here(content, "table6")["KTO"][4] is None  # no mean of what was not measured
    figure3 = {item: values[2] for item, values in here(content, "figure3").items()}
    assert figure3 == {"Baseline": 50.0, "Non-executable only": 0.0, "PLUM": 75.0}
    assert (tmp_path / "out" / "figure-3.png").is_file()


def test_evaluations_that_cannot_be_compared_are_a_note(experiment: Path, tmp_path: Path) -> None:
    shutil.copytree(experiment, tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "evaluation" / "base")
    write_scores(tmp_path / "other" / "evaluation" / "base", "r", {"a": 1}, benchmark="mbpp+")
    content = plum_hub.report(tmp_path / "other", out=tmp_path / "out").content
    assert content.gains == ()
    assert any("was not evaluated" in note for note in content.notes)


def test_label_truth_counts_the_papers_rule(written: WrittenReport) -> None:
    best = next(one for one in written.content.truths if one.suites == "best")
    assert 0.8 < best.right_chosen / best.chosen < 0.95
    assert best.problems > 100


def test_no_file_names_a_path_of_this_machine(experiment: Path, written: WrittenReport) -> None:
    for path in written.files:
        assert str(experiment.parents[1]).encode() not in path.read_bytes(), path.name
    for entry in entries(written):
        assert str(experiment.parents[1]) not in json.dumps(entry)


def test_json_and_pictures_are_beside_the_page(written: WrittenReport) -> None:
    content = json.loads((written.folder / "report.json").read_text())
    assert content["builds"][0]["chosen"] == written.content.builds[0].chosen
    assert content["trainings"][0]["curves"][0]["lines"][0]["values"][:2] == [1.0, 0.5]
    names = {path.relative_to(written.folder).as_posix() for path in written.files}
    assert {"report.html", "report.md", "results.png", "curves/experiment-training-kto/loss.png"} <= names
    assert all(path.stat().st_size for path in written.files)
    shown = (written.folder / "report.md").read_text()
    assert all(f"]({name})" in shown for name in names if name.endswith(".png"))


def test_scores_of_long_names_are_told_apart_in_the_picture(written: WrittenReport) -> None:
    from matplotlib.figure import Figure

    found = written.content.evaluations
    named = [replace(one, name=f"{'a-long-experiment' * 3}/evaluation/{number}") for number, one in enumerate(found)]
    axes = Figure().add_subplot()
    _results(replace(written.content, evaluations=tuple(named)), axes)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len({*labels}) == len(labels) > len(found)


def test_a_score_is_named_by_its_metric(tmp_path: Path) -> None:
    write_scores(tmp_path / "runs" / "kto", "trained", {"a": 1, "b": 0})
    file = tmp_path / "runs" / "kto" / "scores.json"
    record = json.loads(file.read_text())
    record["scores"] += [{**score, "metric": "pass@10", "value": 0.875} for score in record["scores"]]
    file.write_text(json.dumps(record))
    content = gather([str(tmp_path / "runs")], "auto", None).content
    for name in ("report.md.jinja", "report.html.jinja"):
        text = page(content, explorer_data([])) if "html" in name else render(name, content=content, pictures=[])
        lines = [line for line in text.splitlines() if "87.5" in line]
        assert len(lines) == 2, name
        assert all("pass@10" in line and "pass@1 " not in line for line in lines)
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    _results(content, axes)
    assert len(axes.get_yticklabels()) == 2


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["odd/a b", "odd/a-b", "odd/A b"], ["odd-a-b", "odd-a-b-2", "odd-a-b-3"]),
        (["训练一", "训练二", "训练一"], ["run-591b2675", "run-6954b24f", "run-591b2675-2"]),
        (["a-2", "a", "a"], ["a-2", "a", "a-3"]),
        (["me/x@v1.0.0", "me/x@v1.1.0"], ["me-x", "me-x-2"]),
    ],
    ids=["punctuation", "no-ascii", "numbered", "versions"],
)
def test_no_two_parts_share_a_file(names: list[str], files: list[str]) -> None:
    assert file_names(names) == files


def test_reports_of_two_titles_have_two_folders() -> None:
    titles = ["starter", "Starter", "a b", "a-b", "训练一", "训练二", "me/x@v1.0.0", "me/x@v1.1.0"]
    assert len({default_folder(title) for title in titles}) == len(titles)
    assert default_folder("starter") == Path("runs/report-starter")


def test_builds_of_any_name_have_pictures_of_their_own(experiment: Path, tmp_path: Path) -> None:
    names = ["a b", "a-b", "训练一", "训练二", os.fsdecode(b"\xff")]
    for name in names:
        shutil.copytree(experiment / "data", tmp_path / "odd" / name)
    written = plum_hub.report(tmp_path / "odd", out=tmp_path / "out", samples=1)
    funnels = [path for path in written.files if path.name.startswith("funnel")]
    assert len({path.name for path in funnels}) == len(names)
    assert all(path.is_file() for path in funnels)
    assert "odd/\N{REPLACEMENT CHARACTER}" in {build.name for build in written.content.builds}


def test_a_folder_that_cannot_be_read_is_a_note(tmp_path: Path) -> None:
    deep, root = tmp_path, os.open(tmp_path, os.O_RDONLY)
    part = "d" * 200
    while len(str(deep)) < 3800:  # below, paths are longer than the system takes: whoever runs this, they fail
        os.mkdir(part, dir_fd=root)
        deep, root = deep / part, os.open(part, os.O_RDONLY, dir_fd=root)
    write_training(deep / "kto")
    os.mkdir("x" * 250, dir_fd=root)
    os.mkdir("y" * 100, dir_fd=root)
    os.mkdir(f"{'y' * 100}/{'z' * 200}", dir_fd=root)
    content = gather([str(deep)], "auto", None).content
    assert [one.name for one in content.trainings] == [f"{part}/kto"]
    assert [note.split(":")[0].split("/")[1:] for note in content.notes] == [["x" * 250], ["y" * 100, "z" * 200]]
    assert all("cannot be read (File name too long)" in note for note in content.notes)
    with pytest.raises(RunError, match=r"cannot be read \(.*File name too long\)"):
        plum_hub.report(deep / ("x" * 250))


def test_the_page_has_every_row(experiment: Path, written: WrittenReport) -> None:
    found = [sample for entry in entries(written) for sample in entry["samples"]]
    assert {sample["id"] for sample in found} == {row["id"] for row in rows(experiment / "data", "samples")}
    failing = [sample for sample in found if sample["status"] == "failed"]
    assert all(sample["outcomes"][sample["failing"]] in ("wrong", "raised") for sample in failing)
    wrong = {sample["got"] for sample in failing if sample["outcomes"][sample["failing"]] == "wrong"}
    assert wrong <= {str(addend(number) + 100) for number in range(6)}  # what a wrong answer gives for 0
    assert wrong
    labels = {row["sample_id"]: row["label"] for row in rows(experiment / "data", "preferences")}
    assert {sample["id"]: sample["label"] for sample in found if sample["label"] is not None} == labels


def test_a_page_of_fewer_samples_takes_instructions_at_equal_distances(experiment: Path, tmp_path: Path) -> None:
    assert taken(dict.fromkeys("abcdefgh", 10), 40) in ({*"aceg"}, {*"bdfh"})
    assert taken({"a": 50, "b": 50}, 10) == {"a"}
    assert taken({"a": 1, "b": 0}, 1) == {"a", "b"}
    written = plum_hub.report(experiment / "data", out=tmp_path / "out", samples=12)
    assert sum(len(entry["samples"]) for entry in entries(written)) == 12
    assert "are not on this page" in written.files[0].read_text()


def test_the_same_rows_give_the_same_page(experiment: Path, written: WrittenReport, tmp_path: Path) -> None:
    again = plum_hub.report([experiment, TRUTH], out=tmp_path / "again")
    for one, other in zip(written.files, again.files, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_what_is_no_run_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="name the folder that --run or --out"):
        plum_hub.report(tmp_path)
    with pytest.raises(UsageError, match="neither a folder that exists nor REPO@TAG"):
        plum_hub.report(str(tmp_path / "absent"))


def entries(written: WrittenReport) -> Iterator[dict[str, Any]]:
    """The rows that the page holds."""
    for chunk in re.findall(r'id="chunk-\d+">([^<]+)<', written.files[0].read_text()):
        yield from json.loads(gzip.decompress(b64decode(chunk)))
