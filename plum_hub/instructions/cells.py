"""Lists and truth values that a file without types, such as a CSV, has as text."""

import ast
import json
import warnings
from typing import Any

_TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
_MAX_REPR_CHARACTERS = 1_000_000
"""Longer texts are not parsed as Python, whose parser needs a hundred times their size in memory."""


def list_of(value: Any) -> Any:
    """Return the list that a text holds, as JSON or as the `repr` that pandas writes into a CSV.

    Args:
        value: A value of a row.

    Returns:
        The list; any other value, and a text that is no list, unchanged.
    """
    if not isinstance(value, str) or (text := value.strip())[:1] + text[-1:] != "[]":
        return value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about the text's escapes do not concern the user
            return ast.literal_eval(text) if len(text) <= _MAX_REPR_CHARACTERS else value
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return value


def truth_of(value: Any) -> Any:
    """Return the truth value that a text names.

    Args:
        value: A value of a row.

    Returns:
        A boolean for `true`, `false`, `1` and `0` in any case; any other value unchanged.
    """
    return _TRUTH.get(value.strip().lower(), value) if isinstance(value, str) else value
