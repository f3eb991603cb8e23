"""`plum-hub build-dataset` as its user runs it, over the scripted engine: whole, killed anywhere, edited, misused."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.rehearsal import command, plum_hub, rows, suite_answer, task, write_rehearsal

KINDS = ["instructions", "responses", "suites", "samples", "verdicts", "preferences", "dropped"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an unbroken run."""
    folder = tmp_path_factory.mktemp("whole")
    write_rehearsal(folder)
    done = plum_hub(command(folder, "--json"))
    assert done.returncode == 0, done.stderr
    (folder / "result.json").write_text(done.stdout)
    return folder


def test_both_labels_come_out_and_nothing_is_lost(whole: Path) -> None:
    run = whole / "run"
    result = json.loads((whole / "result.json").read_text())
    assert result["rows"]["instructions"] == 6
    assert result["rows"]["responses"] == 24
    assert result["chosen"] > 0
    assert result["rejected"] > 0
    suites, samples, verdicts = (rows(run, kind) for kind in ("suites", "samples", "verdicts"))
    dropped = rows(run, "dropped")
    assert len(suites) + sum(row["stage"] == "suites" for row in dropped) == 24  # every response is decided
    assert len({row["instruction_id"] for row in suites}) == len(suites)
    assert len(samples) == 6 * len(suites)
    assert {row["sample_id"] for row in verdicts} == {row["id"] for row in samples}  # no row without a verdict
    labelled = rows(run, "preferences")
    assert len(labelled) + sum(row["stage"] == "preferences" for row in dropped) == len(samples)


def test_verdicts_are_what_the_programs_deserve(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=3)
    done = plum_hub(command(tmp_path, "-q", mypy=True))
    assert done.returncode == 0, done.stderr
    texts = {row["id"]: row["text"] for row in rows(tmp_path / "run", "samples")}
    deserved = {
        "+ 100\n": "failed",
        "return x +\n": "syntax_error",
        "undefined_name": "static_error",
        "No idea.": "no_code",
    }
    seen = set()
    for verdict in rows(tmp_path / "run", "verdicts"):
        text = str(texts[verdict["sample_id"]])
        status = next((status for mark, status in deserved.items() if mark in text), "passed")
        assert verdict["status"] == status, text
        seen.add(status)
    assert seen == {"failed", "syntax_error", "static_error", "no_code", "passed"}


def test_an_instruction_without_a_chosen_sample_is_left_out(whole: Path) -> None:
    run = whole / "run"
    hopeless = {row["id"] for row in rows(run, "instructions") if row["text"] in (task(2), task(5))}
    assert not hopeless & {row["instruction_id"] for row in rows(run, "preferences")}
    reasons = {
        row["reason"]
        for row in rows(run, "dropped")
        if row["stage"] == "preferences" and row["instruction_id"] in hopeless
    }
    assert "no_chosen_sample" in reasons


def test_a_second_start_makes_nothing(whole: Path) -> None:
    before = {kind: rows(whole / "run", kind) for kind in KINDS}
    done = plum_hub(command(whole, "-q"))
    assert done.returncode == 0, done.stderr
    assert {kind: rows(whole / "run", kind) for kind in KINDS} == before


@pytest.mark.parametrize("kind", ["instructions", "responses", "suites", "samples", "verdicts", "preferences"])
def test_killed_in_a_stage_and_started_again_gives_the_same_rows(whole: Path, tmp_path: Path, kind: str) -> None:
    write_rehearsal(tmp_path)
    file = tmp_path / "run" / "shards" / "00000" / f"{kind}.jsonl"
    process = subprocess.Popen(
        command(tmp_path, "-q", delay=0.02),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (file.exists() and file.stat().st_size):
        assert process.poll() is None or file.exists(), "the build ended before the stage began"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = file.read_bytes()
    done = plum_hub(command(tmp_path, "-q", delay=0.001))
    assert done.returncode != 0  # another delay is another recipe
    done = plum_hub(command(tmp_path, "-q", delay=0.02))
    assert done.returncode == 0, done.stderr
    assert file.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])  # what was made is not made again
    for each in KINDS:
        mine, wanted = rows(tmp_path / "run", each), rows(whole / "run", each)
        assert len(mine) == len({(row["id"], row.get("reason")) for row in mine}), each
        assert sorted(map(json.dumps, mine)) == sorted(map(json.dumps, wanted)), each


def test_torn_lines_are_mended(whole: Path, tmp_path: Path) -> None:
    write_rehearsal(tmp_path)
    assert plum_hub(command(tmp_path, "-q")).returncode == 0
    for kind in ("responses", "samples", "verdicts"):
        path = tmp_path / "run" / "shards" / "00000" / f"{kind}.jsonl"
        path.write_bytes(path.read_bytes()[:-20])
    assert plum_hub(command(tmp_path, "-q")).returncode == 0
    for kind in KINDS:
        mine, wanted = rows(tmp_path / "run", kind), rows(whole / "run", kind)
        assert sorted(map(json.dumps, mine)) == sorted(map(json.dumps, wanted)), kind


