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
