"""What the jail does about machines and processes that fail."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from plum_hub.errors import SandboxError
from plum_hub.execution import Call, Judge, Limits, Program, Stdio, wire
from plum_hub.execution.trial import ProgramTrial
from tests.execution.conftest import awaited, children, descendants, traces

ROOT = Path(__file__).resolve().parents[2]


def sleeps(seconds: float) -> Program:
    return Program(
        id="slow",
        code=f"import time\ndef f(): return time.sleep({seconds})",
        entry_point="f",
        cases=(Call(expression="f()", expected="None"),),
        limits=Limits(),
    )


def test_a_jail_is_told_nothing_of_what_is_expected() -> None:
    cases = (Call(expression="f()", expected="'sesame'", tolerance=0.125), Stdio(stdin="open", stdout="sesame"))
    program = Program(id="p", code="pass", entry_point="f", cases=cases, limits=Limits())
    trial = ProgramTrial(program, overhead_bytes=0, time_share=1.0)
    first = trial.request(cached_cases="")
    assert b'["plain","f",null,[]]' in first
    told = wire.RunReport(stopped=b"-", exit=0, clean=True, cpu=0, wall=0, peak_kb=0, tokens=0, results=0, output=0)
    assert not trial.take(wire.TOLD.pack(*told), b"", lambda: False)
    second = trial.request(cached_cases=trial.cases.name)
    assert b"open" in second
    assert b'"f"' not in second  # the jail keeps it
    assert b"sesame" not in first + second
    assert b"0.125" not in first + second


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="gives up a right that only root has")
def test_a_machine_without_isolation_is_refused_with_the_layer_that_it_lacks() -> None:
    script = (
        "from plum_hub.execution import Judge, Limits, Program\n"
        "program = Program(id='p', code='', entry_point=None, cases=(), limits=Limits())\n"
        "list(Judge(workers=1, sandbox='jail').run([program]))\n"
    )
    command = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("plum_hub.errors.SandboxError: programs cannot be isolated on this machine (namespaces: ")
    assert last.endswith("`plum-hub doctor` lists what this machine lacks")


@pytest.mark.usefixtures("judge")
def test_a_jail_that_dies_is_replaced_and_its_program_runs_again() -> None:
    with Judge(workers=1) as judge:
        killed: set[int] = set()
        _kill_soon(killed, times=1)
        (execution,) = judge.run([sleeps(1.5)])
    assert execution.status == "passed"
    assert killed


@pytest.mark.usefixtures("judge")
def test_answers_that_come_together_are_all_taken() -> None:
    """One that lay unread would be taken for a silent jail after half a minute, and the jail replaced."""
    quick = Program(id="quick", code="", entry_point=None, cases=(), limits=Limits(wall_seconds=1.0))
    with Judge(workers=1) as judge:
        list(judge.run([quick]))
        jails = descendants(os.getpid())
        for _ in judge.run([quick] * 4):
            time.sleep(0.3)
        assert descendants(os.getpid()) == jails


@pytest.mark.usefixtures("judge")
def test_a_jail_that_dies_twice_is_an_error_and_no_verdict() -> None:
    before = traces()
    stop = _kill_soon(set(), times=100)
    try:
        with Judge(workers=1) as judge, pytest.raises(SandboxError, match=r"broke twice.*'slow'.*plum-hub doctor"):
            list(judge.run([sleeps(10)]))
    finally:
        stop()
    assert traces() == before


@pytest.mark.usefixtures("judge")
@pytest.mark.parametrize("milliseconds", [0, 1, 2, 3, 4, 8])
def test_a_jail_whose_outer_process_dies_at_its_start_is_not_used(milliseconds: int) -> None:
    """A zygote that has not yet asked to die with its parent would run on, with nobody to kill what is inside."""
    before, killed = descendants(os.getpid()), []

    def kill() -> None:
        while not killed:
            for launcher in children(os.getpid()) - before:
                if children(launcher):
                    time.sleep(milliseconds / 1000)
                    os.kill(launcher, signal.SIGKILL)
                    killed.append(launcher)

    killer = threading.Thread(target=kill)
    killer.start()
    with Judge(workers=1) as judge:
        (execution,) = judge.run([sleeps(0.1)])
        killer.join()
        assert execution.status == "passed"
        (launcher,) = children(os.getpid()) - before
        (zygote,) = children(launcher)
        assert descendants(os.getpid()) - before == {launcher, zygote}


def _kill_soon(killed: set[int], times: int) -> Callable[[], None]:
    """From a thread, kill the zygotes started after this call, each while it runs a program."""
    before, over = descendants(os.getpid()), threading.Event()

    def kill() -> None:
        while len(killed) < times and not over.wait(0.1):
            # judge > launcher > zygote > program: a zygote is what has a parent and a child among the new ones.
            for pid in descendants(os.getpid()) - before:
                if len(descendants(pid)) == 1 and pid not in killed:
                    killed.add(pid)
                    with suppress(ProcessLookupError):  # it ended by itself meanwhile
                        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()

    def stop() -> None:
        over.set()
        thread.join()

    return stop


@pytest.mark.usefixtures("judge")
def test_nothing_outlives_a_judge_that_is_killed() -> None:
    script = (
        "from plum_hub.execution import Judge, Limits, Program\n"
        "import sys\n"
        "judge = Judge(workers=2)\n"
        "code = 'import os, time; os.fork(); time.sleep(600)'\n"
        "program = Program(id='p', code=code, entry_point=None, cases=(), limits=Limits(wall_seconds=900))\n"
        "list(judge.run([program] * 2))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    below = awaited(parent, 8)  # two of: launcher, zygote, program, its child
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while left := {pid for pid in below if Path(f"/proc/{pid}").exists()}:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.usefixtures("judge")
def test_a_run_that_is_given_up_stops_its_programs() -> None:
    before = traces()
    quick = Program(id="quick", code="", entry_point=None, cases=(), limits=Limits())
    with Judge(workers=2) as judge:
        executions = judge.run([sleeps(10), quick])
        assert next(executions).id == "quick"
        executions.close()  # type: ignore[attr-defined]
        assert len(descendants(os.getpid()) - before[0]) == 2  # the idle jail: its launcher and its zygote
    assert traces() == before


@pytest.mark.parametrize(
    ("cpu", "wall", "contended"), [(1.25, 1.26, False), (0.004, 0.03, False), (1.25, 1.7, True), (0.2, 0.5, True)]
)
def test_who_shares_a_core_is_seen(cpu: float, wall: float, contended: bool) -> None:
    program = Program(id="p", code="pass", entry_point=None, cases=(), limits=Limits())
    trial = ProgramTrial(program, overhead_bytes=0, time_share=0.25)
    told = wire.RunReport(
        stopped=b"c", exit=-9, clean=True, cpu=cpu, wall=wall, peak_kb=0, tokens=0, results=0, output=0
    )
    trial.take(wire.TOLD.pack(*told), b"", lambda: False)
    assert trial.contended is contended


@pytest.mark.parametrize(("share", "grace"), [(0.25, 1.0), (1.0, 1.0), (1.5, 1.5)])
def test_more_than_the_limits_is_told_to_the_jail(share: float, grace: float) -> None:
    limits = Limits(cpu_seconds=2.0)
    trial = ProgramTrial(Program(id="p", code="pass", entry_point=None, cases=(), limits=limits), 0, time_share=share)
    message = trial.request(cached_cases="")
    asked = wire.RunRequest(*wire.ASKED.unpack(message[wire.LENGTHS.size :][: wire.ASKED.size]))
    assert (asked.grace, asked.cpu) == (grace, 2.0 * share)


def test_limits_of_calls_are_extended_in_the_process_of_the_program() -> None:
    code = (
        "import signal\nfrom plum_hub.execution import sandbox_child\n"
        "from plum_hub.execution.reserved import RESERVED, reserved\n"
        "sandbox_child.extend_timers(1.0); sandbox_child.extend_timers(1.5)\nRESERVED[reserved('setitimer')](2, 40)\n"
        "assert 59 < signal.getitimer(2)[0] <= 60.1, signal.getitimer(2)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="plays a zygote that was started outside a sandbox")
def test_a_zygote_outside_a_sandbox_ends_before_it_cleans_anything() -> None:
    source = "from plum_hub.execution import zygote\nzygote.prepare()\nprint('it would have gone on')"
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", sys.executable, "-c", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr:
        pytest.skip("user namespaces are refused here")
    assert "on a read-only root" in done.stderr
    assert done.stdout == ""
