"""The small commands: `status`, `show`, shell completion, `hf plum`; what is printed where."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plum_hub import __version__
from plum_hub.errors import MachineError
from plum_hub.run import Run
from tests.rehearsal import command, plum_hub, rows, write_rehearsal

CLI = [sys.executable, "-m", "plum_hub"]


def test_hf_plum_runs_this_plum_hub(tmp_path: Path) -> None:
    hf = Path(sys.executable).with_name("hf")
    if not Path(sys.executable).with_name("hf-plum").exists():
        pytest.skip("plum-hub is not installed in this environment: its console scripts are missing")
    home = {"HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    done = plum_hub([*CLI, "hf-extension"], **home)
    assert done.returncode == 0, done.stderr
    done = plum_hub([str(hf), "plum", "--version"], **home)
    assert done.returncode == 0, done.stderr
    assert __version__ in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    done = plum_hub([*CLI, "completion", shell])
    assert done.returncode == 0, done.stderr
    assert "_PLUM_HUB_COMPLETE" in done.stdout


def test_bash_completes_commands() -> None:
    environment = {**os.environ, "_PLUM_HUB_COMPLETE": "bash_complete", "COMP_WORDS": "plum-hub bu", "COMP_CWORD": "1"}
    done = subprocess.run(CLI, env=environment, capture_output=True, text=True, check=False)
    assert "build-dataset" in done.stdout


def test_a_mistyped_option_is_clicks_own_error() -> None:
    done = plum_hub([*CLI, "build-dataset", "--modle", "x"])
    assert done.returncode == 2
    assert "--model" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "before"),
    [
        (["build-dataset", "--instructions", ""], "--instructions"),
        (["train", "rows.jsonl", "--out="], "--out"),
        (["status", ""], "status"),
    ],
)
def test_an_empty_argument_is_no_default(arguments: list[str], before: str) -> None:
    done = plum_hub([*CLI, *arguments])  # as of `--out "$OUT"` with an unset variable
    assert (done.returncode, done.stdout) == (2, "")
    assert f"The argument behind '{before}' is empty" in done.stderr


def test_json_alone_is_on_stdout(tmp_path: Path) -> None:
    done = plum_hub([*CLI, "status", str(tmp_path), "--json"])
    assert done.returncode == 4
    assert done.stdout == ""


def test_doctor_says_what_this_machine_can_do() -> None:
    done = plum_hub([*CLI, "doctor", "--json"])
    if done.returncode == 7:
        pytest.skip(done.stderr)
    findings = json.loads(done.stdout)
    assert "verified; a test program passed" in findings["isolation"]
    assert findings["isolation"].endswith("passed")


def test_a_port_that_cannot_be_is_a_usage_error() -> None:
    done = plum_hub([*CLI, "hub", "serve", "--port", "99999"])
    assert done.returncode == 2
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run."""
    folder = tmp_path_factory.mktemp("commands")
    write_rehearsal(folder, tasks=3)
    done = plum_hub(command(folder, "-q", mypy=True))
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_a_tilde_that_the_shell_leaves_is_the_home_folder(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=3)
    here = tmp_path / "here"
    here.mkdir()
    home = {"HOME": str(tmp_path)}
    given = [one if one != str(tmp_path / "run") else "~/run" for one in command(tmp_path, "-q")]
    for arguments in (
        given,
        [*CLI, "status", "~/run"],
        [*CLI, "card", "~/run"],
        [*CLI, "views", "~/run", "--rule", "plum", "--out=~/views"],
    ):
        done = subprocess.run(
            arguments, cwd=here, env={**os.environ, **home}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "recipe.yaml").exists()
    assert (tmp_path / "views" / "kto.jsonl").exists()
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "options", [["--workers", "0"], ["--workers", "ray:x"], ["--address", "foo"], ["--budget", "nan"]]
)
def test_a_rehearsal_refuses_what_the_build_refuses(tmp_path: Path, options: list[str]) -> None:
    write_rehearsal(tmp_path, tasks=3)
    for more in ([], ["--dry-run"]):
        done = plum_hub(command(tmp_path, *options, *more))
        assert done.returncode == 2, done.stderr
        assert options[0] in done.stderr


