"""Read the inputs and outputs of a row's own tests, in the forms in which datasets have them."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from plum_hub.execution.literals import equal, write_literal
from plum_hub.execution.output import output_agrees
from plum_hub.instructions.cells import list_of

_INPUTS = ("input", "stdin", "args", "arguments")
_OUTPUTS = ("output", "expected_output", "expected", "stdout", "expected_stdout", "expected_result")
"""Names that a pair of input and output has for either."""
FUNCTIONAL = "functional"
"""LiveCodeBench's word for tests of a function."""
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,99}")


Arguments: TypeAlias = list[object] | dict[str, object]
"""Positional or named arguments of a call."""


class ContradictionError(ValueError):
    """The same input is to give different results."""


@dataclass(frozen=True)
class Pairs:
    """Inputs and outputs of a row.

    Attributes:
        inputs: The inputs.
        outputs: As many outputs.
        name: The function that they name; "" if they name none.
        kind: `FUNCTIONAL`, `function_call`, or "" where they do not say that they are a function's.
    """

    inputs: list[object]
    outputs: list[object]
    name: str
    kind: str


def unwrapped(cell: Any) -> Any:
    """Return the tests of a cell: out of a text that was encoded again, or that a CSV has, and out of `ground_truth`.

    Args:
        cell: The cell.

    Returns:
        The value; anything else unchanged.
    """
    if isinstance(cell, str) and cell.lstrip()[:1] in ('"', "[", "{"):
        with suppress(ValueError):
            return unwrapped(_literal(cell))
    return unwrapped(cell["ground_truth"]) if isinstance(cell, dict) and "ground_truth" in cell else cell


def pairs_of(given: Sequence[Any]) -> Pairs | None:
    """Join the inputs and outputs of several values.

    Args:
        given: Objects with lists of both, or lists of objects such as `{"input": ..., "output": ...}`.

    Returns:
        All pairs; None where one of the values has another form.

    Raises:
        ValueError: There are more of the inputs than of the outputs, or fewer.
    """
    inputs: list[object] = []
    outputs: list[object] = []
    name = kind = ""
    for value in given:
        if isinstance(value, dict) and isinstance(value.get("test_cases"), list):
            value = value["test_cases"]
        if isinstance(value, list) and value and all(isinstance(pair, dict) for pair in value):
            value = _columns_of(value)
        if not isinstance(value, dict):
            return None
        ins, outs = list_of(value.get("inputs", value.get("input"))), list_of(value.get("outputs", value.get("output")))
        if not isinstance(ins, list) or not isinstance(outs, list):
            return None
        if len(ins) != len(outs):
            raise ValueError(f"{len(ins)} inputs and {len(outs)} outputs")
        inputs, outputs = inputs + ins, outputs + outs
        named = value.get("fn_name")
        name = name or (named if isinstance(named, str) else "")
        kind = kind or next((one for one in (FUNCTIONAL, "function_call") if one in value.get("kinds", ())), "")
    return Pairs(inputs, outputs, name, kind)


def _columns_of(pairs: Sequence[Mapping[str, object]]) -> dict[str, object] | None:
    """Return the inputs and outputs of pairs, and the function and kinds of test that the first of them names."""
    if any(pair.get("kwargs") for pair in pairs):
        raise ValueError("a test has kwargs: write its call as an assertion")
    inputs = next((key for key in _INPUTS if all(key in pair for pair in pairs)), None)
    if inputs is None:
        return None
    outputs = next((key for key in _OUTPUTS if all(key in pair for pair in pairs)), None)
    if outputs is None:
        raise ValueError(f"a test has {inputs}, and none of {', '.join(_OUTPUTS)}")
    first, about = pairs[0], decoded(pairs[0].get("metadata"))
    return {
        "inputs": [pair[inputs] for pair in pairs],
        "outputs": [pair[outputs] for pair in pairs],
        "fn_name": first.get("fn_name") or (about.get("func_name") if isinstance(about, dict) else None),
        "kinds": (first.get("testtype"), first.get("type")),
    }


