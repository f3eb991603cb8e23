"""Lists and truth values that a file without types, such as a CSV, has as text; and programs in a text."""

import ast
import json
import re
import warnings
from typing import Any

_TRUTH = {
    "true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False, "chosen": True, "rejected": False,
}  # fmt: skip
_MAX_REPR_CHARACTERS = 1_000_000
"""Longer texts are not parsed as Python, whose parser needs a hundred times their size in memory."""
_VALUE = re.compile(
    r"""('(?:[^'\\]|\\.)*+(?:'|\Z)|"(?:[^"\\]|\\.)*+(?:"|\Z)|[\w.]++|[\]})])(\s++(?=['"\[{(\w]))?""", re.DOTALL
)
"""A string (perhaps unclosed), a word, or the end of something; and the space behind it where a comma is missing."""


def list_of(value: Any) -> Any:
    """Return the list that a text holds; see `literal_of`.

    Args:
        value: A value of a row.

    Returns:
        The list; any other value, and a text that is no list, unchanged.
    """
    if not isinstance(value, str) or (text := value.strip())[:1] + text[-1:] != "[]":
        return value
    return literal_of(text, value)


def literal_of(text: str, otherwise: Any) -> Any:
    """Return the value that a text holds: as JSON, as Python's `repr`, or as numpy prints arrays.

    pandas and `datasets` write the latter into a CSV, where two strings without a comma between them are two values.

    Args:
        text: The text.
        otherwise: What a text that holds no value stands for.

    Returns:
        The value.
    """
    try:
        return json.loads(text, strict=False)  # line breaks in texts as they stand, as some exports have them
    except (ValueError, RecursionError):
        pass
    if len(text) > _MAX_REPR_CHARACTERS:
        return otherwise
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about the text's escapes do not concern the user
            tree = ast.parse(_VALUE.sub(lambda found: f"{found[1]}, " if found[2] else found[1], text), mode="eval")
            lines = isinstance(tree.body, ast.Tuple) and text[:1] != "("  # several values, one below the other
            return otherwise if lines else ast.literal_eval(_Arrays().visit(tree))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return otherwise


def parsed(code: str) -> ast.Module | None:
    """Parse a text as a Python program, without warnings about it.

    Args:
        code: The text.

    Returns:
        Its tree; None where it is no program, or too long or deep to tell.
    """
    if len(code) > _MAX_REPR_CHARACTERS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


class _Arrays(ast.NodeTransformer):
    """Replaces `array([1, 2], dtype=object)` with its list."""

    def visit_Call(self, node: ast.Call) -> Any:
        is_array = isinstance(node.func, ast.Name) and node.func.id == "array"
        listed = node.args[0] if is_array and node.args else None
        return self.visit(listed) if isinstance(listed, ast.List) else node


def truth_of(value: Any) -> Any:
    """Return the truth value that a text names.

    Args:
        value: A value of a row.

    Returns:
        A boolean for `true`, `false`, `1`, `0`, `chosen` and `rejected` in any case; any other value unchanged.
    """
    return _TRUTH.get(value.strip().lower(), value) if isinstance(value, str) else value
