"""The ways in which a value is what is expected."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest

from plum_hub.execution import Call, Judge, Limits, Program, Stdio
from plum_hub.execution.base import Case, Comparison, Reinterpretation, Value
from plum_hub.execution.closeness import parse_expected, without_as_lists, write_json_value
from plum_hub.execution.comparisons import agrees
from plum_hub.execution.literals import parse_literal, write_literal
from plum_hub.execution.values import Array


@pytest.mark.parametrize(
    ("comparison", "actual", "expected", "tolerance", "agree"),
    [
        ("equal", 5.0000001, 5.0, None, False),
        ("equal", 5.0000001, 5.0, 1e-6, True),
        ("near", 1e9 + 50, 1e9, 1e-6, True),
        ("near", 10**9 + 1, 10**9, 1e-6, False),
        ("near", [(1.0, 2.0000001)], [(1.0, 2.0)], 1e-6, True),
        ("near", [[1.0, 2.0]], [(1.0, 2.0)], 1e-6, False),
        ("near", 1.0, math.inf, 1e-6, False),
        ("near", math.nan, math.nan, 1e-6, True),
        ("close", 10**9 + 1, 10**9, 1e-6, True),
        ("close", 5, 5.0, 1e-6, True),
        ("close", 5, 5.0000001, 1e-6, False),
        ("close", [1.0, 2.0000001], [1.0, 2.0], 1e-6, True),
        ("close", [1.0, 2.0], (1.0, 2.0), 1e-6, False),
        ("close", [[1.0], (2.0,)], [(1.0,), [2.0]], 1e-6, True),
        ("close", [1.0, 2.0, 3.0], [1.0, 2.0], 1e-6, False),
        ("close", [[1.0]], [[1.0, 1.0]], 1e-6, True),
        ("close", [[1.0, 2.0], [3.0]], [[1.0, 2.1], [3.0]], 1.0, False),
        ("close", ["a", 1.0000001], ["a", 1.0], 1e-6, False),
        ("close", {"a": 1.0000001}, {"a": 1.0}, 1e-6, False),
        ("close", [2**70 + 1], [2**70], 1e-6, False),
        ("close", 10**400, 10**400 + 1, 1e-6, False),
        ("close", math.inf, math.inf, 1e-6, True),
        ("close", 1.0, math.inf, 1e-6, False),
        ("close", Fraction(1, 2), 0.5, 1e-6, True),
        ("close", Fraction(1, 3), 0.33333333, 1e-6, False),
        ("any_of", 3, (2, 3), None, True),
        ("any_of", 4, (2, 3), None, False),
        ("root_of", 1.99999, [-4, 0, 1], 1e-4, True),
        ("root_of", 1.9, [-4, 0, 1], 1e-4, False),
        ("root_of", None, [-4, 0, 1], 1e-4, False),
        ("root_of", 1e300, [0, 0, 1], 1e-4, False),
        ("root_of", math.nan, [-4, 0, 1], 1e-4, False),
    ],
)
def test_agreement(
    comparison: Comparison, actual: object, expected: object, tolerance: float | None, agree: bool
) -> None:
    assert agrees(actual, expected, tolerance, comparison) is agree


@pytest.mark.parametrize(
    ("actual", "expected", "tolerance", "agree"),
    [
        ((1, 2), "as_lists([1, 2])", None, True),
        ([(1, 2), (3,)], "as_lists([[1, 2], [3]])", None, True),
        ({"a": (1,)}, "as_lists({'a': [1]})", None, True),
        ({"a": ({"b": (2,)},)}, "as_lists({'a': [{'b': [2]}]})", None, True),
        ((1.0, 2.05), "as_lists([1.0, 2.0])", 0.1, True),
        ((1.0, 2.05), "as_lists([1.0, 2.0])", None, False),
        ((2, 1), "as_lists([1, 2])", None, False),
        ({1, 2}, "as_lists([1, 2])", None, False),
        ("ab", "as_lists(['a', 'b'])", None, False),
        (None, "as_lists([])", None, False),
    ],
)
def test_a_tuple_is_a_list_of_json(actual: object, expected: str, tolerance: float | None, agree: bool) -> None:
    assert agrees(actual, parse_expected(expected), tolerance, "equal") is agree


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ([1, [2]], "as_lists([1, [2]])"),
        ({"a": [1]}, "as_lists({'a': [1]})"),
        ({"a": 1}, "{'a': 1}"),
        ("[1]", "'[1]'"),
        ([(1, 2)], "[(1, 2)]"),  # written in Python, which has tuples
        (float("inf"), "1e999"),
    ],
)
def test_values_of_json_are_written_as_expected_values(value: object, source: str) -> None:
    assert write_json_value(value) == source
    assert agrees(value, parse_expected(source), None, "equal")
    assert parse_literal(without_as_lists(source)) == value


@pytest.mark.parametrize(
    "value",
    [
        None, True, -3, 10**5000, -(10**5000), 0.1, -0.0, math.inf, -math.inf, 1 + 2j, "it's \"so\"\n\\", b"\x00",
        [], [1, [2.5]], (), (1,), (1, (2,)), set(), {1}, frozenset(), frozenset({1}), {}, {(1,): [math.inf]}, range(3),
        Array([[1, 2], [3, 4]]), Fraction(-1, 3), Decimal("-0.10"),
    ],
    ids=lambda value: str(type(value).__name__),
)  # fmt: skip
def test_what_is_written_is_read_again(value: object) -> None:
    again = parse_literal(write_literal(value))
    assert again == value
    assert type(again) is type(value)
    assert math.isnan(parse_literal(write_literal([math.nan]))[0])


def test_the_judge_hands_values_out_and_compares_as_it_is_told() -> None:
    code = "def f(x):\n    return x if x < 9 else object()\n"
    cases = (
        Value(expression="{f(1): (f(2.5), None)}"),
        Value(expression="f(9)"),
        Value(expression="f()"),
        Call(expression="f(2)", expected="(1, 2)", comparison="any_of"),
        Call(expression="f(2)", expected="[-4, 0, 1]", tolerance=0.1, comparison="root_of"),
        Call(expression="[f(1), f(2.0000001)]", expected="[1, 2.0]", tolerance=1e-6, comparison="close"),
        Call(expression="f(3)", expected="(1, 2)", comparison="any_of"),
    )
    with Judge(1) as judge:
        (done,) = judge.run([Program(id="p", code=code, entry_point="f", cases=cases, limits=Limits())])
    assert [case.outcome for case in done.cases] == [
        "passed", "wrong", "raised", "passed", "passed", "passed", "wrong"
    ]  # fmt: skip
    assert [case.value for case in done.cases[:3]] == ["{1: (2.5, None)}", None, None]
    assert done.cases[1].detail == "not plain: object"


def test_one_run_is_read_by_two_rules() -> None:
    code = "def f(x):\n    return [None, (1.0,), 2, object()][x]\n"
    calls = (
        Call(expression="f(1)", expected="[1.0]", comparison="as_list"),
        Call(expression="f(2)", expected="2.0000001", tolerance=0.0, comparison="close"),
        Call(expression="f(3)", expected="3"),
        Call(expression="f(4)", expected="4"),
    )
    readings = tuple(Reinterpretation(case=number, comparison="near", tolerance=1e-6) for number in range(4))
    with Judge(1) as judge:
        (done,) = judge.run([Program(id="p", code=code, entry_point="f", cases=calls + readings, limits=Limits())])
    assert [case.outcome for case in done.cases] == [
        "passed",
        "wrong",
        "wrong",
        "raised",
        "wrong",
        "passed",
        "wrong",
        "raised",
    ]
    assert done.status == "failed"


def test_a_right_program_passes_every_reading() -> None:
    cases = (Call(expression="f(1)", expected="[0.5]"), Reinterpretation(case=0, comparison="near", tolerance=1e-6))
    with Judge(1) as judge:
        (done,) = judge.run(
            [Program(id="p", code="def f(x):\n    return [x / 2]\n", entry_point="f", cases=cases, limits=Limits())]
        )
    assert (done.status, [case.outcome for case in done.cases]) == ("passed", ["passed"] * 2)


def test_scripts_stop_at_the_first_that_no_reading_passes() -> None:
    def case(stdin: str) -> Stdio:
        return Stdio(stdin=stdin, stdout="1", comparison="livecodebench")

    cases: tuple[Case, ...] = (
        *map(case, "123"),
        *(Reinterpretation(case=number, comparison="words") for number in range(3)),
    )
    with Judge(1) as judge:
        codes = {"printed": "print(input() + '.0')", "status": "print(1); raise SystemExit(3)"}
        done = judge.run(
            Program(id=name, code=code, entry_point=None, cases=cases, limits=Limits(), decisive=True)
            for name, code in codes.items()
        )
        found = {execution.id: [case.outcome for case in execution.cases] for execution in done}
    assert found == {
        "printed": ["passed", "wrong", "not_run", "wrong", "wrong", "not_run"],
        "status": ["passed"] * 3 + ["raised"] * 3,
    }


def test_a_call_has_a_limit_of_its_own() -> None:
    code = "def f(x):\n    while x:\n        pass\n    return x\n"
    cases = tuple(Call(expression=f"f({x})", expected="0", cpu_seconds=0.3) for x in (0, 1, 0))
    with Judge(1) as judge:
        (done,) = judge.run([Program(id="p", code=code, entry_point="f", cases=cases, limits=Limits(cpu_seconds=60.0))])
    assert (done.status, [case.outcome for case in done.cases]) == ("timed_out", ["passed", "timed_out", "not_run"])
    assert done.cpu_seconds < 5