def shown(run: Path, name: object) -> str:
    done = plum_hub([*CLI, "show", str(run), str(name)])
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("options", [["status"], ["status", "--json"]])
def test_a_closed_stdout_is_no_error(whole: Path, options: list[str]) -> None:
    line = shlex.join([*CLI, *options, str(whole)]) + " >&-"
    done = plum_hub(["sh", "-c", line])
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("options", [["show"], ["show", "--json"], ["--help"]], ids=" ".join)
def test_a_reader_that_has_gone_ends_the_command_quietly(whole: Path, options: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    found = [str(whole), str(rows(whole, "samples")[0]["id"])] if "show" in options else []
    done = subprocess.run([*CLI, *options, *found], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
@pytest.mark.parametrize("options", [["status"], ["status", "--json"], ["show"], ["--help"]], ids=" ".join)
def test_a_full_disk_behind_the_output_is_one_line(whole: Path, options: list[str]) -> None:
    found = {"show": [str(whole), str(rows(whole, "samples")[0]["id"])], "--help": []}.get(options[0], [str(whole)])
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*CLI, *options, *found], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == MachineError.exit_code
    assert done.stderr.startswith("plum-hub: no space is left for the output")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
@pytest.mark.parametrize(("arguments", "code"), [(["status", "nowhere"], 4), (["nowhere"], 2)], ids=["error", "usage"])
@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-", "2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}"])
def test_an_error_that_nobody_can_be_told_ends_with_its_code(arguments: list[str], code: int, stderr: str) -> None:
    assert plum_hub(["bash", "-c", f"{shlex.join([*CLI, *arguments])} {stderr}"]).returncode == code


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_shows_a_row_all_the_same(whole: Path, encoding: str) -> None:
    instruction = rows(whole, "instructions")[0]["id"]
    done = plum_hub([*CLI, "show", str(whole), instruction], PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "passed" in done.stdout


def test_status_of_a_whole_run_has_all_that_is_wanted(whole: Path) -> None:
    status = json.loads(plum_hub([*CLI, "status", str(whole), "--json"]).stdout)
    suites = len(rows(whole, "suites"))
    assert suites > 0
    assert status["wanted"] == {
        "instructions": 3, "responses": 12, "suites": 12,
        "samples": 6 * suites, "verdicts": 6 * suites, "preferences": 6 * suites,
    }  # fmt: skip
    for stage in ("responses", "suites", "samples", "verdicts", "preferences"):
        left_out = sum(status["dropped"].get(stage, {}).values())
        assert status["rows"][stage] + left_out == status["wanted"][stage], stage
    assert status["at_work"] is False
    assert status["last_release"] is None
    assert "wanted" in plum_hub([*CLI, "status", str(whole)]).stdout


def test_status_of_a_run_at_work(whole: Path, tmp_path: Path) -> None:
    """Stopped after five responses, its lock held by this process."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    shards = run / "shards" / "00000"
    for kind in ("suites", "samples", "verdicts", "preferences", "dropped"):
        (shards / f"{kind}.jsonl").unlink()
    responses = shards / "responses.jsonl"
    responses.write_text("".join(responses.read_text().splitlines(keepends=True)[:5]))
    release = {"repo": "local/a", "tag": "v1.0.0"}
    published = [{**release, "tag": tag, "commit": "c" * 40} for tag in ("v1", "v2")]
    (run / "releases.jsonl").write_text("".join(json.dumps(one) + "\n" for one in published))
    with Run.open(run).lock():
        status = json.loads(plum_hub([*CLI, "status", str(run), "--json"]).stdout)
        on_screen = plum_hub([*CLI, "status", str(run)]).stdout
    assert status["rows"]["responses"] == 5
    assert status["wanted"] == {
        "instructions": 3, "responses": 12, "suites": 12, "samples": None, "verdicts": None, "preferences": None,
    }  # fmt: skip
    assert status["at_work"] is True
    assert status["last_release"] == {**release, "tag": "v2"}
    assert re.search(r"samples +0 +not known yet", on_screen)
    assert "yes, a process" in on_screen
    assert "local/a v2" in on_screen
    responses.unlink()  # the stage of the instructions may not have ended
    status = json.loads(plum_hub([*CLI, "status", str(run), "--json"]).stdout)
    assert (status["wanted"]["instructions"], status["at_work"]) == (None, False)


def test_show_has_the_reference_and_the_answer_that_was_asked_for(whole: Path) -> None:
    failed = next(row for row in rows(whole, "verdicts") if row["status"] == "failed")
    sample = next(row for row in rows(whole, "samples") if row["id"] == failed["sample_id"])
    of_instruction = shown(whole, failed["instruction_id"])
    assert "reference (never training data)" in of_instruction
    suite = next(row for row in rows(whole, "suites") if row["id"] == failed["suite_id"])
    assert str(suite["reference"]).strip() in of_instruction
    assert str(sample["text"]).strip() not in of_instruction
    labelled = next(row for row in rows(whole, "preferences") if row["sample_id"] == sample["id"])
    for row in (sample, failed, labelled):
        story = shown(whole, row["id"])
        assert str(sample["text"]).strip() in story
        assert re.search(r"\n +wrong  ", story)  # what happened in a case
        assert str(failed["detail"]) in story


@pytest.mark.parametrize("stage", ["suites", "preferences"])
def test_show_finds_what_was_left_out(whole: Path, stage: str) -> None:
    drop = next(row for row in rows(whole, "dropped") if row["stage"] == stage)
    story = shown(whole, drop["id"])
    assert f"left out in {stage}: {drop['id']} {drop['reason']} {drop['detail']}".strip() in story
    assert str(drop["instruction_id"]) in story


def test_show_finds_an_instruction_that_was_left_out(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=1)
    with (tmp_path / "tasks.jsonl").open("a") as file:
        file.write('{"instruction": ""}\n')
    assert plum_hub(command(tmp_path, "-q")).returncode == 0
    (drop,) = (row for row in rows(tmp_path / "run", "dropped") if row["stage"] == "instructions")
    for name in (drop["id"], drop["instruction_id"]):
        assert f"left out in instructions: {drop['id']} {drop['reason']}" in shown(tmp_path / "run", name)
    as_json = json.loads(plum_hub([*CLI, "show", str(tmp_path / "run"), str(drop["id"]), "--json"]).stdout)
    assert as_json["instruction"] is None
    assert as_json["dropped"] == [drop]


def test_a_user_without_a_home_folder_is_told_so() -> None:
    done = plum_hub([*CLI, "hub", "serve", "--port", "0"], PLUM_HUB_HOME="~nobody-here/x")
    assert done.returncode == MachineError.exit_code, done.stderr
    assert "set PLUM_HUB_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_shell_that_refuses_threads_is_told_so(tmp_path: Path) -> None:
    write_rehearsal(tmp_path, tasks=3)
    limited = ["sh", "-c", 'ulimit -v 1500000; exec "$@"', "sh", *command(tmp_path, "-q")]
    done = plum_hub(limited)
    if done.returncode == 0:
        pytest.skip("this machine's Python starts all its threads in 1.5 GB of addresses")
    assert done.returncode == MachineError.exit_code, done.stderr
    assert "Traceback" not in done.stderr
    assert "ulimit -v" in done.stderr