def readings_of(inputs: list[object], outputs: list[object], name: str) -> list[tuple[list[Arguments], list[object]]]:
    """Return the arguments and values that inputs and outputs of a function may be.

    Args:
        inputs: The inputs.
        outputs: As many outputs.
        name: The function.

    Returns:
        Each reading, the likeliest first; a reference tells which is right.
    """
    plain: list[Arguments] = [value if isinstance(value, list) else [value] for value in map(decoded, inputs)]
    values = list(map(decoded, outputs))
    given, expected = [plain], [values]
    if named := [value for value in map(decoded, inputs) if isinstance(value, dict) and _are_names(value)]:
        given += [[*named]] if len(named) == len(inputs) else []
    # APPS wraps each output in a list of one, as a function may return such lists.
    wrapped = [value[0] for value in values if isinstance(value, list) and len(value) == 1]
    if len(wrapped) == len(values):
        expected.insert(0, wrapped)
    with suppress(ValueError):  # texts of values, as TACO and others have them
        texts = [_literal(value) if isinstance(value, str) else value for value in outputs]
        expected = [texts, *(one for one in expected if one != texts)]
    if all(isinstance(text, str) for text in inputs):
        with suppress(ValueError):  # LiveCodeBench has each argument on a line
            lines: list[Arguments] = [[_literal(line) for line in str(text).strip().split("\n")] for text in inputs]
            given = [lines, *(one for one in given if one != lines)]
        with suppress(ValueError, SyntaxError, TypeError, MemoryError):  # `nums = [2, 7], target = 9`
            written_out = [_written_arguments(str(text), name) for text in inputs]
            are_named = all(isinstance(one, dict) and one for one in written_out)
            given = [written_out] if are_named else [*given, written_out]
    found = [(one, other) for one in given for other in expected]
    found += [([*map(_with_integer_keys, one)], [*map(_with_integer_keys, other)]) for one, other in found]
    return [reading for number, reading in enumerate(found) if reading not in found[:number]]


def functional_reading(inputs: list[object], outputs: list[object]) -> list[tuple[list[Arguments], list[object]]]:
    """Read LiveCodeBench's functional tests: JSON, each argument on a line.

    Args:
        inputs: The inputs.
        outputs: As many outputs.

    Returns:
        The only reading.

    Raises:
        ValueError: They are no JSON.
    """
    lines: list[Arguments] = [[*map(json.loads, str(text).strip().split("\n"))] for text in inputs]
    return [(lines, [json.loads(str(one)) for one in outputs])]


def _are_names(value: Mapping[Any, object]) -> bool:
    return bool(value) and all(isinstance(key, str) and key.isidentifier() for key in value)


def _written_arguments(text: str, name: str) -> Arguments:
    """Read arguments as they stand in a call, or a whole call.

    Raises:
        ValueError: They are no literals, or some are named and others are not.
    """
    call = ast.parse(f"{name}({text.strip()})", mode="eval").body
    match call:
        case ast.Call(args=[ast.Call(func=ast.Name(id=inner)) as whole]) if inner == name:
            call = whole
    if not isinstance(call, ast.Call) or (call.args and call.keywords) or None in [one.arg for one in call.keywords]:
        raise ValueError("no arguments of one kind")
    if call.keywords:
        return {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
    return [*map(ast.literal_eval, call.args)]


def written(values: Arguments) -> str:
    """Write arguments as they stand in a call.

    Args:
        values: The arguments.

    Returns:
        Their source.
    """
    if isinstance(values, dict):
        return ", ".join(f"{name}={write_literal(value)}" for name, value in values.items())
    return ", ".join(map(write_literal, values))


def stream_readings(inputs: list[object], outputs: list[object]) -> list[tuple[list[object], list[object]]]:
    r"""Return the texts that inputs and outputs of a program may be.

    Args:
        inputs: The inputs.
        outputs: As many outputs.

    Returns:
        As they are; also with line ends for each `\n` where they have no other.

    Raises:
        ValueError: One is null, and not its other half.
    """
    pairs = [pair for pair in zip(inputs, outputs, strict=True) if pair != (None, None)]  # these fill up a table
    if not pairs or any(None in pair for pair in pairs):
        raise ValueError("an input or output is null")
    inputs, outputs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    texts = [one for one in [*inputs, *outputs] if isinstance(one, str)]
    if any("\n" in one.strip() for one in texts) or not any("\\n" in one for one in texts):
        return [(inputs, outputs)]
    unescaped = [
        [one.replace("\\n", "\n") if isinstance(one, str) else one for one in ones] for ones in (inputs, outputs)
    ]
    return [(inputs, outputs), (unescaped[0], unescaped[1])]


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
