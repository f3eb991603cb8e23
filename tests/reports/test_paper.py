"""The paper's tables: which numbers stand below one another, and from which problems they are."""

import json
from pathlib import Path

import pytest

from plum_hub.reports.content import PaperRow, ReportContent
from plum_hub.reports.gather import gather
from plum_hub.reports.templates import render
from tests.reports.experiment import write_scores, write_training

HE, HE_PLUS = 2, 3
"""Columns of HumanEval in Table 2, without and with EvalPlus' tests."""


def content(folder: Path) -> ReportContent:
    return gather([str(folder)], "auto", None).content


def measured(found: ReportContent, table: str) -> list[PaperRow]:
    return [row for each in found.tables if each.id == table for row in each.rows if row.origin == "here"]


def columns(rows: list[PaperRow], place: int) -> dict[str, float | None]:
    return {row.item: row.values[place] for row in rows}


def test_scores_of_two_protocols_have_no_relative_gain(tmp_path: Path) -> None:
    write_training(tmp_path / "training" / "kto")
    write_scores(tmp_path / "evaluation" / "base", "r", {"a": 1, "b": 0})
    evalplus = {"name": "evalplus", "version": "0.3.1"}
    write_scores(tmp_path / "evaluation" / "kto", "trained", {"a": 1, "b": 1}, protocol=evalplus)
    found = content(tmp_path)
    assert any("scores of two protocols cannot be compared" in note for note in found.notes)
    assert columns(measured(found, "table2"), HE_PLUS) == {"Baseline": None, "PLUM": 100.0, "Rel. +": None}


def test_a_gain_is_over_the_problems_that_both_were_asked(tmp_path: Path) -> None:
    write_training(tmp_path / "training" / "kto")
    write_scores(tmp_path / "evaluation" / "base", "r", {"a": 0, "b": 0, "c": 1, "d": 1})
    write_scores(tmp_path / "evaluation" / "kto", "trained", {"c": 1, "d": 1})
    rows = measured(content(tmp_path), "table2")
    assert columns(rows, HE_PLUS) == {"Baseline": 100.0, "PLUM": 100.0, "Rel. +": 0.0}
    before, after, gain = (row.intervals[HE_PLUS] for row in rows)
    assert before is None  # its standard error is over four problems, the value over two
    assert after == (100.0, 100.0)
    assert gain == pytest.approx((-65.8, 65.8), abs=0.1)  # of two problems that both solved, nothing is certain


def test_a_column_has_one_benchmark(tmp_path: Path) -> None:
    write_training(tmp_path / "training" / "kto")
    write_scores(tmp_path / "evaluation" / "base", "r", {"a": 0, "b": 1}, benchmark="humaneval")
    write_scores(tmp_path / "evaluation" / "kto", "trained", {"a": 1, "b": 1})
    add_benchmark(tmp_path / "evaluation" / "kto", "humaneval", {"a": 0, "b": 1})
    rows = measured(content(tmp_path), "table2")
    assert columns(rows, HE) == {"Baseline": 50.0, "PLUM": 50.0, "Rel. +": 0.0}
    assert columns(rows, HE_PLUS) == {"Baseline": None, "PLUM": 100.0, "Rel. +": None}


@pytest.mark.parametrize(
    ("table", "other", "changed"),
    [
        ("table5", "sft", {"settings": {"method": "sft"}}),
        ("table6", "dpo", {"settings": {"method": "dpo"}}),
        ("figure3", "kto-non-executable", {}),
    ],
    ids=["table5", "table6", "figure3"],
)
@pytest.mark.parametrize(
    "unlike",
    [
        {},
        {"model": {"name": "m", "revision": "other"}},
        {"data": {"name": "d", "revision": "other"}},
        {"protocol": {"samples": 10, "temperature": 0.8}},
    ],
    ids=["alike", "model", "rows", "protocol"],
)
def test_only_trainings_of_one_model_on_the_same_rows_are_beside_one_another(
    table: str, other: str, changed: dict[str, object], unlike: dict[str, object], tmp_path: Path
) -> None:
    write_training(tmp_path / "training" / "kto")
    write_training(tmp_path / "training" / other, **changed, **{k: v for k, v in unlike.items() if k != "protocol"})
    write_scores(tmp_path / "evaluation" / "base", "r", {"a": 1, "b": 0})
    write_scores(tmp_path / "evaluation" / "kto", "trained", {"a": 1, "b": 1})
    write_scores(tmp_path / "evaluation" / other, "third", {"a": 0, "b": 0}, protocol=unlike.get("protocol", {}))
    rows = measured(content(tmp_path), table)
    assert [row.values[2] for row in rows] == ([] if unlike else [50.0, 0.0, 100.0])


