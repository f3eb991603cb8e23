"""`plum-hub doctor` names every layer, and runs every attack."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plum_hub.attacks import Attack, runner
from plum_hub.errors import SandboxError
from plum_hub.execution import Judge
from plum_hub.execution.layers import survey

ROOT = Path(__file__).resolve().parents[2]
DOCTOR = [sys.executable, "-c", "from plum_hub.cli import main; main()", "doctor"]


def _doctor(*options: str, before: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*before, *DOCTOR, *options], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("judge")
def test_where_a_jail_can_be_had_no_layer_that_it_needs_is_missing() -> None:
    layers = survey()
    assert [layer.name for layer in layers if layer.needed and not layer.present] == []
    assert all(layer.without for layer in layers)


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="gives up a right that only root has")
def test_a_missing_layer_is_named_with_what_runs_programs_instead() -> None:
    done = _doctor("--json", before=("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"))
    findings = json.loads(done.stdout)
    missing = {layer["name"] for layer in findings["layers"] if layer["needed"] and not layer["present"]}
    assert {"mount namespace", "pid namespace", "network namespace"} <= missing
    assert findings["sandbox jail"] == "no: namespaces: Operation not permitted"
    instead = findings["sandbox landlock"]
    if instead.startswith("yes; Landlock ABI version "):
        assert (done.returncode, findings["isolation"].partition("-")[0]) == (0, "landlock")
    else:
        assert done.returncode == 7
        assert f"landlock: {instead.removeprefix('no: ')}" in done.stderr


@pytest.mark.usefixtures("judge")
def test_every_attack_is_counted() -> None:
    done = _doctor("--attack", "--json")
    groups = json.loads(done.stdout)
    assert set(groups) == {*runner.GROUPS, "escapes", "left behind", "right programs"}
    through = [outcome["name"] for group in groups.values() for outcome in group if not outcome["stopped"]]
    assert (done.returncode, through) == (0, []), done.stderr


@pytest.mark.usefixtures("judge")
def test_what_a_sandbox_does_not_promise_is_told_and_no_fault() -> None:
    with Judge(workers=1, sandbox="landlock") as judge:
        try:
            (outcome,) = runner.run_group(judge, "group", [Attack("names-outside", "", "failed", "def f(x): return 4")])
        except SandboxError as error:
            pytest.skip(str(error))
    assert (outcome.stopped, outcome.told) == (False, True)


def test_an_attack_that_comes_through_is_not_called_stopped(judge: Judge) -> None:
    attacks = [
        Attack("harmless", "is right, so it passes", "failed", "def f(x): return 4"),
        Attack("stopped", "is wrong", "failed|crashed", "def f(x): return 5"),
    ]
    found = {outcome.name: (outcome.status, outcome.stopped) for outcome in runner.run_group(judge, "group", attacks)}
    assert found == {"harmless": ("passed", False), "stopped": ("failed", True)}
