"""Expected values are read without running anything, and compared as `==` compares plain builtins."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from plum_hub.execution.literals import equal, parse_literal
from plum_hub.execution.plain_literals import NotPlainError, parse_plain, plain_call


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1", 1),
        (" -1.5 ", -1.5),
        ("'a' \"b\"", "ab"),
        ("b'x'", b"x"),
        ("1+2j", 1 + 2j),
        ("-inf", -math.inf),
        ("math.inf", math.inf),
        ("float('-inf')", -math.inf),
        ("[(1,), {'a': None}]", [(1,), {"a": None}]),
        ("set()", set()),
        ("frozenset({1, 2})", frozenset({1, 2})),
        ("range(1, 5, 2)", range(1, 5, 2)),
        ("list(range(3))", [0, 1, 2]),
    ],
)
def test_literals_are_read(source: str, value: object) -> None:
    assert parse_literal(source) == value
    assert type(parse_literal(source)) is type(value)


def test_long_ints_are_read_in_hexadecimal() -> None:
    assert parse_literal("0x" + "f" * 9000) == 16**9000 - 1


def test_minus_zero_and_nan_are_read() -> None:
    assert math.copysign(1, parse_literal("-0.0")) == -1
    assert all(math.isnan(parse_literal(source)) for source in ("nan", "math.nan", "float('nan')"))


@pytest.mark.parametrize(
    "source",
    [
        "",
        "f(1)",
        "x",
        "...",
        "1 + 1",
        "10**3",
        "[1] * 3",
        "not True",
        "-True",
        "{**{}}",
        "{[]: 1}",
        "set([[]])",
        "__import__('os').getpid()",
        "[x for x in ()]",
        "lambda: 1",
        "float('1.5')",
        "list(range(10000000000))",
        "1; 2",
        "(" * 300,
        "-" * 100_000 + "1",
        "'\0'",
    ],
)
def test_anything_else_is_a_value_error(source: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_literal(source)


@pytest.mark.parametrize(
    ("actual", "expected", "tolerance", "same"),
    [
        (True, 1, None, True),
        (1, 1.0, None, True),
        ("1", 1.0, None, False),
        (0.1 + 0.2, 0.3, None, False),
        (0.1 + 0.2, 0.3, 1e-9, True),
        ({"a": [0.1 + 0.2]}, {"a": [0.3]}, 1e-9, True),
        ({"b": 1}, {"a": 1}, None, False),
        ({1: 2, 2: 3}, {1: 2}, None, False),
        (10**400, 1.0, 1e-9, False),
        (math.inf, math.inf, 1e-9, True),
        (math.nan, math.nan, None, True),
        (math.nan, 1.0, 1.0, False),
        ([math.nan], [math.nan], None, True),
        ({math.nan}, {math.nan}, None, True),
        ({(1, math.nan): 2}, {(1, math.nan): 2}, None, True),
        ((1, 2), [1, 2], None, False),
        ({1}, frozenset({1}), None, True),
        ([1, 2, 3], [1, 2], None, False),
        (1, 2, 1.5, True),
        (1.0, 2, 1.5, True),
        (Fraction(2), 2, None, True),
        (Fraction(1, 2), 0.5, None, True),
        (Fraction(1, 3), 0.333, 1e-3, True),
        (Decimal("0.1"), 0.1, 1e-3, False),
        ({Decimal(1)}, {1}, None, True),
    ],
)
def test_equality(actual: Any, expected: Any, tolerance: float | None, same: bool) -> None:
    assert equal(actual, expected, tolerance) is same


def test_a_tolerance_can_be_for_floats_only() -> None:
    assert equal([1.0, 3], [1.5, 3], 1.0, exact_integers=True)
    assert not equal([1.0, 3], [1.5, 4], 1.0, exact_integers=True)
    assert equal([1.0, 3], [1.5, 4], 1.0)


@pytest.mark.parametrize(
    "source",
    [
        "0", " -7 ", "-0", "1e-05", "1E400", "-0.0", "True", "None", "'a b'", "''", "[]", "()", "(1, 2)",
        "[1, (2.5, ())]", "[True, [None, False]]", "[('a', 'é'), [1, 2,\n3]]",
        str([[x, -x, x / 7] for x in range(500)]),
    ],
)  # fmt: skip
def test_plain_literals_are_read_alike(source: str) -> None:
    assert repr(parse_plain(source)) == repr(parse_literal(source))


@pytest.mark.parametrize(
    "source",
    [
        "", "true", "[null]", "NaN", "-Infinity", "nan", "Truest", "01", "1_000", "+1", "1.", "0x10", "1+2j",
        "9" * 5000, "(1)", "((1, 2))", "(1,)", "[1, 2,]", "[1)", "(1, 2]", "{}", "{'a': 1}", "{1, 2}", "set()", "b'a'",
        "'a' 'b'", "'''a'''", "'a\\n'", "'a\nb'", "'(a)'", "('a)', 1)", "'\"'", '"a"', "'\ud800'", "1 # 2",
        "['a', True]", "[" * 150 + "]" * 150, "[" * 9000 + "]" * 9000, "f(1)", "approx(1)",
    ],
)  # fmt: skip
def test_what_json_would_read_otherwise_is_not_plain(source: str) -> None:
    with pytest.raises(NotPlainError):
        parse_plain(source)


@pytest.mark.parametrize(
    ("expression", "name", "arguments"),
    [
        ("f()", "f", "[]"),
        ("solve( 1,\n 'a (b'.x)", None, None),
        ("_f2([1, (2, 'é')], -0.5, None)", None, None),  # a string and None together are left to the compiler
        ("_f2([1, (2, 'é')], -0.5)", "_f2", '[[1, {"":[2, "é"]}], -0.5]'),
        ("f( True , None)", "f", "[ true , null]"),
        *((one, None, None) for one in (
            "f(1)[0]", "f(1), f(2)", "f(1)(2)", "f(1) + g(2)", "f(x=1)", "f(*[1])", "f(1,)", "f(x)", "not(1)", "f",
            "lambda(1)", "f.g(1)", "f (1)", " f(1)", "f(1) ", "f(1] + [2)", "f(1], [2)", "f((1))", "f({1: 2})", "",
            "f(1 # a\n)", "é(1)",
        )),
    ],
)  # fmt: skip
def test_a_call_with_plain_arguments_is_taken_apart(expression: str, name: str | None, arguments: str | None) -> None:
    if name is None:
        with pytest.raises(NotPlainError):
            plain_call(expression)
    else:
        assert plain_call(expression) == (name, arguments)
