"""The rules by which LiveCodeBench holds what is printed or returned against what is expected."""

from typing import Any

import pytest

from plum_hub.execution.comparisons import agrees
from plum_hub.execution.output import output_agrees


@pytest.mark.parametrize(
    ("printed", "expected", "official", "strict"),
    [
        ("1 2\n3\n", "1 2\n3", True, True),
        (" 1 2 \n3\n\n\n", "1 2\n3\n", True, True),
        ("\n1\n", "1\n", True, False),
        ("1\n\n2\n", "1\n2\n", False, False),
        ("1  2\n", "1 2\n", True, True),
        ("a  b\n", "a b\n", False, True),
        ("1.0\n", "1\n", True, False),
        ("1e2 0x\n", "100 0x\n", False, False),
        ("1E+2\n", "100\n", True, False),
        ("0.1000000000000000055\n", "0.1\n", False, False),
        ("50000000000000001\n", "50000000000000000\n", False, False),
        ("1 2\n", "1\n2\n", False, False),
        ("", "", True, True),
        ("\n", "", True, True),
        ("x", "", False, False),
        ("Yes\n", "YES\n", False, False),
        ("nan\n", "nan\n", True, True),
        ("NaN\n", "nan\n", False, False),
        ("sNaN\n", "1\n", False, False),
        ("inf\n", "Infinity\n", True, False),
        ("1e999999999999\n", "1\n", False, False),
        ("9" * 20_000, "9" * 20_000 + ".0", True, False),
        ("1\r\n2\r\n", "1\n2\n", True, True),
    ],
)
def test_printed_texts(printed: str, expected: str, official: bool, strict: bool) -> None:
    assert output_agrees(printed, expected, "livecodebench") is official
    assert output_agrees(printed, expected, "words") is strict


CONTEST = [
    ("11", "0011", False),
    ("05", "5", False),
    ("0.50", "0.5", True),
    ("-0", "0", True),
    ("5", "1e999", False),
    ("1e9999", "1.5", False),
    ("1.0e999", "1e999", True),
    ("1 2\n3", "1 2\n3\n", True), ("\n1 \n\n", "1", True), ("1\r\n2\r\n", "1\n2\n", True), ("1\n\n2", "1\n2", False),
    ("1 2", "1\n2", False), ("2 1", "1 2", False), ("1 2 3", "1 2", False), ("Yes", "YES", False), ("", "\n", True),
    ("x", "", False), ("1.0", "1", True), ("1.0000001", "1", False), ("1", "1.0", True),
    ("0.333333", "0.3333333333", True),
    ("0.33333", "0.3333333333", False), ("1000000.5", "1000000.0", True), ("1000002", "1000000.0", False),
    ("1e-7", "0.0", True), ("5", "5e0", True), ("1e999", "1e998", False), ("9" * 400 + ".0", "9" * 400, True),
    ("50000000000000001", "50000000000000000", False), ("nan", "nan", True), ("nan", "1.0", False),
    ("0x10", "16", False),
    ("1_0", "10", False), ("x 0.30000000000000004", "x 0.3", True), ("٣", "3", False), ("1e99999", "1", False),
]  # fmt: skip


@pytest.mark.parametrize(("printed", "expected", "accepted"), CONTEST)
def test_printed_texts_of_a_suite_are_compared_as_contest_judges_do(
    printed: str, expected: str, accepted: bool
) -> None:
    assert output_agrees(printed, expected, "contest") is accepted


@pytest.mark.parametrize(
    ("value", "expected", "official", "strict"),
    [
        ([1, 2], [1, 2], True, True),
        ((1, 2), [1, 2], True, False),
        ([(1, 2)], [[1, 2]], False, False),
        (((1, 2),), [[1, 2]], False, False),
        ({1, 2}, [1, 2], False, False),
        (range(2), [0, 1], False, False),
        (True, 1, True, True),
        (2.0, 2, True, True),
        (0.1 + 0.2, 0.3, False, False),
        ("12", 12, False, False),
        (None, [], False, False),
    ],
)
def test_values(value: Any, expected: Any, official: bool, strict: bool) -> None:
    assert agrees(value, expected, None, "as_list") is official
    assert agrees(value, expected, None, "equal") is strict
