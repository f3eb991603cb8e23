"""The small commands: shell completion, `hf plum`, what is printed where."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plum_hub import __version__
from tests.rehearsal import plum_hub

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


def test_json_alone_is_on_stdout(tmp_path: Path) -> None:
    done = plum_hub([*CLI, "status", str(tmp_path), "--json"])
    assert done.returncode == 4
    assert done.stdout == ""


def test_doctor_says_what_this_machine_can_do() -> None:
    done = plum_hub([*CLI, "doctor", "--json"])
    if done.returncode == 7:
        pytest.skip(done.stderr)
    findings = json.loads(done.stdout)
    assert "proved itself" in findings["isolation"]
    assert findings["isolation"].endswith("passed")
