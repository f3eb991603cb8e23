"""Hostile programs get their exact status and leave nothing; awkward but right ones pass."""

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from plum_hub.execution import Judge, Program
from tests.execution import awkward, hostile
from tests.execution.conftest import traces


def statuses(judge: Judge, programs: Sequence[Program]) -> dict[str, str]:
    return {execution.id: execution.status for execution in judge.run(programs)}


@pytest.mark.parametrize("attacks", [hostile.FALSE_PASSES, hostile.RESOURCES], ids=["false-passes", "resources"])
def test_an_attack_gets_its_exact_status_and_leaves_nothing(judge: Judge, attacks: list[hostile.Attack]) -> None:
    before = traces()
    assert statuses(judge, [attack.program for attack in attacks]) == {attack.name: attack.status for attack in attacks}
    assert traces() == before


def test_nothing_gets_out_of_a_jail(judge: Judge, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("for nobody")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(tcp.getsockname())
        attacks = hostile.escapes(tcp.getsockname()[1], str(secret))
        found = {execution.id: execution.cases[0].detail for execution in judge.run([a.program for a in attacks])}
        assert found == {attack.name: "" for attack in attacks}
        for listener in (tcp, udp):
            listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            tcp.accept()
        with pytest.raises(BlockingIOError):
            udp.recv(1)
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("attack", hostile.LEFT_BEHIND, ids=lambda attack: attack.name)
def test_the_next_program_finds_nothing_of_the_last(attack: hostile.Attack) -> None:
    look = hostile.Attack(
        "look", "passed",
        "import os\n"
        "def f(x): return [os.listdir('/tmp'), [n for n in range(2, 999) if n != os.getpid() and lives(n)]]\n"
        "def lives(n):\n try: os.kill(n, 0)\n except ProcessLookupError: return False\n return True",
        hostile.Call(expression="f(2)", expected="[[], []]"),
    )  # fmt: skip
    before = traces()
    with Judge(workers=1) as judge:
        assert statuses(judge, [attack.program]) == {attack.name: "passed"}
        assert statuses(judge, [look.program]) == {"look": "passed"}
    assert traces() == before


def test_awkward_but_right_programs_pass(judge: Judge) -> None:
    programs = awkward.MODULES + awkward.SCRIPTS
    assert statuses(judge, programs) == {program.id: "passed" for program in programs}
