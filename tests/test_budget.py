"""A build that is given a time: what is chosen to fit it, what becomes of the rest, and that a decision stands."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from plum_hub.pipeline.budget import Extent, Speed, decision_message, fit_extent, speed_of
from plum_hub.recipe import BudgetConfig
from tests.rehearsal import command, plum_hub, rows, write_rehearsal

WANTED = Extent(instructions=40, responses=3, samples=10)


def seconds(extent: Extent) -> float:
    """A second an answer, every instruction having a suite."""
    return extent.instructions * (extent.responses + extent.samples)


@pytest.mark.parametrize(
    ("time", "instructions", "responses", "samples"),
    [
        (10_000, 40, 3, 10),
        (520, 40, 3, 10),
        (519, 39, 3, 10),
        (182, 14, 3, 10),
        (130, 10, 3, 10),
        (129, 10, 3, 9),  # the fewest instructions: then samples, down to half
        (80, 10, 3, 5),
        (79, 10, 2, 5),  # then responses
        (59, 10, 2, 3),  # then samples once more
        (40, 10, 2, 2),
        (39, 10, 1, 2),  # and one response at last
        (30, 10, 1, 2),
        (-5, 10, 1, 2),  # nothing fits: the least
    ],
)
def test_as_much_as_fits(time: float, instructions: int, responses: int, samples: int) -> None:
    found = fit_extent(WANTED, 10, time, seconds)
    assert found == Extent(instructions=instructions, responses=responses, samples=samples)


@pytest.mark.parametrize(
    "wanted",
    [
        Extent(instructions=3, responses=1, samples=1),
        Extent(instructions=1, responses=6, samples=50),
        Extent(instructions=12, responses=0, samples=2),
    ],
)
def test_never_more_than_the_recipe_asks_nor_nothing(wanted: Extent) -> None:
    for time_ in range(-1, 400, 3):
        found = fit_extent(wanted, 10, time_, seconds)
        assert min(10, wanted.instructions) <= found.instructions <= wanted.instructions
        assert min(1, wanted.responses) <= found.responses <= wanted.responses
        assert min(2, wanted.samples) <= found.samples <= wanted.samples


def test_the_speed_tells_prompts_from_tokens() -> None:
    moments = [(6.0 + step, 30 * step) for step in range(17)]  # six seconds for the prompts, then a step a second
    speed = speed_of(moments, 30, 22.0)
    assert speed.token_seconds == pytest.approx(1 / 30)
    assert speed.request_seconds == pytest.approx(6 / 30)
    assert speed.answer(300) == pytest.approx(10.2)


def test_one_moment_is_enough_for_a_speed() -> None:
    assert speed_of([(2.0, 8)], 4, 2.0) == Speed(request_seconds=0.0, token_seconds=0.25)


def test_the_line_says_what_is_less_than_asked() -> None:
    fits = Extent(instructions=14, responses=3, samples=10)
    assert (
        decision_message(fits, WANTED, 41.4, 10)
        == "this machine writes 41 tokens/s: 14 of 40 instructions fit 10 minutes"
    )
    least = Extent(instructions=10, responses=2, samples=5)
    assert decision_message(least, WANTED, 18, 10) == (
        "this machine writes 18 tokens/s: 10 of 40 instructions fit 10 minutes, "
        "with 2 instead of 3 responses each and 5 instead of 10 samples each"
    )


def build(folder: Path, *settings: str, delay: float = 0.0) -> list[str]:
    return command(folder, *(part for setting in settings for part in ("--set", setting)), delay=delay)


def test_without_a_budget_nothing_is_left_out() -> None:
    assert BudgetConfig().minutes is None


def test_a_slow_machine_makes_the_least_and_says_where_the_rest_went(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=12)
    arguments = build(tmp_path, "budget.minutes=0.00001", "budget.min_instructions=7", "suites.temperature=0")
    done = plum_hub(arguments)
    assert done.returncode == 0, done.stderr
    assert " tokens/s: 7 of 12 instructions fit 1e-05 minutes, with 1 instead of 4 responses each" in done.stderr
    run = tmp_path / "run"
    responses, samples, suites = (rows(run, kind) for kind in ("responses", "samples", "suites"))
    cut = [row for row in rows(run, "dropped") if row["reason"] == "over_budget"]
    assert len({row["instruction_id"] for row in responses}) == len(responses) == 7
    assert sum(row["stage"] == "responses" for row in cut) == 12 * 4 - 7
    assert len(samples) == 2 * len(suites) > 0
    assert sum(row["stage"] == "samples" for row in cut) == 4 * len(suites)
    made = {row["id"] for kind in (responses, samples) for row in kind}
    assert len({row["id"] for row in cut} | made) == len(cut) + len(made)  # each row either made or left out, once
    status = plum_hub([*arguments[:3], "status", str(run), "--json"])
    found = json.loads(status.stdout)
    assert found["dropped"]["responses"] == {"over_budget": 41}
    again = plum_hub([*arguments, "-q"])
    assert again.returncode == 0, again.stderr
    assert [row for row in rows(run, "dropped") if row["reason"] == "over_budget"] == cut


def test_a_fast_machine_makes_everything(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=4)
    done = plum_hub(build(tmp_path, "budget.minutes=60", "budget.min_instructions=2"))
    assert done.returncode == 0, done.stderr
    assert "4 of 4 instructions fit 60 minutes" in done.stderr
    assert len(rows(tmp_path / "run", "responses")) == 16
    assert not [row for row in rows(tmp_path / "run", "dropped") if row["reason"] == "over_budget"]


def test_a_killed_build_keeps_its_decision(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=8)
    settings = ["budget.minutes=0.1", "budget.min_instructions=2", "suites.temperature=0"]
    run, decision = tmp_path / "run", tmp_path / "run" / "budget.json"
    # Six seconds of which some are the start's: what fits hangs on the machine's speed, and that is what must stand.
    first = subprocess.Popen(build(tmp_path, *settings, delay=0.05), stderr=subprocess.DEVNULL)
    while not decision.exists():
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = json.loads(decision.read_text())
    done = plum_hub([*build(tmp_path, *settings, delay=0.05), "-q"])
    assert done.returncode in (0, 11), done.stderr  # 11: of so few samples none may have passed
    assert json.loads(decision.read_text())["responses"] == before["responses"]
    responses = rows(run, "responses")
    extent = before["responses"]
    assert len({row["instruction_id"] for row in responses}) == extent["instructions"]
    assert len(responses) == extent["instructions"] * extent["responses"]


def test_what_was_answered_before_a_decision_is_not_asked_again(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=5)
    arguments = build(tmp_path, "budget.minutes=0.00001", "budget.min_instructions=2", "suites.temperature=0")
    assert plum_hub(arguments).returncode in (0, 11)
    (tmp_path / "run" / "budget.json").unlink()  # as a kill leaves it that comes between the answers and the decision
    (tmp_path / "run" / "shards" / "00000" / "dropped.jsonl").unlink()
    assert plum_hub(arguments).returncode in (0, 11)
    for kind in ("responses", "samples", "dropped"):
        ids = [row["id"] for row in rows(tmp_path / "run", kind)]
        assert len(ids) == len(set(ids)) > 0, kind


def test_a_decision_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=5)
    arguments = build(tmp_path, "budget.minutes=0.00001", "suites.temperature=0")
    assert plum_hub(arguments).returncode == 0
    for damage in ("", "[1]", '{"responses": {"instructions": "many"}}', '{"responses": 3}', '{"responses": {}}'):
        (tmp_path / "run" / "budget.json").write_text(damage)
        done = plum_hub(arguments)
        assert done.returncode == 4, (damage, done.stderr)
        assert "budget.json" in done.stderr
        assert "Traceback" not in done.stderr
