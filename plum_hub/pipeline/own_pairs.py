"""Read the inputs and outputs of a row's own tests, in the forms in which datasets have them."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from plum_hub.execution.literals import equal
from plum_hub.execution.output import output_agrees

_INPUTS, _OUTPUTS = ("input", "stdin", "args", "arguments"), ("output", "expected_output", "expected", "stdout")
"""Names that a pair of input and output has for either."""
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,99}")


class ContradictionError(ValueError):
    """The same input is to give different results."""


def columns_of(pairs: Sequence[Mapping[str, object]]) -> dict[str, object] | None:
    """Return the inputs and outputs of pairs.

    Args:
        pairs: Objects, such as `{"input": ..., "output": ...}`.

    Returns:
        Both as lists, and the name of a function; None if they have no input.

    Raises:
        ValueError: They have inputs, and no outputs.
    """
    inputs = next((key for key in _INPUTS if all(key in pair for pair in pairs)), None)
    if inputs is None:
        return None
    outputs = next((key for key in _OUTPUTS if all(key in pair for pair in pairs)), None)
    if outputs is None:
        raise ValueError(f"a test has {inputs}, and none of {', '.join(_OUTPUTS)}")
    return {
        "inputs": [pair[inputs] for pair in pairs],
        "outputs": [pair[outputs] for pair in pairs],
        "fn_name": pairs[0].get("fn_name"),
    }


def readings_of(inputs: list[object], outputs: list[object]) -> list[tuple[list[list[object]], list[object]]]:
    """Return the arguments and values that inputs and outputs of a function may be.

    Args:
        inputs: The inputs.
        outputs: As many outputs.

    Returns:
        Each reading, the likeliest first; a reference tells which is right.
    """
    plain = [value if isinstance(value, list) else [value] for value in map(decoded, inputs)]
    values = list(map(decoded, outputs))
    given, expected = [plain], [values]
    # APPS wraps each output in a list of one, as a function may return such lists.
    wrapped = [value[0] for value in values if isinstance(value, list) and len(value) == 1]
    if len(wrapped) == len(values):
        expected.insert(0, wrapped)
    with suppress(ValueError):  # texts of values, as TACO and others have them
        written = [_literal(value) if isinstance(value, str) else value for value in outputs]
        expected = [written, *(one for one in expected if one != written)]
    if all(isinstance(text, str) for text in inputs):
        with suppress(ValueError):  # LiveCodeBench has each argument on a line
            lines = [[_literal(line) for line in str(text).strip().split("\n")] for text in inputs]
            given = [lines, *(one for one in given if one != lines)]
    found = [(one, other) for one in given for other in expected]
    found += [([*map(_with_integer_keys, one)], [*map(_with_integer_keys, other)]) for one, other in found]
    return [reading for number, reading in enumerate(found) if reading not in found[:number]]


def _with_integer_keys(value: Any) -> Any:
    """Give dictionaries back the integer keys that JSON writes as texts."""
    match value:
        case list():
            return [*map(_with_integer_keys, value)]
        case dict():
            are_integers = all(isinstance(key, str) and _INTEGER.fullmatch(key) for key in value)
            return {int(key) if are_integers else key: _with_integer_keys(item) for key, item in value.items()}
    return value


def unique_calls(calls: Sequence[str], expected: Sequence[object]) -> dict[str, object]:
    """Join calls with what they should return; the same call twice proves nothing.

    Args:
        calls: The calls.
        expected: As many values.

    Returns:
        The value of each distinct call.

    Raises:
        ContradictionError: Two values of a call differ.
    """
    found: dict[str, object] = {}
    for call, value in zip(calls, expected, strict=True):
        if not equal(found.setdefault(call, value), value):
            raise ContradictionError(f"{call} is {found[call]!r:.50} and {value!r:.50}")
    return found


def unique_streams(inputs: Sequence[object], outputs: Sequence[object]) -> dict[str, str]:
    """Join inputs with what a program should print; the same input twice proves nothing.

    Args:
        inputs: The inputs.
        outputs: As many outputs.

    Returns:
        The text to print by the text of each distinct input.

    Raises:
        ContradictionError: A judge would not accept both outputs of an input.
    """
    found: dict[str, str] = {}
    for stdin, stdout in zip(map(stream, inputs), map(stream, outputs), strict=True):
        before = found.setdefault(stdin, stdout)
        if not (output_agrees(stdout, before, "contest") or output_agrees(before, stdout, "contest")):
            raise ContradictionError(f"input {stdin!r:.50} gives {before!r:.50} and {stdout!r:.50}")
    return found


def _literal(text: str) -> object:
    """Return the value that a text holds as JSON or Python."""
    try:
        return json.loads(text)
    except ValueError:
        with suppress(SyntaxError, TypeError, MemoryError):
            return ast.literal_eval(text.strip())
        raise


def decoded(value: object) -> object:
    """Read a value that may be kept as JSON.

    Args:
        value: A value of a row.

    Returns:
        The list or object that a text holds; anything else unchanged.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def stream(value: object) -> str:
    """Write an input or output as a text.

    Args:
        value: The value; APPS has some as lists of lines.

    Returns:
        The text.
    """
    if isinstance(value, list):
        return "\n".join(map(str, value)) + "\n"
    return value if isinstance(value, str) else str(value)
