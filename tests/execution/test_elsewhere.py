"""Other surroundings of a program: what differs there, in each sandbox that works here."""

import ast

import pytest

from plum_hub.errors import SandboxError
from plum_hub.execution import Judge, Limits, Program
from plum_hub.execution.base import SandboxName, Value

_CODE = """
import os, random, sys, time
def f():
    return {
        "set": "".join({"a", "b", "c", "d", "e", "f"}), "random": random.random(), "limit": sys.getrecursionlimit(),
        "folder": os.getcwd().endswith("elsewhere"), "zone": time.timezone, "home": os.environ.get("HOME"),
        "files": os.listdir(),
    }
"""


def program(name: str, *, elsewhere: bool) -> Program:
    cases = (Value(expression="f()"),)
    return Program(id=name, code=_CODE, entry_point="f", cases=cases, limits=Limits(), elsewhere=elsewhere)


@pytest.mark.parametrize("sandbox", ["jail", "landlock"])
def test_everything_around_a_program_differs_elsewhere_and_is_the_same_each_time(sandbox: SandboxName) -> None:
    programs = [program(f"{number} {place}", elsewhere=place) for number in range(2) for place in (False, True)]
    try:
        with Judge(1, sandbox=sandbox) as judge:
            values = {one.id: ast.literal_eval(one.cases[0].value or "") for one in judge.run(programs)}
    except SandboxError as error:
        pytest.skip(str(error))
    here, there = values["0 False"], values["0 True"]
    assert values["1 False"] == here
    assert values["1 True"] == there
    assert sorted(here["set"]) == sorted(there["set"])
    assert here["files"] == there["files"] == []
    assert there["folder"]
    assert not here["folder"]
    assert [key for key in here if key not in ("files", "folder") and here[key] == there[key]] == []
