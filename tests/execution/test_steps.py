"""A statement that was taken apart is one case, decided by the judge from the values of its steps."""

import operator
from collections.abc import Callable
from typing import Any

import pytest

from plum_hub.attacks.forgeries import PATCHES
from plum_hub.execution import Call, Judge, Limits, Program, Statement
from plum_hub.execution.base import Case, Steps
from plum_hub.execution.cases import cases_of
from plum_hub.execution.closeness import accepts, parse_expected
from plum_hub.execution.conditions import Raised, is_simple_pattern

CODE = """
import os
def f(x): return x + 1
def grow(items): items.append(len(items)); return items
def fail(text="gone"): raise Gone(text)
def leave(): os._exit(0)
def spin():
    while True: pass
class Gone(KeyError): pass
class Own:
    def __eq__(self, other): return True
"""


def steps(*parts: str | tuple[str, str]) -> Steps:
    """Statements, and pairs of expression and expected value."""
    made = (
        Statement(source=one) if isinstance(one, str) else Call(expression=one[0], expected=one[1]) for one in parts
    )
    return Steps(source="whole", steps=tuple(made))


CASES: dict[str, tuple[Case, str, str]] = {
    "all agree": (steps("a = f(1)", ("a", "2"), "b = f(a)", ("b", "3"), ("f(b)", "4")), "passed", "passed"),
    "calls alone": (steps(("f(1)", "2"), ("f(2)", "3")), "passed", "passed"),
    "nothing": (steps(), "passed", "passed"),
    "the first is wrong": (steps("a = f(1)", ("a", "3"), ("f(a)", "3")), "failed", "wrong"),
    "the last is wrong": (steps("a = f(1)", ("a", "2"), ("f(a)", "4")), "failed", "wrong"),
    "a step raises": (steps("a = fail()", ("1", "1")), "failed", "raised"),
    "a call raises": (steps("a = 1", ("fail()", "1")), "failed", "raised"),
    "no syntax": (steps("a =", ("f(1)", "2")), "failed", "raised"),
    "a value as it was": (
        steps("a = grow([])", ("a", "[0]"), "grow(a)", ("a", "[0, 1]"), ("grow(a)", "[0, 1, 2]")),
        "passed",
        "passed",
    ),
    "says that it is equal": (steps("a = Own()", ("a", "5")), "failed", "wrong"),
    "ends the process": (steps(("f(1)", "2"), "leave()", ("f(1)", "2")), "crashed", "raised"),
    "ends the process, after it failed": (steps(("f(1)", "3"), "leave()", ("f(1)", "2")), "failed", "wrong"),
    "never ends, after it failed": (steps(("f(1)", "3"), ("spin()", "2")), "failed", "wrong"),
    "never ends": (steps(("f(1)", "2"), ("spin()", "2")), "timed_out", "timed_out"),
    "raises what it must": (steps(("fail()", "raises(('Gone',))"), ("f(1)", "2")), "passed", "passed"),
    "raises by another name": (steps(("fail()", "raises(('ValueError', 'LookupError'))")), "passed", "passed"),
    "raises something else": (steps(("fail()", "raises(('ValueError',))"), ("f(1)", "2")), "failed", "raised"),
    "raises with the text": (
        steps(("fail('a b')", "raises(('KeyError',), match='^.a b', parts=('b',))")),
        "passed",
        "passed",
    ),
    "raises with another text": (steps(("fail('a')", "raises(('KeyError',), message='a')")), "failed", "raised"),
    "raises nothing": (steps(("f(1)", "raises(('KeyError',))")), "failed", "wrong"),
    "raises nothing, and gives an object": (steps(("Own()", "raises(('KeyError',))")), "failed", "wrong"),
    "ends where it must raise": (steps(("leave()", "raises(('SystemExit',))")), "crashed", "raised"),
}  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "decisive"])
def found(request: pytest.FixtureRequest) -> dict[str, tuple[str, str, str]]:
    """Status of each program, and outcome and place of its only case of steps; others stand around it."""
    around = Call(expression="f(0)", expected="1")
    limits = Limits(cpu_seconds=0.4, wall_seconds=10)
    programs = [
        Program(
            id=name, code=CODE, entry_point="f", cases=(around, case, around), limits=limits, decisive=request.param
        )
        for name, (case, _, _) in CASES.items()
    ]
    with Judge(1) as judge:
        return {
            done.id: (done.status, done.cases[1].outcome, done.cases[1].judged) for done in judge.run(programs)
        }  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_steps_are_one_case(name: str, found: dict[str, tuple[str, str, str]]) -> None:
    assert found[name] == (*CASES[name][1:], "outside")