def test_methods_that_were_asked_other_problems_share_no_column(tmp_path: Path) -> None:
    write_training(tmp_path / "training" / "kto")
    write_training(tmp_path / "training" / "dpo", settings={"method": "dpo"})
    write_scores(tmp_path / "evaluation" / "base", "r", {"a": 1, "b": 0})
    for method, passed in (("kto", {"a": 1, "b": 1}), ("dpo", {"b": 0})):
        write_scores(tmp_path / "evaluation" / method, method, passed)
    add_benchmark(tmp_path / "evaluation" / "kto", "mbpp+", {"x": 1})
    add_benchmark(tmp_path / "evaluation" / "dpo", "mbpp+", {"x": 0})
    rows = measured(content(tmp_path), "table6")
    assert columns(rows, 2) == {"Baseline": None, "DPO": None, "KTO": None}
    assert columns(rows, 0) == {"Baseline": None, "DPO": 0.0, "KTO": 100.0}


def test_two_evaluations_of_a_training_are_told_apart(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_training(runs / "lora")
    model = {"type": "transformers", "model": str(runs / "lora"), "revision": "s"}
    for name, protocol in (("", {}), ("-sampled", {"samples": 10, "temperature": 0.8})):
        write_scores(runs / f"base{name}", "r", {"a": 1, "b": 0}, protocol=protocol)
        write_scores(runs / f"kto{name}", "s", {"a": 1, "b": 1}, protocol=protocol, model=model)
        for folder in (runs / f"base{name}", runs / f"kto{name}"):
            ask(folder, **protocol)
    found = content(runs)
    greedy, sampled = "1 sample a problem, greedy", "10 samples a problem, temperature 0.8"
    assert [(row.item, row.evaluation) for row in measured(found, "table2")] == [
        ("Baseline", f"runs/base, {greedy}"), ("PLUM", f"runs/kto, {greedy}"), ("Rel. +", f"runs/kto, {greedy}"),
        ("Baseline", f"runs/base-sampled, {sampled}"), ("PLUM", f"runs/kto-sampled, {sampled}"),
        ("Rel. +", f"runs/kto-sampled, {sampled}"),
    ]  # fmt: skip
    shown = render("report.md.jinja", content=found, pictures=[])
    gains = {line for line in shown.splitlines() if line.startswith("| runs/lora | runs/kto")}
    assert len(gains) == 4  # two suites of two evaluations


def add_benchmark(folder: Path, benchmark: str, passed: dict[str, int]) -> None:
    """Add the scores of a benchmark to those of an evaluation."""
    write_scores(folder / "more", "", passed, benchmark)
    record, more = (json.loads((each / "scores.json").read_text()) for each in (folder, folder / "more"))
    (folder / "more" / "scores.json").unlink()
    revision = record["scores"][0]["model_revision"]
    record["scores"] += [{**score, "model_revision": revision} for score in more["scores"]]
    record["outcomes"] |= more["outcomes"]
    (folder / "scores.json").write_text(json.dumps(record))


def ask(folder: Path, **changed: object) -> None:
    """Change what the scores of an evaluation say of its samples."""
    record = json.loads((folder / "scores.json").read_text())
    record["scores"] = [{**score, **changed} for score in record["scores"]]
    (folder / "scores.json").write_text(json.dumps(record))
