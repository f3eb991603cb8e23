"""The rules by which printed text equals the expected text."""

from decimal import Decimal, InvalidOperation
from typing import Literal

OutputComparison = Literal["words", "livecodebench"]
"""How printed text is compared with the expected text; defined in `output_agrees`."""


def output_agrees(actual: str, expected: str, comparison: OutputComparison) -> bool:
    """Compare printed text with the expected text.

    The comparisons are:

    - `words`: The same words in the same lines; trailing empty lines are ignored.
    - `livecodebench`: The rule of LiveCodeBench: the same number of lines once the whole text is stripped, and each
      line equal once stripped, or the same decimal numbers (`1.0` for `1`; no tolerance). With this rule, a `sys.exit`
      with a nonzero status is not a failure either.

    Args:
        actual: What the program printed.
        expected: What it should have printed.
        comparison: One of the rules above.

    Returns:
        Whether the text is accepted.
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
    except InvalidOperation:  # a word is not a number
        return False
