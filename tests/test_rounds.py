"""Rounds: a tiny model is sampled, judged, trained, and measured on what it was never trained on; killed on the way."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from plum_hub import recipe as recipes
from plum_hub.cli import cli
from plum_hub.errors import NothingToReleaseError, PlumError, RecipeError, RunError, TrainingError, UsageError
from plum_hub.instructions.sources import InstructionsConfig
from plum_hub.loading import fetch_release
from plum_hub.records import (
    CaseOutcome,
    Drop,
    Preference,
    SuiteAddition,
    SuiteRoles,
    SuiteStrength,
    SuiteVote,
    Verdict,
    digest,
)
from plum_hub.rounds.folder import RoundsFolder
from plum_hub.rounds.gain import measure_gain
from plum_hub.rounds.labels import check_answers, check_labels
from plum_hub.rounds.run import share_suites
from plum_hub.run import Run
from plum_hub.training.checkpoint import CHECKPOINT, TrainingFolder
from plum_hub.training.record import TrainingRecord
from plum_hub.training.settings import TrainingSettings
from tests.rehearsal import rows
from tests.training import toy
from tests.training.records import TRAINING
from tests.training.solver import task, write_solver, write_tasks

pytestmark = pytest.mark.filterwarnings("default")

SETTINGS = (
    "instructions.near_duplicates=1.0", "decontamination.benchmarks=[]", "suites.responses=1",
    "samples.per_instruction=6", "samples.max_tokens=48", "samples.temperature=1.0",
    "learning_rate=1e-3", "accumulation=1", "precision=fp32", "lora_rank=8", "max_length=512", "checkpoint_every=2",
)  # fmt: skip


def arguments(folder: Path, *options: str, settings: Sequence[str] = SETTINGS) -> list[str]:
    return [
        "run", "--model", f"transformers:{folder / 'solver'}", "--generator", f"scripted:{folder / 'generator.jsonl'}",
        "--instructions", str(folder / "tasks.jsonl"), "--held-out", "0.4", "--run", str(folder / "rounds"),
        "--hub", "embedded", "--repo", "solved", "--json", "--quiet",
        *[part for setting in settings for part in ("--set", setting)], *options,
    ]  # fmt: skip


def said(line: list[str]) -> dict[str, Any]:
    done = CliRunner().invoke(cli, line, catch_exceptions=False)
    assert done.exit_code == 0
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def two_rounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Two rounds that were killed while the first one sampled; and what is remembered of them."""
    folder = tmp_path_factory.mktemp("rounds")
    write_solver(folder / "solver")
    write_tasks(folder, 12)
    line = arguments(folder, "--rounds", "2", "--keep-going")
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {**toy.environment(), "PLUM_HUB_HOME": str(folder / "home")}.items():
            patch.setenv(key, value)
        process = subprocess.Popen([sys.executable, "-m", "plum_hub", *line], stdout=subprocess.DEVNULL)
        samples = folder / "rounds" / "rounds" / "0001" / "shards" / "00000" / "samples.jsonl"
        while not samples.exists() or not (sampled := samples.read_bytes()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = said(line)["rounds"]
    assert samples.read_bytes().startswith(sampled[: sampled.rindex(b"\n") + 1])
    return folder, found


def names(run: Path) -> set[object]:
    return {row["id"] for row in rows(run, "instructions")}


def test_no_round_is_measured_on_what_it_trained_on(two_rounds: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, found = two_rounds
    every = names(folder / "rounds" / "rounds" / "0000")
    assert len(every) == 12
    for number, row in enumerate(found, 1):
        run = folder / "rounds" / "rounds" / f"{number:04}"
        assert names(run) | names(run / "held-out") == every
        assert not names(run) & names(run / "held-out")
        assert {row["instruction_id"] for row in rows(run, "preferences")} <= names(run)
        assert {row["instruction_id"] for row in rows(run / "held-out", "verdicts")} == names(run / "held-out")
        assert not (run / "held-out" / "shards" / "00000" / "preferences.jsonl").exists()
        assert row["gain"]["instructions"] == len(names(run / "held-out"))
        assert row["gain"]["trained_on"] == 0
        suites = {row["id"] for part in (run, run / "held-out") for row in rows(part, "suites")}
        assert suites == {row["id"] for row in rows(folder / "rounds" / "rounds" / "0000", "suites")}


def test_each_round_trains_the_model_that_wrote_its_samples(two_rounds: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, found = two_rounds
    assert [row["round"] for row in found] == [1, 2]
    before = Run.open(folder / "rounds" / "rounds" / "0000").recipe.policy
    for row in found:
        run = folder / "rounds" / "rounds" / f"{row['round']:04}"
        policy = Run.open(run).recipe.policy
        assert policy.revision == before.revision
        facts = json.loads((folder / "rounds" / row["checkpoint"] / "training.json").read_text())
        assert facts["on_policy"] is True
        assert facts["model"]["revision"] == row["start"]["revision"] == before.revision
        before = Run.open(run / "held-out").recipe.policy
        assert (before.revision, Path(before.model).name) == (row["model"]["revision"], row["model"]["name"])
        assert row["model"]["name"] == f"solver-round-{row['round']}"


def test_each_round_publishes_a_dataset_and_the_model_of_it(two_rounds: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, found = two_rounds
    first, second = (
        json.loads((folder / "rounds" / row["checkpoint"] / "release" / "model" / "manifest.json").read_text())[
            "lineage"
        ]
        for row in found
    )
    for row, lineage in zip(found, (first, second), strict=True):
        assert row["model"]["repo"] == row["dataset"]["repo"] == "local/solved"
        trained_on = lineage["data"]
        assert (trained_on["repo"], trained_on["commit"]) == ("local/solved", row["dataset"]["commit"])
    assert (second["base"]["name"], second["base"]["commit"]) == ("local/solved", found[0]["model"]["commit"])
    assert [row["model"]["tag"] for row in found] == ["v1.0.0", "v2.0.0"]


def test_under_one_name_the_version_says_which_is_meant(
    two_rounds: tuple[Path, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = two_rounds
    monkeypatch.setenv("PLUM_HUB_HOME", str(folder / "home"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    commits = {row[kind]["tag"]: row[kind]["commit"] for row in found for kind in ("model", "dataset")}
    assert len(commits) == 3  # v1.0.0 of either kind, and a second version of each
    for tag, commit in commits.items():
        assert fetch_release("local/solved", tag, "embedded", None).commit == commit


def test_the_gain_is_that_of_the_verdicts(two_rounds: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, found = two_rounds
    rates = []
    for number in range(3):
        verdicts = rows(folder / "rounds" / "rounds" / f"{number:04}" / "held-out", "verdicts")
        rates.append(sum(row["status"] == "passed" for row in verdicts) / len(verdicts))
    for number, row in enumerate(found):
        assert (row["gain"]["before"], row["gain"]["after"]) == pytest.approx((rates[number], rates[number + 1]))
        assert row["gain"]["low"] <= row["gain"]["gain"] <= row["gain"]["high"]
    first = "continue" if found[0]["gain"]["low"] > 0 else "continue without a gain, as requested"
    assert [row["decision"] for row in found] == [first, "end: the last round requested"]


def test_a_report_shows_each_round_as_it_was_measured(
    two_rounds: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder, found = two_rounds
    shown = said(["report", str(folder / "rounds"), "--out", str(tmp_path), "--json", "--quiet"])["content"]["rounds"]
    assert [(row["number"], row["gain"], row["decision"]) for row in shown] == [
        (row["round"], row["gain"], row["decision"]) for row in found
    ]
    assert [(row["chosen"], row["rejected"], row["steps"], row["published"]) for row in shown] == [
        (row["rows"]["chosen"], row["rows"]["rejected"], row["steps"], f"local/solved @ v{row['round']}.0.0")
        for row in found
    ]
    assert shown[1]["started_with_revision"] == shown[0]["revision"] == found[0]["model"]["revision"]
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        for row in found:
            low, high = (f"{100 * row['gain'][end]:+.1f}" for end in ("low", "high"))
            assert f"{low} to {high}" in text
    assert "<figcaption>Gains, on held-out instructions</figcaption><svg" in (tmp_path / "report.html").read_text()


def test_what_is_done_is_not_done_again(two_rounds: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, found = two_rounds
    record = folder / "rounds" / "rounds.jsonl"
    assert said(arguments(folder, "--rounds", "2", "--keep-going"))["rounds"] == found
    lines = record.read_text()
    ended = json.loads(lines.splitlines()[-1])
    ended["gain"]["low"] = 0.0
    record.write_text(lines.splitlines(keepends=True)[0] + json.dumps(ended) + "\n")
    assert len(said(arguments(folder, "--rounds", "5"))["rounds"]) == 2  # no gain was found: it has stopped by itself
    assert not (folder / "rounds" / "rounds" / "0003").exists()
    record.write_text(lines)


def refusal(line: list[str], kind: type[PlumError]) -> str:
    with pytest.raises(kind) as caught:
        CliRunner().invoke(cli, line, catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_other_rounds_are_not_mixed_in(two_rounds: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, _ = two_rounds
    line = arguments(folder, "--rounds", "3")
    assert "learning_rate: 0.001 -> 0.1" in refusal([*line, "--set", "learning_rate=0.1"], RunError)
    assert "instructions.held_out: 0.4 -> 0.3" in refusal([*line, "--held-out", "0.3"], RunError)


def test_what_cannot_be_begun(tmp_path: Path) -> None:
    write_tasks(tmp_path, 2)
    line = arguments(tmp_path, "--rounds", "1")
    assert "scripted:" in refusal([*line, "--model", f"scripted:{tmp_path / 'generator.jsonl'}"], UsageError)
    assert "epoch" in refusal([*line, "--set", "epoch=2"], RecipeError)
    assert "--rounds" in CliRunner().invoke(cli, [*line, "--rounds", "0"]).output
    assert not (tmp_path / "rounds").exists()


def test_a_round_of_one_label_says_what_mends_it(tmp_path: Path) -> None:
    run = judged(tmp_path, {"a": [False, False]})
    with pytest.raises(NothingToReleaseError, match=r"^round 2: no sample in .* \(2 failed\).* --model.*--run DIR$"):
        check_labels(2, run, "sft")
    for label in (True, False):
        if not label:
            check_labels(1, run, "sft")
            with pytest.raises(
                TrainingError, match=r"^round 1: all 1 labelled .* kto needs both labels: pass --method sft"
            ):
                check_labels(1, run, "kto")
            with pytest.raises(
                TrainingError, match=r"^round 3: .* dpo needs both labels: end with --rounds 2, or start over"
            ):
                check_labels(3, run, "dpo")
            for number in (1, 2):
                with pytest.raises(TrainingError, match="kto needs both labels: start over with --method sft, or hard"):
                    check_labels(number, run, "kto", sealed=True)
            with pytest.raises(TrainingError, match="kto needs both labels: end with --rounds 2, or start over"):
                check_labels(3, run, "kto", sealed=True)
        ids = {"id": f"{label}", "instruction_id": "a", "suite_id": "a", "sample_id": f"{label}", "verdict_id": ""}
        with run.appending(Preference) as append:
            append(Preference(**ids, prompt="", completion="", label=label))
    check_labels(1, run, "kto")


def test_a_round_knows_all_that_is_known_of_its_suites(tmp_path: Path) -> None:
    """Its release said that no case was added, and had no mutation scores."""
    ids = [digest(task(number)) for number in range(20)]
    suites = judged(tmp_path / "all", {})
    counts = dict.fromkeys(
        (
            "cases",
            "mutants",
            "killed",
            "equivalent",
            "statements",
            "statements_covered",
            "branches",
            "branches_covered",
        ),
        1,
    )
    shares = dict.fromkeys(("mutation_score", "statement_coverage", "branch_coverage"), 0.5)
    for kind, values in (
        (SuiteAddition, {"cases": 2}),
        (SuiteStrength, {**counts, **shares, "sandbox": "x"}),
        (SuiteRoles, {"roles": ["edge"]}),
    ):
        with suites.appending(kind) as append:
            for name in ids:
                append(kind(id=f"suite of {name}", instruction_id=name, **values))
    parts = suites.recipe.instructions.model_copy(update={"held_out": 0.4, "part": "held_out"})
    run = Run.create(tmp_path / "part", suites.recipe.model_copy(update={"instructions": parts}))
    mine = {f"suite of {name}" for name in ids if parts.selects(name)}
    assert 0 < len(mine) < 20
    for _ in range(2):  # what is there already is not copied again
        share_suites(suites, run)
        for kind in (SuiteAddition, SuiteStrength, SuiteRoles):
            found = [*run.rows(kind)]
            assert (len(found), {one.id for one in found}) == (len(mine), mine)
    assert not run.has(SuiteVote)


def test_settings_may_change_until_something_was_trained(tmp_path: Path) -> None:
    recipe = judged(tmp_path / "run", {}).recipe
    folder = RoundsFolder(tmp_path / "rounds")
    for method in ("kto", "sft"):
        folder.check(recipe, {"method": method})
    record = TrainingRecord.from_json(json.dumps(TRAINING | {"finished": False}).encode())
    TrainingFolder(folder.round(1) / CHECKPOINT).write(record)
    folder.check(recipe, {"method": "sft"})
    with pytest.raises(RunError, match=r"holds rounds with other settings \(method: sft -> kto\)"):
        folder.check(recipe, {"method": "kto"})
    written = folder.path / "settings.json"
    written.write_text('{"method": "sft"}')  # as of a version that knew fewer keys
    folder.check(recipe, TrainingSettings(method="sft").model_dump(mode="json"))
    written.write_text('{"method": ')
    with pytest.raises(RunError, match=r"settings\.json: cannot be read \(.*restore it, or name another folder"):
        folder.check(recipe, {"method": "sft"})


def test_a_held_out_part_without_an_answer_is_told(tmp_path: Path) -> None:
    run = judged(tmp_path, {})
    drop = Drop(id="a", stage="samples", reason="refused", instruction_id="a", detail="the prompt has 9 tokens")
    with run.appending(Drop) as append:
        append(drop)
    with pytest.raises(RunError, match=r"^round 2: .* has no verdicts \(the prompt has 9 tokens\).*--run DIR$"):
        check_answers(2, run)
    check_answers(2, judged(tmp_path / "answered", {"a": [False]}))


def test_an_instruction_is_on_one_side_in_every_source() -> None:
    ids = [digest(task(number)) for number in range(2000)]
    held_out, training = (InstructionsConfig(held_out=0.3, part=part) for part in ("held_out", "training"))
    sides = [held_out.selects(name) for name in ids]
    assert sides == [not training.selects(name) for name in ids]
    assert 0.27 < sum(sides) / len(sides) < 0.33
    more = InstructionsConfig(held_out=0.4, part="held_out")
    assert all(more.selects(name) for name in ids if held_out.selects(name))
    assert all(InstructionsConfig(held_out=0.3).selects(name) for name in ids)


def judged(folder: Path, passed: Mapping[str, Sequence[bool]]) -> Run:
    """A run whose verdicts are these, by instruction."""
    recipe = recipes.compose(None, "test", {"policy": {"type": "scripted", "model": "x"}}, []).filled()
    run = Run.create(folder, recipe)
    with run.appending(Verdict) as append:
        for name, verdicts in passed.items():
            for number, one in enumerate(verdicts):
                append(
                    Verdict(
                        id=f"{name}{number}",
                        sample_id=f"{name}{number}",
                        suite_id=name,
                        instruction_id=name,
                        status="passed" if one else "failed",
                        cases=(CaseOutcome(outcome="passed" if one else "wrong"),),
                        detail="",
                        cpu_seconds=None,
                        peak_memory_mb=None,
                    )
                )
    return run


def test_a_gain_is_paired_by_instruction(tmp_path: Path) -> None:
    before = judged(tmp_path / "before", {"a": [True, False], "b": [False, False], "c": [True, True], "gone": [True]})
    after = judged(tmp_path / "after", {"a": [True, True], "b": [True, False], "c": [True, True]})
    found = measure_gain(before, after, [])
    assert (found.instructions, found.before, found.after) == (3, 0.5, pytest.approx(5 / 6))
    assert found.gain == pytest.approx(1 / 3)
    assert (found.low, found.high) == (0, 0.5)
    assert found.p_value is None
    assert not found.significant


def test_single_answers_are_compared_by_mcnemars_test(tmp_path: Path) -> None:
    before = judged(tmp_path / "before", {str(number): [number > 7] for number in range(10)})
    after = judged(tmp_path / "after", {str(number): [True] for number in range(10)})
    found = measure_gain(before, after, [])
    assert found.p_value == pytest.approx(2 / 2**8)
    assert found.significant


def test_nothing_is_measured_on_what_was_trained_on(tmp_path: Path) -> None:
    runs = [judged(tmp_path / name, {"a": [True], "b": [False]}) for name in ("before", "after", "training")]
    label = {"suite_id": "b", "sample_id": "", "verdict_id": "", "prompt": "", "completion": "", "label": True}
    with runs[2].appending(Preference) as append:
        append(Preference(id="", instruction_id="b", **label))
    with pytest.raises(RunError, match="1 of its instructions were trained on, as b"):
        measure_gain(runs[0], runs[1], runs[2:])
    assert measure_gain(runs[0], runs[1], []).instructions == 2