def test_another_recipe_is_refused_and_carry_over_keeps_what_is_valid(tmp_path: Path) -> None:
    write_rehearsal(tmp_path)
    assert plum_hub(command(tmp_path, "-q")).returncode == 0
    refused = plum_hub(command(tmp_path, "-q", "--set", "samples.per_instruction=8"))
    assert refused.returncode == 4
    assert "samples.per_instruction: 6 -> 8" in refused.stderr
    assert f"--carry-over {tmp_path / 'run'}" in refused.stderr

    more = command(
        tmp_path, "--json", "--set", "samples.per_instruction=8", "--carry-over", str(tmp_path / "run"), run="more"
    )
    done = plum_hub(more)
    assert done.returncode == 0, done.stderr
    old, new = rows(tmp_path / "run", "samples"), rows(tmp_path / "more", "samples")
    assert new[: len(old)] == old
    assert len(new) == len(old) * 8 // 6
    assert rows(tmp_path / "more", "responses") == rows(tmp_path / "run", "responses")


def test_the_command_that_an_edited_recipe_is_answered_with_works(tmp_path: Path) -> None:
    write_rehearsal(tmp_path)
    assert plum_hub(command(tmp_path, "-q")).returncode == 0
    recipe = tmp_path / "run" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("per_instruction: 6", "per_instruction: 7"))
    refused = plum_hub(command(tmp_path, "-q"))
    assert refused.returncode == 4
    _, words, answer = refused.stderr.partition("plum-hub build-dataset ")
    assert words
    done = plum_hub(_cli("build-dataset", *shlex.split(answer.splitlines()[0]), "-q", "--hub", "none"))
    assert done.returncode == 0, done.stderr
    old, new = rows(tmp_path / "run", "samples"), rows(tmp_path / "run-2", "samples")
    assert new[: len(old)] == old
    assert len(new) == len(old) * 7 // 6
    assert rows(tmp_path / "run-2", "responses") == rows(tmp_path / "run", "responses")


def test_a_run_killed_while_it_is_created_is_begun_anew(tmp_path: Path) -> None:
    write_rehearsal(tmp_path)
    (tmp_path / "run" / "shards").mkdir(parents=True)
    (tmp_path / "run" / "recipe.sha256").write_text("0\n")
    assert plum_hub(command(tmp_path, "-q")).returncode == 0


def test_an_instruction_keeps_one_suite_whatever_was_lost(whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole / "run", tmp_path / "run")
    kept = (run / "shards" / "00000" / "suites.jsonl").read_bytes()
    for kind in ("dropped", "samples", "verdicts", "preferences"):
        (run / "shards" / "00000" / f"{kind}.jsonl").unlink()
    done = plum_hub(
        _cli("build-dataset", "--recipe", str(run / "recipe.yaml"), "--run", str(run), "--hub", "none", "-q")
    )
    assert done.returncode == 0, done.stderr
    assert (run / "shards" / "00000" / "suites.jsonl").read_bytes() == kept
    mine, wanted = rows(run, "dropped"), rows(whole / "run", "dropped")
    assert sorted(map(json.dumps, mine)) == sorted(map(json.dumps, wanted))


def test_the_generator_is_the_policy_with_all_its_settings(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=3)
    assert plum_hub(command(tmp_path, "-q", "--set", "policy.delay_seconds=0.001")).returncode == 0
    assert (tmp_path / "run" / "recipe.yaml").read_text().count("delay_seconds: 0.001") == 2


def test_a_model_that_moved_is_the_same_model(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=3)
    assert plum_hub(command(tmp_path, "-q")).returncode == 0
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "answers.jsonl").rename(tmp_path / "elsewhere" / "answers.jsonl")
    arguments = command(tmp_path, "-q")
    arguments[arguments.index("--model") + 1] = f"scripted:{moved}"
    done = plum_hub(arguments)
    assert done.returncode == 0, done.stderr


def test_status_and_show(whole: Path) -> None:
    run = whole / "run"
    status = plum_hub(_cli("status", str(run)))
    assert status.returncode == 0, status.stderr
    assert "self-consistency" in status.stdout
    sample = rows(run, "samples")[0]
    shown = plum_hub(_cli("show", str(run), str(sample["id"])[:12]))
    assert shown.returncode == 0, shown.stderr
    assert str(sample["instruction_id"]) in shown.stdout
    assert "passed" in shown.stdout
    assert plum_hub(_cli("show", str(run), "zz")).returncode == 4
    assert plum_hub(_cli("status", str(whole / "nowhere"))).returncode == 4


def test_dry_run_asks_nothing_and_counts_what_is_owed(whole: Path, tmp_path: Path) -> None:
    write_rehearsal(tmp_path)
    planned = plum_hub(command(tmp_path, "--dry-run", "--json"))
    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert plan["instructions"] == 6
    assert plan["steps"][0]["requests"] == 24
    assert not (tmp_path / "run").exists()
    foreign = plum_hub(command(whole, "--dry-run", "--set", "samples.temperature=0.2"))
    assert foreign.returncode == 4
    carried = command(whole, "--dry-run", "--json", "--carry-over", str(whole / "run"), run="new")
    assert [step["requests"] for step in json.loads(plum_hub(carried).stdout)["steps"]] == [0, 0]
    again = json.loads(plum_hub(command(whole, "--dry-run", "--json")).stdout)
    assert [step["requests"] for step in again["steps"]] == [0, 0]
    assert "price" not in planned.stdout


