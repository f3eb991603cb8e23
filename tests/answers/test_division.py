"""A test is taken apart where its parts mean the same: what it expects then never reaches the program's process."""

import re
from pathlib import Path

import pytest

from plum_hub.answers.checks import read_tests
from plum_hub.answers.division import divided
from plum_hub.execution import Judge, Limits
from plum_hub.execution.base import Statement, Steps
from plum_hub.execution.cases import cases_of
from plum_hub.judging.cases import judged_at, program

BLOCKS = dict(
    block.split("\n", 1) for block in (Path(__file__).parent / "suites_divided.txt").read_text().split("=== ")[1:]
)
"""Test modules by name, behind the place where they are judged."""
OUTSIDE, INSIDE = (
    {name.partition(" | ")[2]: source for name, source in BLOCKS.items() if name.startswith(place)}
    for place in ("outside", "inside")
)
"""Those whose expected value, 7331, is outside; and those that would not certainly mean the same."""
PROGRAM = "class Box: pass\ndef add(a, b): pass\n"


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_a_test_expects_stays_outside(name: str) -> None:
    cases = read_tests(OUTSIDE[name], "")
    assert {judged_at(case) for case in cases} == {"outside"}, [case.statement for case in cases]
    text = cases_of(program("p", PROGRAM, "add", cases, Limits())).text.decode()
    assert not re.search("733", text), text
    assert "KeyError" not in text


@pytest.mark.parametrize("name", INSIDE)
def test_what_would_not_certainly_mean_the_same_stays_whole(name: str) -> None:
    cases = read_tests(INSIDE[name], "add")
    assert [judged_at(case) for case in cases if case.kind == "statement"] == ["inside"]


_DOUBLING = "".join(f"def check_{n}(x):\n" + f"    check_{n - 1}(x)\n" * 10 for n in range(1, 7))
LONG = {
    "helpers that call each other": "def check_0(x):\n    if x:\n        assert add(x, x) == x\n"
    f"{_DOUBLING}def test_a():\n    check_6(0)\n    assert add(1, 2) == 3\n",
    "loops in loops": "def test_a():\n    for a in range(99):\n        for b in range(99):\n"
    "            for c in range(99):\n                if a * b * c == 7:\n                    assert add(a, b) == c\n",
    "a long text in a loop": "def test_a():\n    want = 'ab' * 40_000\n    for n in range(500):\n"
    "        assert add(want, '') == want\n",
}
"""Tests whose steps would be far longer than they are."""


@pytest.mark.parametrize("name", LONG)
def test_a_test_that_would_be_far_longer_in_steps_stays_whole(name: str) -> None:
    assert isinstance(divided(f"{LONG[name]}test_a()\n"), Statement)


def test_each_name_of_a_test_is_gone_after_it() -> None:
    source = "def test_a():\n    seen = add(1, 2)\n    assert seen == 3\ntest_a()\n"
    found = divided(source)
    assert isinstance(found, Steps)
    assert "pop" in vars(found.steps[-1])["source"]
    assert found.source == source


LOOKS = """
import sys

def found(wanted):
    frame = sys._getframe().f_back.f_back
    while frame:
        for value in (*frame.f_globals.values(), *frame.f_locals.values(), *frame.f_code.co_consts):
            for item in value if isinstance(value, (list, tuple)) else [value]:
                for inner in item if isinstance(item, (list, tuple)) else [item]:
                    if type(inner) is type(wanted) and inner not in (wanted, 2, 3, 0, 1):
                        return inner
        frame = frame.f_back
    return wanted

def add(a, b):
    return found(a)

class Box:
    def __init__(self): self.size = found(1)
    def add(self, n): return found(n)
    def is_full(self): return found(1) == 7331
    def is_open(self): return found(1) == 7331
"""
"""Answers a number that it finds in a frame below, as what a test expects would be."""
FORGED = [
    "names",
    "a list",
    "a table",
    "a table with a name",
    "parametrize",
    "rows of dictionaries",
    "unittest",
    "state",
]


def test_a_program_does_not_find_what_a_test_expects() -> None:
    programs = [program(name, LOOKS, "add", read_tests(OUTSIDE[name], ""), Limits()) for name in FORGED]
    with Judge(1) as judge:
        assert {done.id: done.status for done in judge.run(programs)} == dict.fromkeys(FORGED, "failed")


def test_most_of_the_modules_that_are_held_against_pytest_are_judged_outside() -> None:
    blocks = (Path(__file__).parent / "suites_truth.txt").read_text().split("=== ")[1:]
    places = [
        {judged_at(case) for case in read_tests(block.split("\n", 1)[1])} == {"outside"}
        for block in blocks
    ]  # fmt: skip
    assert sum(places) > len(places) / 2
