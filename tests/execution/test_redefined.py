"""Programs with a class of their own that has the name of one that the judge reads in expected values."""

import pytest

from plum_hub.answers.checks import read_tests
from plum_hub.execution import Call, Judge, Limits, Program
from plum_hub.execution.base import Reinterpretation
from plum_hub.judging.cases import program

OWN = """
class Fraction:
    def __init__(self, above, below=1):
        self.parts = above, below
    def __eq__(self, other):
        return isinstance(other, Fraction) and self.parts == other.parts
    def plus(self, one):
        return Fraction(self.parts[0] + {} * self.parts[1], self.parts[1])
"""
EQUATION = "Fraction(1, 2).plus(1) == Fraction(3, 2)"
TESTS = {
    "an assertion": f"assert {EQUATION}\n",
    "a test": f"def test_plus():\n    half = Fraction(1, 2)\n    assert half.plus(1) == {EQUATION[-14:]}\n",
    "two literals": f"assert Fraction(1, 2) != 5\nassert {EQUATION}\n",
    "unittest": (
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n"
        f"        self.assertEqual({EQUATION.replace(' ==', ',')})\n"
    ),
}


@pytest.mark.parametrize("tests", TESTS.values(), ids=TESTS)
def test_its_own_class_says_what_it_is_equal_to(tests: str, judge: Judge) -> None:
    cases = read_tests(tests, "Fraction")
    programs = [
        program(status, OWN.format(times), "Fraction", cases, Limits())
        for times, status in ((1, "passed"), (2, "failed"))
    ]
    done = {one.id: one for one in judge.run(programs)}
    assert {name: one.status for name, one in done.items()} == {"passed": "passed", "failed": "failed"}
    assert all(one.cases[-1].judged == "inside" for one in done.values())


MEANT = {
    "from fractions import Fraction\ndef f(): return Fraction(1, 2)": ("passed", "outside"),
    "import fractions\ndef f(): return fractions.Fraction(2, 4)": ("passed", "outside"),
    "def f():\n    Fraction = 0.5\n    return Fraction": ("passed", "outside"),
    "Fraction = 5\ndef f(): return 0.5": ("failed", "inside"),
    "def f(:": ("not_executable", "outside"),
}


@pytest.mark.parametrize("code", MEANT)
def test_the_name_is_the_programs_only_where_it_binds_it(code: str, judge: Judge) -> None:
    cases = (Call(expression="f()", expected="Fraction(1, 2)"),)
    (done,) = judge.run([Program(id="", code=code, entry_point=None, cases=cases, limits=Limits())])
    assert (done.status, done.cases[0].judged) == MEANT[code]


def test_what_is_no_assertion_of_the_test_stays_outside(judge: Judge) -> None:
    cases = (
        Call(expression="f()", expected="inf", tolerance=1.0),
        Call(expression="f()", expected="approx(inf)"),
        Call(expression="f()", expected="inf"),
        Reinterpretation(case=2, comparison="near"),
        Call(expression="f()", expected="float('inf')"),
    )
    code = "inf = 5\nfloat = 6\ndef f(): return 1e999"
    (done,) = judge.run([Program(id="", code=code, entry_point=None, cases=cases, limits=Limits())])
    assert {case.judged for case in done.cases} == {"outside"}
    assert done.status == "passed"