def test_a_dry_run_of_a_stopped_build_counts_the_samples_of_what_is_undecided(tmp_path: Path) -> None:
    write_rehearsal(tmp_path)

    def planned(*options: str) -> list[int]:
        found = json.loads(plum_hub(command(tmp_path, *options, "--dry-run", "--json")).stdout)
        return [step["requests"] for step in found["steps"]]

    fresh = planned()
    stopped = plum_hub(command(tmp_path, "-q", "--max-tokens", "3000"))
    assert stopped.returncode == 15, stopped.stderr
    written = len(rows(tmp_path / "run", "responses"))
    assert 0 < written < 24
    assert not [*(tmp_path / "run").rglob("suites.jsonl")]
    assert planned() == [24 - written, fresh[1]]


def test_a_dry_run_counts_nothing_that_there_was_no_time_for(tmp_path: Path) -> None:
    write_rehearsal(tmp_path)
    budget = ("--set", "budget.minutes=0.00001", "--set", "budget.min_instructions=3")
    done = plum_hub(command(tmp_path, "-q", *budget))
    assert done.returncode in (0, 11), done.stderr  # 11: none of so few samples may be chosen
    assert {row["stage"] for row in rows(tmp_path / "run", "dropped") if row["reason"] == "over_budget"} >= {
        "responses"
    }
    plan = json.loads(plum_hub(command(tmp_path, "--dry-run", "--json", *budget)).stdout)
    assert [step["requests"] for step in plan["steps"]] == [0, 0]


def _cli(*arguments: str) -> list[str]:
    import sys

    return [sys.executable, "-m", "plum_hub", *arguments]


def one_task(folder: Path, responses: int, response: str) -> "subprocess.CompletedProcess[str]":
    """Build from one task whose every response is this one, and end before there is anything to sample."""
    (folder / "tasks.jsonl").write_text(json.dumps({"instruction": task(1)}) + "\n")
    answers = {"contains": "", "texts": [response]}
    (folder / "answers.jsonl").write_text(json.dumps(answers) + "\n")
    return plum_hub(command(folder, "-q", "--set", f"suites.responses={responses}"))


def test_a_reference_that_is_not_the_same_twice_makes_no_suite(tmp_path: Path) -> None:
    """Each response passes its own tests with probability 1/2; that 60 of them never differ, with (3/4)^60."""
    steady = suite_answer(1, "x + 1 if LUCK else 99")
    flaky = steady.replace(
        "### Solution\n```python\n", "### Solution\n```python\nimport os\nLUCK = os.urandom(1)[0] < 128\n"
    )
    assert flaky != steady
    one_task(tmp_path, 60, flaky)
    reasons = Counter(row["reason"] for row in rows(tmp_path / "run", "dropped") if row["stage"] == "suites")
    assert reasons["nondeterministic"]
    assert set(reasons) <= {"nondeterministic", "reference_failed", "spare_suite"}


def test_a_suite_that_a_stub_passes_is_not_kept(tmp_path: Path) -> None:
    response = suite_answer(1, "x + 1")
    for value in ("1", "6", "0"):
        response = response.replace(f") == {value}\n", f") != 10{value}\n")
    done = one_task(tmp_path, 1, response)
    assert done.returncode == 11, done.stderr
    assert rows(tmp_path / "run", "suites") == []
    [drop] = rows(tmp_path / "run", "dropped")
    assert drop["stage"] == "suites"
    assert "stub" in str(drop["reason"])
    assert "nothing to release (left out: suites 1 stub_passed): no sample was judged; plum-hub status" in done.stderr


def test_a_home_that_cannot_be_written_is_found_before_a_model_is_asked(tmp_path: Path) -> None:
    write_rehearsal(tmp_path)
    (tmp_path / "file").touch()
    done = plum_hub(command(tmp_path, "-q"), PLUM_HUB_HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 16, done.stderr
    assert "is not writable (Not a directory); set PLUM_HUB_HOME to a folder of yours" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_same_text_of_another_model_is_another_row(whole: Path, tmp_path: Path) -> None:
    """Law 4: a row's id holds the model's revision; here that of a file of answers with one more line."""
    write_rehearsal(tmp_path)
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write(json.dumps({"contains": "never asked", "texts": ["pass"]}) + "\n")
    assert plum_hub(command(tmp_path, "-q")).returncode == 0
    for kind in ("responses", "samples"):
        mine, theirs = rows(tmp_path / "run", kind), rows(whole / "run", kind)
        assert sorted(str(row["text"]) for row in mine) == sorted(str(row["text"]) for row in theirs)
        assert not {row["id"] for row in mine} & {row["id"] for row in theirs}
