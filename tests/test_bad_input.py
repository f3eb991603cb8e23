"""What a user may get wrong: one clear line, the documented exit code, no traceback, and no row lost."""

import json
import re
import socket
import sys
from pathlib import Path

import pytest

from plum_hub.errors import UsageError
from plum_hub.hubs.store import add_organisations
from plum_hub.publishing.repository import PublishOptions
from tests.rehearsal import addend, command, plum_hub, program, rows, suite_answer, task, write_rehearsal

PLUM_HUB = [sys.executable, "-m", "plum_hub"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rehearsal(tmp_path, tasks=3)
    return tmp_path


def refused(arguments: list[str], code: int, *words: str, **environment: str) -> str:
    done = plum_hub(arguments, **environment)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("plum-hub: ")
    for word in words:
        assert word in last
    return last


def with_model(arguments: list[str], model: str) -> list[str]:
    found = list(arguments)
    found[found.index("--model") + 1] = model
    return found


def test_no_model(folder: Path) -> None:
    arguments = command(folder)
    at = arguments.index("--model")
    refused(arguments[:at] + arguments[at + 2 :], 2, "--model")


def test_unknown_model(folder: Path) -> None:
    refused(with_model(command(folder), str(folder / "no-such-folder")), 6, "no-such-folder")
    refused(with_model(command(folder), "scripted:nowhere.jsonl"), 6, "nowhere.jsonl")
    refused(with_model(command(folder), "gpt2:x"), 6, "gpt2")


def test_a_hub_model_without_a_hub(folder: Path) -> None:
    refused(
        with_model(command(folder), "transformers:nobody/nothing"),
        6,
        "nobody/nothing",
        HF_ENDPOINT="http://127.0.0.1:9",
    )


def test_unreachable_endpoint(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = with_model(
        command(folder, "--set", "policy.attempts=1", "--set", "generator.attempts=1"),
        f"openai:m@http://127.0.0.1:{port}/v1",
    )
    refused(arguments, 6, str(port))


def test_a_misspelt_name_is_answered_with_the_nearest(folder: Path) -> None:
    refused(with_model(command(folder), "scriptd:x"), 6, "no engine called 'scriptd', scripted perhaps; write")
    refused(command(folder, "--instructions", "startr"), 5, "'startr' is not a source, starter perhaps: give")
    refused(command(folder, "--recipe", "quickstrat"), 3, "this name, quickstart perhaps; the shipped recipes are")
    refused([*PLUM_HUB, "run", "headlin/given"], 3, "this name, headline/given perhaps")
    refused(
        [*PLUM_HUB, "evaluate", "--model", f"scripted:{folder / 'answers.jsonl'}", "--benchmarks", "humanevl"],
        12,
        "'humanevl': give humaneval, ",
        " (humaneval perhaps)",
    )
    refused(
        [*PLUM_HUB, "train", str(folder / "x.jsonl"), "--set", "epoch=2"],
        13,
        "no such key; the keys are",
        "seed; epochs perhaps",
    )


def test_a_run_that_is_not_there_or_named_second(folder: Path) -> None:
    (folder / "runs" / "starter").mkdir(parents=True)
    (folder / "runs" / "starter" / "recipe.yaml").touch()
    refused(
        [*PLUM_HUB, "status", str(folder / "runs" / "startr")], 4, "startr: does not exist, starter perhaps; make one"
    )
    refused(
        [*PLUM_HUB, "status", str(folder / "runs")],
        4,
        "is not a run folder (no recipe.yaml), but holds ",
        "runs/starter;",
    )
    refused([*PLUM_HUB, "show", "9c37", str(folder)], 2, f"name the run first, as in  plum-hub show {folder} 9c37")
    refused(command(folder, "--recipe", str(folder)), 3, "is a folder; name a recipe with --recipe FILE")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--max-tokens", "2,000", "'2,000' is not a valid whole number"),
        ("--budget", "5,00", "'5,00' is not a valid number"),
    ],
)
def test_a_number_with_a_comma_is_told_as_such(folder: Path, option: str, value: str, words: str) -> None:
    done = plum_hub(command(folder, option, value))
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_wrong_key_in_a_recipe(folder: Path) -> None:
    refused(command(folder, "--set", "samples.per_instrction=3"), 3, "the options: samples.per_instrction: no such key")
    refused(command(folder, "--set", "samples.temperature=warm"), 3, "samples.temperature")
    refused(command(folder, "--set", "nonsense"), 3, "KEY=VALUE")
    recipe = folder / "mine.yaml"
    recipe.write_text("samples: [1\n")
    refused(command(folder, "--recipe", str(recipe)), 3, "mine.yaml", "not YAML")
    refused(command(folder, "--recipe", "none-such"), 3, "none-such", "quickstart")


