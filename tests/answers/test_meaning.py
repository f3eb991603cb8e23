"""An assertion that is judged from the value of a call means what Python makes of it."""

import builtins
import math
import unittest
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from plum_hub.answers.checks import can_fail, module_cases, one_statement, read_tests, require_can_fail
from plum_hub.execution.closeness import parse_expected
from plum_hub.execution.comparisons import agrees
from plum_hub.execution.values import decode, encode
from plum_hub.records import TestCase

VALUES: list[Any] = [
    *(None, True, False, 0, 1, 4, 5, 6, 98, 100, 101, -5, 10**400, "", "a", [], [1], (1,), {}, {1: 2}, {"a": 0.3}),
    *(0.0, -0.0, 0.1 + 0.2, 0.3, 0.5, 1.0, 2.0, 4.5, 98.0, 99.5, 100.5, 100.49, 5.000001, 5.00000049, 5.0000005),
    *(math.inf, -math.inf, math.nan, 5 + 0j, 5 + 1j, Decimal("4.5"), Decimal("0.3"), Decimal("0.5"), Decimal("NaN")),
    *(Fraction(9, 2), Fraction(3, 10), [1e6, 0.9], [1e6, 0.001], (1e6, 0.0010000005), [1e6 + 0.5, 0.001], [[1.0]]),
    *({"a": 0.1 + 0.2}, {"b": 0.3}, [True, 1], b"", range(2), {1, 2}, [5, 5.0]),
]
SPLIT = [
    *("f() is True", "f() is False", "f() is None", "f() is not True", "f() is not None", "f()", "not f()"),
    *("f() == True", "f() == 1", "f() == 0.3", "f() == [1]", "f() == 5"),
    *("abs(f() - 5) <= 1", "abs(f() - 100) < 0.5", "abs(5 - f()) < 1", "1 >= abs(f() - 5)", "abs(f() - 0.3) < 1e-6"),
    *("abs(f() - 0.5) <= 0.1", "abs(f() - (5 + 0j)) < 2", "abs(f() - True) <= 4", "abs(f() - 5) < 10**-6"),
    *("math.isclose(f(), 100, rel_tol=0.05)", "math.isclose(f(), 1.0, rel_tol=0.5)", "math.isclose(0.3, f())"),
    *("math.isclose(f(), 5, abs_tol=1)", "math.isclose(f(), float('inf'))", "math.isclose(f(), float('nan'))"),
    *("f() == pytest.approx(5)", "f() == pytest.approx(100, rel=0.01)", "pytest.approx(100, abs=1) == f()"),
    *("f() == pytest.approx([1000000.0, 0.001])", "f() == pytest.approx({'a': 0.3})", "f() == pytest.approx(True)"),
    *("f() == pytest.approx(float('nan'), nan_ok=True)", "pytest.approx(f()) == 5"),
    "f() == pytest.approx(float('inf'))",
    *("f() == pytest.approx(Decimal('0.3'))", "f() == pytest.approx(None)", "f() == pytest.approx('a')"),
    *("f() == pytest.approx(5, 0.1, 0.2)", "f() == pytest.approx(float('nan'))"),
]  # fmt: skip
UNITTEST = [
    *("assertIs(f(), True)", "assertIsNot(f(), True)", "assertTrue(f())", "assertFalse(f())", "assertIsNone(f())"),
    *("assertEqual(f(), True)", "assertAlmostEqual(f(), 5)", "assertAlmostEqual(f(), 5, places=1)"),
    *("assertAlmostEqual(f(), 3, delta=2)", "assertAlmostEqual(5, f(), 6)", "assertAlmostEqual(f(), 0.3)"),
    *("assertAlmostEqual(f(), 4.5, delta=0)", "assertLess(abs(f() - 5), 1)", "assertLessEqual(abs(f() - 5), 1)"),
    "assertAlmostEqual(f(), 5, None, 'message', 1)",
]
WHOLE = [
    *("not f() is True", "f() is f()", "1 < f() < 5", "f() != pytest.approx(5)"),
    "not f() == pytest.approx([1000000.0, 0.001])",
    *("abs(f() - 5) < 0", "abs(f() - float('inf')) <= 1", "f() == float('nan')", "f() == [float('nan')]"),
    "f() in (1, 4.5)",
    *("f() == pytest.approx(f())", "math.isclose(f(), f())", "f() is ...", "isinstance(f(), int) or f() == 0.3"),
    *("abs(f() - 5) <= float('inf')", "f() == pytest.approx(sum([2, 3]), abs=0.6)"),
    *("f() == [pytest.approx(5), 5]", "[1e6, pytest.approx(0.001)] == f()", "f() != {'a': pytest.approx(0.3)}"),
    *("f() == {'a': pytest.approx(0.3)}", "f() in [pytest.approx(5, abs=1), None]", "f() <= pytest.approx(5)"),
    "f() == [pytest.approx(wanted) for wanted in (1e6, 0.001)]",
    "all(one == pytest.approx(other) for one, other in zip(f(), [1e6, 0.001]))",
    *("f() == pytest.approx(5) and f() > 4.5", "math.isclose(f(), 5) and f() == 5", "f() == [pytest.approx([1])]"),
]  # fmt: skip
WHOLE_UNITTEST = [
    *("assertIsInstance(f(), int)", "assertNotAlmostEqual(f(), 5)", "assertCountEqual(f(), [1])"),
    "assertIn(f(), [1, 4.5])",
    *("assertAlmostEqual(f(), f(), delta=1)", "assertAlmostEqual(f(), sum([2, 3]))", "assertNotIsInstance(f(), str)"),
    *("assertSequenceEqual(f(), [1])", "assertRegex(f(), 'a')", "assertGreater(f(), 4)"),
    *("assertIn(member=f(), container=[1, 4.5])", "assertGreater(a=f(), b=4)", "assertIsInstance(obj=f(), cls=int)"),
    *("assertEqual(f(), 5); self.assertTrue(f())", "assertEqual(f(), [pytest.approx(1)])"),
]  # fmt: skip
PROGRAM = {"math": math, "Decimal": Decimal, "Fraction": Fraction}
ALL = [*(f"assert {text}" for text in SPLIT + WHOLE), *(f"self.{text}" for text in UNITTEST + WHOLE_UNITTEST)]


