"""Several processes on one run: the same rows and release as one process gives, through the death of any of them."""

import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

import pytest

from plum_hub.errors import UsageError
from plum_hub.pipeline.workers import _own_gpus, own_cores
from plum_hub.records import Response, Sample
from plum_hub.run import Run
from tests.rehearsal import command, plum_hub, write_rehearsal
from tests.test_shards import content, facts, sharded

WORKERS = ["--workers", "3"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rehearsal and the run of a single process."""
    folder = tmp_path_factory.mktemp("workers")
    write_rehearsal(folder, 9)
    done = plum_hub(command(folder, "--quiet", run="alone"))
    assert done.returncode == 0, done.stderr
    return folder


def workers_of(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            above = int(stat.read_text().rpartition(")")[2].split()[1])
            line = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue  # has ended
        if above == parent and b"plum_hub.pipeline.worker" in line:
            found.append(int(stat.parent.name))
    return found


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until_rows(process: "subprocess.Popen[str]", run: Path, kind: type, rows: int) -> None:
    """Wait until every shard of a run has so many rows."""
    while True:
        assert process.poll() is None, process.communicate()
        if (run / "recipe.yaml").exists() and len(Run.open(run).names) == 3:
            paths = [shard.path(kind) for shard in Run.open(run).shards]
            if all(path.exists() and path.read_bytes().count(b"\n") >= rows for path in paths):
                return
        time.sleep(0.02)


def test_workers_make_the_rows_of_one_process(home: Path) -> None:
    done = plum_hub(sharded(100, command(home, *WORKERS, run="together")))
    assert done.returncode == 0, done.stderr
    run = Run.open(home / "together")
    assert run.names == ("00000", "00001", "00002")
    assert facts(home / "together") == facts(home / "alone")
    assert content(home / "together") == content(home / "alone")
    assert len(list(run.environments())) == 1
    ends = [line.split("  ")[0] for line in done.stderr.splitlines() if line.startswith(("responses", "suites"))]
    assert ends == ["responses: 36/36", "suites: 36/36"]  # one view of all


def test_a_killed_worker_is_replaced(home: Path) -> None:
    process = subprocess.Popen(
        sharded(100, command(home, *WORKERS, run="killed", delay=0.05)), stderr=subprocess.PIPE, text=True
    )
    until_rows(process, home / "killed", Response, 2)
    os.kill(workers_of(process.pid)[1], signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "was killed by signal 9 during responses of shard" in said
    assert facts(home / "killed") == facts(home / "alone")
    assert content(home / "killed") == content(home / "alone")


def test_a_worker_whose_parent_ends_while_it_starts_says_nothing() -> None:
    ours, theirs = Pipe()
    slow = "import threading, time; start = threading.Thread.start; "
    slow += "threading.Thread.start = lambda self: (start(self), time.sleep(1)); "  # as on a busy machine
    code = slow + "from plum_hub.pipeline.worker import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    theirs.close()
    ours.close()
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 0


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(home: Path, ending: signal.Signals) -> None:
    name = f"orphaned-{ending}"
    arguments = sharded(100, command(home, *WORKERS, run=name, delay=0.05))
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    until_rows(process, home / name, Sample, 1)
    workers = workers_of(process.pid)
    assert len(workers) == 3
    if ending == signal.SIGKILL:
        os.kill(workers[0], signal.SIGSTOP)  # one that hangs; without a parent it must not hang for ever
    process.send_signal(ending)
    _, said = process.communicate()
    assert process.returncode == (130 if ending == signal.SIGINT else -9), said
    again = subprocess.run(arguments, capture_output=True, text=True, check=False)  # waits for them first
    assert not any(map(is_alive, workers))
    assert again.returncode == 0, again.stderr
    assert facts(home / name) == facts(home / "alone")
    assert content(home / name) == content(home / "alone")


def test_an_error_of_a_worker_is_the_error_of_the_build(home: Path) -> None:
    arguments = sharded(100, command(home, *WORKERS, "--max-tokens", "1500", run="spent", delay=0.05))
    done = plum_hub(arguments)
    assert done.returncode == 15, done.stderr
    assert "the limit is reached" in done.stderr.splitlines()[-1]
    answers = [row.prompt_tokens + row.completion_tokens for row in Run.open(home / "spent").rows(Response)]
    spent = sum(answers)
    assert 1500 <= spent < 1500 + 3 * max(answers)  # beyond the limit goes at most one answer of each worker
    account = json.loads((home / "spent" / ".spent.json").read_text())
    assert account["tokens"] == spent
    assert set(account["pending"].values()) == {0}  # what the others had asked for was awaited and kept
    arguments[arguments.index("1500")] = "10000000"
    assert plum_hub(arguments).returncode == 0
    assert facts(home / "spent") == facts(home / "alone")


def test_cores_and_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = [own_cores(number, 2) for number in range(2)]
    assert set(cores[0]) | set(cores[1]) == os.sched_getaffinity(0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6,7")
    assert [_own_gpus(number, 2)["CUDA_VISIBLE_DEVICES"] for number in range(2)] == ["3,5", "6,7"]
    with pytest.raises(UsageError, match="has 4: give --workers fewer"):
        _own_gpus(0, 5)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert _own_gpus(0, 5) == {}
