"""Calls whose arguments are sent as values do what the same calls do as expressions."""

from dataclasses import replace

import pytest

from plum_hub.execution import Call, Execution, Judge, Limits, Program, Statement
from plum_hub.execution.base import Case, Value
from plum_hub.execution.cases import cases_of

CALLS = (
    "f(1, (2, 'a'), [3.5])", "f()", "C([1, 2])", "len([1, 2])", "missing(1)", "number(1)", "grown([1])", "grown([1])",
    "deep(50)", "fails('it')", "swapped(1)", "limit(1)", "f(True, None)", "deepest(0)",
    "f(-0.0, 1e999, 12345678901234567890123)",
)  # fmt: skip
CODE = """
number = 3
def f(*given):
    return given
class C(list):
    pass
def grown(given):
    given.append(len(given))
    return given
def deep(n):
    return n and deep(n - 1) + 1
def deepest(n):
    try:
        return deepest(n + 1)
    except RecursionError:
        return n
def fails(why):
    raise KeyError(why)
def swapped(x):
    import builtins
    builtins.isinstance = builtins.len = builtins.type = None
    f.__globals__['f'] = f.__globals__['grown'] = lambda *given: 'swapped'
    return x
def limit(x):
    import sys
    return sys.getrecursionlimit()
"""


def run(judge: Judge, *programs: Program) -> list[Execution]:
    return sorted(judge.run(programs), key=lambda execution: execution.id)


def program(name: str, *cases: Case, code: str = CODE, **limits: float) -> Program:
    return Program(id=name, code=code, entry_point=None, cases=cases, limits=replace(Limits(), **limits))


def test_plain_calls_give_what_expressions_give() -> None:
    plain, expressions = (tuple(Value(expression=f"{call}{space}") for call in CALLS) for space in ("", " "))
    assert cases_of(program("", *plain)).text.count(b'"plain"') == len(CALLS)
    assert b'"plain"' not in cases_of(program("", *expressions)).text
    with Judge(1) as judge:
        found = run(
            judge, *(program(f"{number} plain", *plain) for number in range(3)), program("others", *expressions)
        )
    *alike, others = ([(case.outcome, case.value, case.detail) for case in one.cases] for one in found)
    assert alike == [others] * 3
    assert others[0][1] == "(1, (2, 'a'), [3.5])"
    assert others[6][1] == others[7][1] == "[1, 1]"
    assert "'missing' is not defined" in others[4][2]


def test_plain_calls_stand_between_statements_and_expressions() -> None:
    cases = (
        Call(expression="f(1)", expected="(1,)"),
        Statement(source="assert f(2) == (2,)"),
        Call(expression="f(3)[0]", expected="3"),
        Call(expression="f((4,5))", expected="((4, 5),)"),
        Statement(source="f(6)[1]"),
        Call(expression="f([])", expected="([],)"),
        Call(expression="f(7", expected="7"),
    )
    with Judge(1) as judge:
        first, second = run(judge, program("a", *cases), program("b", *cases))
    for found in (first, second):
        assert [case.outcome for case in found.cases] == [*["passed"] * 4, "raised", "passed", "raised"]


@pytest.mark.parametrize("expression", ["f(1)", "f(1) "], ids=["plain", "expression"])
def test_a_call_of_its_own_limit_ends_the_program(expression: str) -> None:
    code = "def f(x):\n    while x: pass\n"
    given = program("a", Call(expression=expression, expected="None", cpu_seconds=0.2), code=code, cpu_seconds=60.0)
    with Judge(1) as judge:
        (found,) = run(judge, given)
    assert found.cases[0].outcome != "passed"
    assert found.cpu_seconds < 10


def test_arguments_that_are_long_together_are_sent_as_expressions() -> None:
    few = tuple(Value(expression=f"f({'[' + '1, ' * 1000 + '1]'})") for _ in range(100))
    assert b'"plain"' in cases_of(program("", *few)).text
    assert b'"plain"' not in cases_of(program("", *few * 4)).text
    with Judge(1) as judge:
        (found,) = run(judge, program("a", *few * 4))
    assert found.status == "passed"