def python(source: str, value: Any) -> bool:
    """Whether an assertion holds where it runs as it stands."""
    scope = {**PROGRAM, "pytest": pytest, "self": unittest.TestCase(), "f": lambda: value}
    try:
        exec(source, scope)
    except Exception:  # noqa: BLE001  whatever is raised, the test has failed
        return False
    return True


def judged(case: TestCase, value: Any) -> bool:
    """Whether a case holds: a call by what it gives, a statement where no name of a framework is known."""
    scope = {**PROGRAM, "f": lambda: value, "__builtins__": vars(builtins)}
    try:
        if case.kind == "statement":
            exec(str(case.statement), scope)
            return True
        actual = decode(encode(eval(str(case.call), scope)), max_hashed=10)
    except Exception:  # noqa: BLE001  as above
        return False
    return agrees(actual, parse_expected(str(case.expected)), case.tolerance, "equal")


@pytest.mark.parametrize("source", ALL)
def test_an_assertion_means_what_python_makes_of_it(source: str) -> None:
    cases = module_cases(source, "f")
    ours = [all(judged(case, value) for case in cases) for value in VALUES]
    theirs = [python(source, value) for value in VALUES]
    differ = [(value, mine) for value, mine, other in zip(VALUES, ours, theirs, strict=True) if mine != other]
    assert not differ, cases


@pytest.mark.parametrize("source", ALL)
def test_an_assertion_that_stays_whole_means_the_same(source: str) -> None:
    case = one_statement(source)
    assert [judged(case, value) for value in VALUES] == [python(source, value) for value in VALUES], case


@pytest.mark.parametrize("source", ["assert pytest.f(f())", "self.assertFoo(f(), 1)", "assert f() == self.five"])
def test_what_no_program_could_pass_is_refused(source: str) -> None:
    for read in (one_statement, module_cases):
        with pytest.raises(ValueError, match=r"this use of \w+ is not supported in tests: write it as an assert"):
            read(source)


@pytest.mark.parametrize("text", [*(f"assert {text}" for text in SPLIT), *(f"self.{text}" for text in UNITTEST)])
def test_what_can_be_split_is_judged_outside(text: str) -> None:
    assert [case.kind for case in read_tests(text, "f")] == ["call"]


def test_the_expression_of_an_identity_does_not_tell_which_is_expected() -> None:
    true, false = (read_tests(f"assert f() is {word}", "f")[0].call for word in ("True", "False"))
    assert true == false


@pytest.mark.parametrize("items", [3, 3_000], ids=["short", "long"])
def test_what_a_case_can_show_does_not_depend_on_how_long_its_literals_are(items: int) -> None:
    numbers = list(range(items))

    def case(call: str, expected: str, tolerance: float | None = None) -> TestCase:
        return TestCase(kind="call", call=call, expected=expected, tolerance=tolerance)

    shows = [
        case(f"f({numbers})", str(sum(numbers))), case(f"f({numbers}, 'a')", str(numbers)),
        case("f(1)[0]", str(numbers)),
        case(f"f({numbers}) + 1", "2", 0.5), case(f"f({{1: {numbers}}})", str({1: numbers})),
        case(f"f(len({numbers}))", f"approx({numbers})"),
    ]  # fmt: skip
    for one in shows:
        assert can_fail(one, "f")
        require_can_fail([one], "f")
    beside = case(f"len({numbers})", str(items))
    assert not can_fail(beside, "f")
    with pytest.raises(ValueError, match="nothing in it calls the program"):
        require_can_fail([beside], "f")
    assert module_cases(f"assert f({numbers}) == {numbers}", "f") == (case(f"f({numbers})", str(numbers)),)
