"""The ways in which a printed text can be what is expected."""

from decimal import Decimal, InvalidOperation
from typing import Literal

OutputComparison = Literal["words", "livecodebench"]
"""How a printed text is held against what is expected: `output_agrees` says what each means."""


def output_agrees(actual: str, expected: str, comparison: OutputComparison) -> bool:
    """Whether a printed text is what is expected, where the comparison is

    words           the same words in the same lines; empty lines at the end do not count.
    livecodebench   as LiveCodeBench has it: the same number of lines, once the whole is stripped, and each line the
                    same to the letter, once stripped, or the same decimal numbers (`1.0` for `1`; no tolerance);
                    with this one, `sys.exit` with a status other than 0 is no failure.
    """
    if comparison == "words":
        return _words(actual) == _words(expected)
    actual_lines, expected_lines = (text.strip().split("\n") for text in (actual, expected))
    if len(actual_lines) != len(expected_lines):
        return False
    return all(map(_same_line, actual_lines, expected_lines))


def _words(text: str) -> list[list[str]]:
    lines = [line.split() for line in text.rstrip().split("\n")]
    return lines if lines != [[]] else []


def _same_line(actual: str, expected: str) -> bool:
    if actual.strip() == expected.strip():
        return True
    try:
        return [Decimal(word) for word in actual.split()] == [Decimal(word) for word in expected.split()]
    except InvalidOperation:  # a word is no number
        return False
