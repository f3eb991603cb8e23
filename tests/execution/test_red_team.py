"""Hostile programs get their exact status and leave nothing; awkward but right ones pass."""

import json
import os
from collections.abc import Sequence

import pytest

from plum_hub.attacks import Attack, correct, escapes, forgeries, machinery, resources, runner
from plum_hub.execution import Judge, Program
from tests.execution.conftest import traces
from tests.execution.shells import as_ordinary_user, in_shell

GROUPS = {
    "ends": forgeries.ENDS,
    "lies": forgeries.LIES,
    "patches": forgeries.PATCHES,
    "stolen": machinery.STOLEN,
    "forged": machinery.FORGED,
    "patched": machinery.PATCHED,
    "resources": resources.TAKEN,
    "evasions": resources.EVASIONS,
}


_MAIN = "from plum_hub.cli import main; main()"


def statuses(judge: Judge, programs: Sequence[Program]) -> dict[str, str]:
    return {execution.id: execution.status for execution in judge.run(programs)}


def wrongly_judged(judge: Judge, attacks: Sequence[Attack]) -> dict[str, str]:
    found = statuses(judge, [attack.program for attack in attacks])
    assert len(found) == len(attacks)
    wrong = {attack.name: attack.status for attack in attacks if not attack.stopped(found[attack.name])}
    return {name: f"{found[name]}, not {wanted}" for name, wanted in wrong.items()}


def test_the_corpus_has_every_program_once() -> None:
    groups = [*runner.GROUPS.values(), escapes.escapes(1, "x"), escapes.LEFT_BEHIND]
    names = [(number, attack.name) for number, group in enumerate(groups) for attack in group]
    assert len(names) == len(set(names)) >= 60
    assert len(correct.MODULES + correct.SCRIPTS) >= 30
    assert not [attack.name for attack in runner.GROUPS["false passes"] if attack.stopped("passed")]
    assert sorted(a.name for group in GROUPS.values() for a in group) == sorted(
        a.name for group in runner.GROUPS.values() for a in group
    )


@pytest.mark.parametrize("group", GROUPS)
def test_an_attack_gets_its_status_and_leaves_nothing(judge: Judge, group: str) -> None:
    before = traces()
    assert wrongly_judged(judge, GROUPS[group]) == {}
    assert traces() == before


def test_nothing_gets_out_of_a_jail(judge: Judge) -> None:
    with runner.targets() as (port, secret):
        attacks = escapes.escapes(port, secret)
        found = {execution.id: execution.cases[0].detail for execution in judge.run([a.program for a in attacks])}
    assert found == {attack.name: "" for attack in attacks}


@pytest.mark.parametrize("attack", escapes.LEFT_BEHIND, ids=lambda attack: attack.name)
def test_the_next_program_finds_nothing_of_the_last(attack: Attack) -> None:
    before = traces()
    with Judge(workers=1) as judge:
        assert wrongly_judged(judge, [attack]) == {}
        assert wrongly_judged(judge, [escapes.LOOK]) == {}
    assert traces() == before


def test_awkward_but_right_programs_pass(judge: Judge) -> None:
    programs = correct.MODULES + correct.SCRIPTS
    assert statuses(judge, programs) == {program.id: "passed" for program in programs}


def test_every_attack_is_stopped_in_the_jail_of_an_ordinary_user() -> None:
    found = json.loads(as_ordinary_user("-c", _MAIN, "doctor", "--json").stdout)
    if found["sandbox jail"] != "yes":
        pytest.skip(f"an ordinary user gets no jail here: {found['sandbox jail']}")
    done = as_ordinary_user("-c", _MAIN, "doctor", "--attack", "--json")
    groups = json.loads(done.stdout)
    assert "right programs" in groups
    through = [one["name"] for group in groups.values() for one in group if not one["stopped"]]
    assert (done.returncode, through) == (0, []), done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="the kernel limits the processes of everybody but the machine's root")
def test_a_jail_in_which_processes_are_not_limited_is_refused_before_the_first_program() -> None:
    found = json.loads(in_shell("root under another number", "-c", _MAIN, "doctor", "--json").stdout)
    assert "resource limits: it can have processes without end" in found["sandbox jail"]
    assert found["isolation"].startswith("landlock-")
