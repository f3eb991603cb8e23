"""What sandboxes make of machines that are small, busy or strict: no verdict depends on it."""

import functools
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from plum_hub.errors import SandboxError
from plum_hub.execution import Call, Judge, Limits, Program, Stdio, jail, landlock, wire
from plum_hub.execution.base import SandboxName
from plum_hub.execution.jail import JailSandbox
from plum_hub.execution.landlock import LandlockWorker
from plum_hub.execution.worker import BrokenWorkerError, Jail, Worker
from tests.execution.conftest import descendants

ROOT = Path(__file__).resolve().parents[2]
_JUDGE = """
import os, resource, sys
from plum_hub.execution import Call, Judge, Limits, Program
{first}
case = Call(expression="f(2)", expected="2")
program = Program(id="p", code="def f(x): return x", entry_point="f", cases=(case,), limits=Limits())
with Judge(1, sandbox=sys.argv[1], **{options}) as judge:
    print([execution.status for execution in judge.run([program])])
"""


@pytest.fixture(params=["jail", "landlock"])
def name(request: pytest.FixtureRequest) -> SandboxName:
    try:
        Worker(LandlockWorker if request.param == "landlock" else Jail).close()
    except SandboxError as error:
        pytest.skip(str(error))
    found: SandboxName = request.param
    return found


def judged(name: str, first: str, options: str = "{}", **environment: str) -> str:
    """What a judge in a process of its own prints, or the last line of its error."""
    source = _JUDGE.format(first=first, options=options)
    done = subprocess.run(
        [sys.executable, "-c", source, name],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]


def program(code: str, *cases: Call | Stdio, wall: float = 60.0) -> Program:
    entry_point = None if isinstance(cases[0], Stdio) else "f"
    return Program(id="p", code=code, entry_point=entry_point, cases=cases, limits=Limits(wall_seconds=wall))


def test_a_small_hard_limit_of_the_stack_is_kept(name: SandboxName) -> None:
    first = "resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))"
    assert judged(name, first) == "['passed']"