def test_expected_values_are_not_sent() -> None:
    cases = (steps("a = f(1)", ("a", "87654"), ("a", "above(87653)"), ("f(a)", "raises(('Secret',), match='87655')")),)
    text = cases_of(Program(id="p", code="", entry_point=None, cases=cases, limits=Limits())).text
    assert b"8765" not in text
    assert b"Secret" not in text


VALUES: list[Any] = [
    *(None, True, False, 0, 1, 4, -5, 4.5, 1e400, "", "a", "abc", b"a", [], [1], ["a"], (1,), {}, {1: 2}, {"a": 1}, 2j),
    *({1, 2}, frozenset(), range(3), 10**30),
]
CONDITIONS: dict[str, Callable[[Any, Any], Any]] = {
    "is_in": lambda value, other: value in other,
    "not_in": lambda value, other: value not in other,
    "holds": lambda value, other: other in value,
    "lacks": lambda value, other: other not in value,
    "differs": operator.ne,
    "below": operator.lt,
    "at_most": operator.le,
    "above": operator.gt,
    "at_least": operator.ge,
}
LITERALS = ["1", "4", "'a'", "''", "[1]", "(1, 'a')", "{1, 2}", "{'a': 1}", "[]", "None", "True", "4.5", "'abc'"]


def test_the_attack_on_numbers_in_sight_needs_a_test_that_is_run_whole(judge: Judge) -> None:
    attack = next(one for one in PATCHES if one.name == "constants-of-tests")
    (steps,) = attack.program.cases
    assert isinstance(steps, Steps)
    forms = {"steps": steps, "whole": Statement(source=steps.source)}
    programs = [
        Program(id=name, code=attack.code, entry_point="f", cases=(case,), limits=Limits())
        for name, case in forms.items()
    ]
    assert {one.id: one.status for one in judge.run(programs)} == {"steps": "failed", "whole": "passed"}


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_means_what_python_makes_of_it(name: str) -> None:
    for source in LITERALS:
        try:
            condition = parse_expected(f"{name}({source})", conditions=True)
        except ValueError:
            assert name in ("is_in", "not_in")
            continue
        for value in VALUES:
            try:
                holds = bool(CONDITIONS[name](value, eval(source)))
            except TypeError:
                holds = False
            assert accepts(condition, value) is holds, (value, source)


@pytest.mark.parametrize(
    "source", ["is_in(5)", "differs(f(1))", "raises(('E',), match='a*')", "raises(('E',), text='a')", "above(1, 2)"]
)
def test_no_condition(source: str) -> None:
    with pytest.raises(ValueError, match="not a literal"):
        parse_expected(source, conditions=True)


@pytest.mark.parametrize("source", ["above(1)", "raises(('E',))"])
def test_a_users_expected_value_is_no_condition(source: str) -> None:
    with pytest.raises(ValueError, match="not a literal"):
        parse_expected(source)


def test_patterns_that_could_take_long_are_not_simple() -> None:
    simple = ["", "must be positive", r"no \d", r"a\.b\(c\)", "^x.y$"]
    others = ["(a+)+$", "a*", ".*", "a{3}", "[ab]", "a|b", "a?", r"\1", "(", r"\w+"]
    assert [one for one in simple + others if is_simple_pattern(one)] == simple


def test_what_a_process_wrote_about_an_exception_may_be_anything() -> None:
    assert Raised.of(b"A B\nmessage\nmore") == Raised(("A", "B"), "message\nmore")
    assert Raised.of(b"\xff") == Raised(("\ufffd",), "")


def test_a_call_that_must_raise_fails_by_any_value_even_one_that_has_no_room(judge: Judge) -> None:
    long = "'x' * 15_000_000"
    cases = [*[Call(expression=long, expected="differs('y')")] * 4, Call(expression=long, expected="raises(('E',))")]
    (done,) = judge.run([Program(id="", code=CODE, entry_point=None, cases=tuple(cases), limits=Limits())])
    assert (done.status, done.cases[4].detail) == ("failed", "E was not raised")
