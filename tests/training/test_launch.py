"""Trainings in processes of their own: two that train together, over gloo, and one that does not outlive its parent."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training import toy


def test_two_processes_share_the_batches(source: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        toy.command(source, tiny, out, "--launch", "2", "--json"),
        env=toy.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "torch.distributed.run --standalone --nproc-per-node 2 -m plum_hub train" in done.stderr
    facts = json.loads(done.stdout)
    assert facts == {"checkpoint": str(out)} | json.loads((out / "training.json").read_text())
    assert facts["processes"] == 2
    assert facts["steps"] == 9  # 72 rows, 4 in each of 2 processes
    assert [row["step"] for row in toy.metrics(out)] == list(range(1, 10))
    assert facts["preflight"]["batches"] == 18
    assert (
        facts["preflight"]["same_prompt"] == facts["preflight"]["single_label"] == facts["preflight"]["repeated"] == 0
    )


def test_a_training_does_not_outlive_the_one_that_started_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; from plum_hub.training.launch import child_command\n"
        "subprocess.run(child_command(['hub', 'serve', '--port', '0', '--root', sys.argv[1]]))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline().startswith("serving ")
    parent.kill()
    parent.communicate(timeout=60)  # to the end of what its child has open too


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_the_processes_of_a_launch_end_with_it(sent: signal.Signals, source: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = toy.command(source, tiny, out, "--launch", "2", "--set", "epochs=20")
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom plum_hub.cli import main; main()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, *line[3:]],  # where tests run in the background the interruption is ignored
        env=toy.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = out / "metrics.jsonl"
    while parent.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
    assert parent.poll() is None
    parent.send_signal(sent)
    _, said = parent.communicate(timeout=60)  # to the end of what its processes have open too
    assert "SignalException" not in said