def test_a_strict_umask_and_a_closed_folder_shut_no_program_out(name: SandboxName, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    numpy = "{'numpy': True}" if jail._paths("numpy") else "{}"
    assert judged(name, "os.umask(0o077)", numpy, TMPDIR=str(closed)) == "['passed']"


@pytest.mark.skipif(os.getuid() != 0, reason="only root's sandboxes have another user, who may not read everything")
def test_packages_that_only_root_may_read_leave_the_landlock_sandbox_to_root(name: SandboxName, tmp_path: Path) -> None:
    package = tmp_path / "numpy"
    package.mkdir(mode=0o700)
    (package / "__init__.py").write_text("bool_ = ndarray = generic = ufunc = int")
    (package / "__init__.py").chmod(0o600)
    kind, said = (LandlockWorker, "'int' has no attribute") if name == "landlock" else (Jail, "chmod -R go")
    with pytest.raises(SandboxError, match=said):  # one has read what is no numpy, the other cannot
        Worker(functools.partial(kind, packages=[str(package)]))


def test_packages_that_cannot_be_imported_are_named(name: SandboxName, tmp_path: Path) -> None:
    package = tmp_path / "numpy"
    package.mkdir()
    (package / "__init__.py").write_text("import a_part_that_is_missing")
    kind = LandlockWorker if name == "landlock" else Jail
    with pytest.raises(SandboxError, match=r"ModuleNotFoundError: No module named 'a_part_that_is_missing'"):
        Worker(functools.partial(kind, packages=[str(package)]))


def test_parts_of_a_package_are_found_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, file in (("a", "first_part/__init__.py"), ("a", "first_part.libs/x.so"), ("b", "second_part.py")):
        path = tmp_path / folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    assert jail._paths("first_part") == [str(tmp_path / "a/first_part"), str(tmp_path / "a/first_part.libs")]
    assert jail._paths("second_part") == [str(tmp_path / "b/second_part.py")]
    assert jail._paths("no_part_at_all") == []


def test_scratch_folders_are_in_memory_only_if_all_of_them_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    free = os.statvfs("/dev/shm")
    workers = free.f_bavail * free.f_frsize // (128 << 20)
    assert landlock._temporary(workers + 1) == tempfile.gettempdir()
    if workers > 1 and os.access("/dev/shm", os.W_OK):
        assert landlock._temporary(workers // 2) == "/dev/shm"


@pytest.fixture
def one_core() -> Iterator[Path]:
    """A control group that may use one core."""
    group = Path(f"/sys/fs/cgroup/cpu/plum-hub-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control group of processor time can be made here")
    (group / "cpu.cfs_quota_us").write_text((group / "cpu.cfs_period_us").read_text())
    yield group
    group.rmdir()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_a_quota_of_processor_time_limits_the_workers(one_core: Path) -> None:
    source = (
        f"import os\nfrom pathlib import Path\nPath({str(one_core / 'cgroup.procs')!r}).write_text(str(os.getpid()))\n"
        "from plum_hub.execution.jail import JailSandbox\nprint(JailSandbox()._size)\n"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


_ANSWERS = (Call(expression="f()", expected="1"),)
_KILLED: dict[str, tuple[str, tuple[Call | Stdio, ...]]] = {
    "in a call": ("import time\ndef f(): return time.sleep(2) or 1", _ANSWERS),
    "while loading": ("import time\ntime.sleep(2)\ndef f(): return 1", _ANSWERS),
    "in one of several runs": (
        "import time\ntime.sleep(int(input()))\nprint(1)",
        (Stdio(stdin="2", stdout="1"), Stdio(stdin="0", stdout="1")),
    ),
}


@pytest.mark.parametrize("when", _KILLED)
def test_a_program_that_the_machine_kills_runs_again_alone(name: SandboxName, when: str) -> None:
    code, cases = _KILLED[when]
    killed: list[int] = []

    def kill(before: set[int]) -> None:
        while not killed:
            for process in descendants(os.getpid()) - before:
                time.sleep(0.3)
                with suppress(ProcessLookupError):
                    os.kill(process, 9)
                    killed.append(process)

    with Judge(1, sandbox=name) as judge:
        list(judge.run([program("def f(): return 1", *_ANSWERS)]))
        killer = threading.Thread(target=kill, args=(descendants(os.getpid()),))
        killer.start()
        (execution,) = judge.run([program(code, *cases)])
        killer.join()
    assert len(killed) == 1
    assert execution.status == "passed", execution


def test_a_caller_that_pauses_breaks_nothing(name: SandboxName) -> None:
    """The deadlines pass while it pauses; the answers have come all the same, and what was not sent could not."""
    quick, echo = program("print(1)", Stdio(stdin="", stdout="1")), "import time\ntime.sleep(0.3)\nprint(input())"
    slow = program(echo, *[Stdio(stdin=text, stdout=text) for text in ("a", "b", "c")])
    kind = landlock.LandlockSandbox if name == "landlock" else JailSandbox
    sandbox = kind(2)
    try:
        list(sandbox.run([quick, slow]))
        jails = {worker.socket.fileno() for worker in sandbox._idle}
        for _ in sandbox.run([quick, slow]):
            for slot in sandbox._slots:
                slot.deadline = 0.0
            time.sleep(1.0)
        assert {worker.socket.fileno() for worker in sandbox._idle} == jails
        assert len(jails) == 2
    finally:
        sandbox.close()


class _ProbeKilled:
    """A zygote whose probe the machine has killed, as far as the judge hears of it."""

    name, hint, startup_messages, bounding_set = "jail", "", b"", "0" * 16
    startup_keys = frozenset({"ready"})

    def __init__(self, theirs: socket.socket, _core: int | None) -> None:
        self.probe_targets: dict[str, Any] = {}
        self._zygote = theirs.dup()
        report = wire.RunReport(
            stopped=b"-", exit=-9, clean=True, cpu=0, wall=0, peak_kb=0, tokens=0, results=0, output=0
        )
        self._zygote.sendall(wire.pack({"ready": True}) + wire.pack(wire.TOLD.pack(*report)))

    def verify(self, _greeting: dict[str, Any]) -> str:
        lines = {"NoNewPrivs": "1", "Seccomp": "2", "VmSize": "10 kB"}
        lines |= dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"), "0" * 16)
        return "".join(f"{key}:\t{value}\n" for key, value in lines.items())

    def allow(self, _memory_bytes: int) -> None: ...

    def memory_kills(self) -> int:
        return 0

    def exit_reason(self) -> str:
        return ""

    def close(self) -> None:
        self._zygote.close()


def test_a_probe_that_is_killed_proves_nothing() -> None:
    with pytest.raises(BrokenWorkerError, match="status -9"):
        Worker(_ProbeKilled)


def test_an_optimised_interpreter_examines_docker_too() -> None:
    source = "from plum_hub.execution.judge import _refusal\nprint(_refusal('docker'))"
    command = [sys.executable, "-O", "-c", source]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": ""}, capture_output=True, text=True, check=True)
    assert "docker is not installed" in done.stdout
