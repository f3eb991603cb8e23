"""Read the inputs and outputs of a row's own tests, in the forms in which datasets have them."""

import ast
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

_INPUTS, _OUTPUTS = ("input", "stdin", "args", "arguments"), ("output", "expected_output", "expected", "stdout")
"""Names that a pair of input and output has for either."""


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
    return [(one, other) for one in given for other in expected]


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