def test_bad_instruction_files(folder: Path) -> None:
    tasks = folder / "tasks.jsonl"
    tasks.write_text('{"words": "x"}\n')
    refused(command(folder), 5, "words")
    tasks.write_bytes(b'{"instruction": "' + b"x" * 30 + b'"}\n\n{"instruction": "caf\xe9"}\n')
    refused(command(folder), 5, "tasks.jsonl:3")
    tasks.write_text("")
    refused(command(folder), 5, "tasks.jsonl")
    tasks.unlink()
    refused(command(folder), 5, "tasks.jsonl")


def test_a_source_without_one_instruction_says_why(folder: Path) -> None:
    tasks = folder / "tasks.jsonl"
    tasks.write_text('{"id": 1, "messages": [{"role": "narrator", "content": "x"}]}\n{"id": 2, "messages": []}\n')
    said = refused(command(folder), 5, "tasks.jsonl", "none of its 2 rows", "1 unknown_speaker", "1 empty")
    assert "its columns: id, messages" in said
    assert len(rows(folder / "run", "dropped")) == 2
    refused(command(folder), 5, "none of its 2 rows")
    assert len(rows(folder / "run", "dropped")) == 2
    refused(command(folder, "--dry-run"), 5, "none of its 2 rows")


def test_empty_lines_are_no_error(folder: Path) -> None:
    tasks = folder / "tasks.jsonl"
    tasks.write_text("\n" + tasks.read_text() + '\n{"instruction": ""}\n')
    assert plum_hub(command(folder, "-q")).returncode == 0
    assert len(rows(folder / "run", "instructions")) == 3
    assert [row["reason"] for row in rows(folder / "run", "dropped") if row["stage"] == "instructions"] == ["empty"]


def test_no_chosen_sample_in_the_whole_run(folder: Path) -> None:
    with (folder / "answers.jsonl").open("w") as file:
        for number in range(3):
            row = {"contains": f"Task:\n{task(number)}", "texts": [suite_answer(number, f"x + {addend(number)}")]}
            file.write(json.dumps(row) + "\n")
            row = {"contains": task(number), "texts": [program(number, "return 7")]}
            file.write(json.dumps(row) + "\n")
    refused(command(folder, "-q"), 11, "no instruction has a chosen sample")
    assert len(rows(folder / "run", "verdicts")) == 18


