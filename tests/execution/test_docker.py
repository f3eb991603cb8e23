"""What the docker sandbox does about daemons, containers and judges that fail."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plum_hub.errors import SandboxError
from plum_hub.execution import Judge, Limits, Program, container

ROOT = Path(__file__).resolve().parents[2]

_NOTHING = Program(id="nothing", code="", entry_point=None, cases=(), limits=Limits())
_SLOW = Program(id="slow", code="import time\ntime.sleep(3)", entry_point=None, cases=(), limits=Limits())
_ASK = (
    "from plum_hub.execution import Judge, Limits, Program\n"
    "program = Program(id='p', code={code!r}, entry_point=None, cases=(), limits=Limits(wall_seconds=900))\n"
    "list(Judge(workers=2, sandbox='docker').run([program] * 2))\n"
)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(workers=1, sandbox="docker") as judge:
        try:
            list(judge.run([_NOTHING]))
        except SandboxError as error:
            pytest.skip(str(error))
        yield judge


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def containers() -> set[str]:
    return set(docker("ps", "--all", "--quiet", "--filter", "label=plum-hub.sandbox").split())


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"PATH": ""}, "docker is not installed"),
        ({"DOCKER_HOST": "unix:///nowhere.sock"}, "docker "),
        ({"PLUM_HUB_DOCKER_IMAGE": "plum-hub/nowhere:none"}, "docker "),
    ],
    ids=["no-client", "no-daemon", "no-image"],
)
def test_a_machine_without_docker_is_refused_with_the_way_out(environment: dict[str, str], reason: str) -> None:
    command = [sys.executable, "-c", _ASK.format(code="")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"plum_hub.errors.SandboxError: {reason}")
    assert "verdicts.sandbox=auto" in last or "docker pull plum-hub/nowhere:none" in last


def test_a_container_shows_no_module_that_reads_memory_and_no_packages() -> None:
    readable, listable = container.shown(container.hidden())
    shown = [Path(path) for path in readable]
    for path in container.hidden():
        assert not any(path == folder or path.is_relative_to(folder) for folder in shown)
    library = Path(os.__file__).resolve().parent
    assert str(library) in listable
    assert str(library / "json") in readable


@pytest.mark.usefixtures("judge")
def test_a_container_that_is_not_as_promised_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    before = containers()
    name = f"plum-hub-test:{os.getpid()}"
    base = docker("create", os.environ.get("PLUM_HUB_DOCKER_IMAGE", "python:3.11-slim"), "true")
    docker("commit", "--change", "VOLUME /data", base, name)
    docker("rm", base)
    monkeypatch.setenv("PLUM_HUB_DOCKER_IMAGE", name)
    try:
        with Judge(workers=1, sandbox="docker") as judge, pytest.raises(SandboxError, match="container's Mounts is "):
            list(judge.run([_NOTHING]))
    finally:
        docker("rmi", name)
    assert containers() == before


def test_numpy_is_not_promised_where_it_is_not() -> None:
    with pytest.raises(SandboxError, match="numpy"):
        Judge(sandbox="docker", numpy=True)


@pytest.mark.usefixtures("judge")
def test_a_container_that_dies_is_replaced_and_its_program_runs_again() -> None:
    others = containers()
    with Judge(workers=1, sandbox="docker") as judge:
        list(judge.run([_NOTHING]))
        before = containers()
        kill = ["docker", "kill", *(before - others)]
        killer = threading.Timer(1.0, subprocess.run, [kill], {"capture_output": True, "check": True})
        killer.start()
        (execution,) = judge.run([_SLOW])
        killer.join()
        assert execution.status == "passed"
        assert len(containers() - before) == 1
    assert containers() == others


@pytest.mark.usefixtures("judge")
def test_nothing_outlives_a_judge_that_is_killed() -> None:
    before = containers()
    code = "import os, time\nos.fork()\ntime.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", _ASK.format(code=code)], cwd=ROOT)
    while len(containers() - before) < 2:
        assert parent.poll() is None
        time.sleep(0.1)
    time.sleep(3)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while left := containers() - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.usefixtures("judge")
def test_a_run_that_is_given_up_stops_its_programs() -> None:
    before = containers()
    with Judge(workers=2, sandbox="docker") as judge:
        executions = judge.run([_SLOW, _NOTHING])
        assert next(executions).id == "nothing"
        executions.close()  # type: ignore[attr-defined]
        assert len(containers() - before) == 1  # the idle one
    assert containers() == before
