"""The rules by which printed text equals the expected text."""

import re
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Literal

_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_FRACTION = re.compile(r"[.eE]")
_TOLERANCE = Decimal("1e-6")

OutputComparison = Literal["words", "contest", "livecodebench"]
"""How printed text is compared with the expected text; defined in `output_agrees`."""


def output_agrees(actual: str, expected: str, comparison: OutputComparison) -> bool:
    """Compare printed text with the expected text.

    The comparisons are:

    - `words`: The same words in the same lines; trailing empty lines are ignored.
    - `contest`: What contest judges agree on: the same words in the same lines, without the empty lines at both ends; a
      number may be written otherwise (`1.0` for `1`), and where the expected one has a decimal point or an exponent, it
      may differ by 1e-6 of 1 or, if it is larger, of itself. Letters, the order of words and lines, and digits behind
      a leading zero (`0011`), which are no number, are exact.
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
    if comparison == "contest":
        actual_words, expected_words = _words(actual.strip()), _words(expected.strip())
        return actual_words == expected_words or (
            [len(line) for line in actual_words] == [len(line) for line in expected_words]
            and all(map(_same_word, chain.from_iterable(actual_words), chain.from_iterable(expected_words)))
        )
    actual_lines, expected_lines = (text.strip().split("\n") for text in (actual, expected))
    if len(actual_lines) != len(expected_lines):
        return False
    return all(map(_same_line, actual_lines, expected_lines))


def _words(text: str) -> list[list[str]]:
    lines = [line.split() for line in text.rstrip().split("\n")]
    return lines if lines != [[]] else []


def _same_word(actual: str, expected: str) -> bool:
    if actual == expected:
        return True
    if not (_NUMBER.fullmatch(actual) and _NUMBER.fullmatch(expected)):
        return False
    printed, wanted = Decimal(actual), Decimal(expected)
    if printed == wanted:
        return True
    return bool(_FRACTION.search(expected)) and abs(printed - wanted) <= _TOLERANCE * max(Decimal(1), abs(wanted))


def _same_line(actual: str, expected: str) -> bool:
    if actual.strip() == expected.strip():
        return True
    try:
        return [Decimal(word) for word in actual.split()] == [Decimal(word) for word in expected.split()]
    except InvalidOperation:  # a word is not a number
        return False