def test_an_answer_that_runs_out_keeps_the_rows_before(folder: Path) -> None:
    """The engine breaks in the middle of a stage; what it answered before stands, and mending it goes on."""
    answers = folder / "answers.jsonl"
    whole = answers.read_text()
    lines = whole.splitlines(keepends=True)
    answers.write_text("".join(lines[:-2]))
    refused(command(folder, "-q"), 6, "answers.jsonl")
    assert len(rows(folder / "run", "responses")) == 8


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "runs/typo"],
        ["train", "./runs/typo"],
        ["train", "runs/typo.csv"],
        ["evaluate", "--samples", "runs/typo"],
        ["judge", "runs/typo", "--suites", "runs/typo", "--out", "out.jsonl"],
        ["status", "runs/typo"],
        ["show", "runs/typo", "1"],
        ["views", "runs/typo"],
        ["report", "runs/typo"],
        ["push-dataset", "runs/typo"],
        ["push-model", "runs/typo"],
        ["strengthen", "runs/typo"],
        ["compare", "runs/typo", "runs/typo"],
        ["build-dataset", "--model", "scripted:x", "--instructions", "runs/typo"],
        ["build-dataset", "--model", "scripted:x", "--instructions", "./runs/typo"],
        ["build-dataset", "--model", "scripted:x", "--suites", "./runs/typo"],
    ],
    ids=" ".join,
)
def test_a_path_that_does_not_exist_is_said_to_be_none(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = [sys.executable, "-m", "plum_hub", *arguments]
    said = plum_hub(whole, HF_ENDPOINT="http://127.0.0.1:9", PLUM_HUB_HOME=str(tmp_path)).stderr
    last = said.strip().splitlines()[-1]
    told = (
        r"does not exist|is neither a (run )?folder that exists|there is no such folder|file or folder runs/typo here$"
    )
    assert re.search(told, last), said
    assert "Traceback" not in said


def test_not_a_run_folder(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "thesis.txt").write_text("mine")
    refused(command(folder), 4, "--run")
    assert (folder / "run" / "thesis.txt").read_text() == "mine"


def test_a_read_only_folder(folder: Path) -> None:
    refused(command(folder, run="/proc/plum-hub-run"), 4, "cannot be written")  # nobody may write there, root included


def test_where_it_goes_is_checked_before_anything_is_made(folder: Path) -> None:
    arguments = command(folder)
    at = arguments.index("--hub")
    refused([*arguments[:at], "--hub", "publc", *arguments[at + 2 :]], 9, "publc")
    refused([*arguments[:at], "--hub", "embedded", "--repo", "bad name!", *arguments[at + 2 :]], 2, "bad name!")
    refused([*arguments, "--private"], 2, "--hub none")
    elsewhere = [*arguments[:at], "--hub", "embedded", "--repo", "me/x", *arguments[at + 2 :]]
    refused(elsewhere, 2, "no namespace me, only local", "local/x", "hub serve --organisation me")
    assert not (folder / "run").exists()


def test_a_namespace_of_the_embedded_hub_can_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="no namespace me, only local"):
        PublishOptions(hub="embedded", repo="me/x")
    add_organisations(tmp_path / "hub", ["me"])
    assert [PublishOptions(hub="embedded", repo=repo).repo for repo in ("me/x", "x")] == ["me/x", "x"]


def test_limits_that_no_machine_can_set(folder: Path) -> None:
    refused(command(folder, "--set", "verdicts.memory_mb=99999999999999"), 3, "verdicts.memory_mb")
    refused(command(folder, "--set", "verdicts.cpu_seconds=.inf"), 3, "verdicts.cpu_seconds")
    refused(command(folder, "--set", "samples.temperature=.inf"), 3, "samples.temperature")


def test_a_code_that_mypy_does_not_know(folder: Path) -> None:
    refused(command(folder, "--set", "verdicts.mypy_codes=[nonsense]"), 3, "nonsense")


def test_a_base_model_cannot_write_suites(folder: Path) -> None:
    refused(command(folder, "--set", "policy.chat_template=false"), 6, "--generator")


def test_a_file_where_the_run_should_be(folder: Path) -> None:
    (folder / "run").write_text("mine")
    refused(command(folder), 4, "--run")
    refused(command(folder, "--dry-run"), 4, "--run")


def test_a_donor_that_is_no_run(folder: Path) -> None:
    refused(command(folder, "--carry-over", str(folder)), 4, "--carry-over")
    assert not (folder / "run").exists()


def test_a_missing_extra_names_the_line_that_mends_it(folder: Path) -> None:
    pytest.importorskip("transformers")
    code = (
        "import sys; sys.modules['vllm'] = None\n"  # what an interpreter without vllm sees
        "from plum_hub.cli import main\nmain()"
    )
    arguments = with_model(command(folder), "vllm:some/model")
    arguments[1:3] = ["-c", code]
    done = plum_hub(arguments, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode in (6, 10), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["judge", "NAME", "--suites", "s.csv", "--out", "v.jsonl"], ["views", "NAME"], ["train", "NAME", "--preflight"]],
)
def test_a_text_that_is_too_long_for_a_path(arguments: list[str]) -> None:
    name = "Write a Python function. " * 20
    given = [name if one == "NAME" else one for one in arguments]
    refused([sys.executable, "-m", "plum_hub", *given], 2, "Write a Python function.", "too long for a path")
