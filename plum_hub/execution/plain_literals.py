"""Read the literals that most arguments and expected values are with the JSON library, which needs no syntax tree.

What is not read here is read by `literals`; what both read is the same value.
"""

import json
import keyword
import re
from typing import Any

_OTHERWISE = re.compile('["\\\\{\ud800-\udfff]|true|false|null|NaN|Infinity')
"""What Python reads in another way than JSON, or would be changed below."""
_MAX_DEPTH = 100  # Python's parser reads 200 brackets inside one another
_CALL = re.compile(r"([a-z_]\w*)\((.*)\)", re.ASCII | re.IGNORECASE | re.DOTALL)


class NotPlainError(ValueError):
    """The source is not a plain literal, but may be another one."""


def parse_plain(source: str) -> Any:
    """Parse numbers, `True`, `False`, `None`, strings without quotes and escapes, and lists and tuples of these.

    No value holds a set or a dictionary.

    Args:
        source: Python source.

    Returns:
        The value that `literals.parse_literal` returns for it.

    Raises:
        NotPlainError: This is no such literal, or nested too deeply.
    """
    return _parsed(source)[0]


def plain_call(expression: str) -> tuple[str, str]:
    """Take a call apart whose arguments are plain literals.

    Args:
        expression: Python source.

    Returns:
        What is called, and a list of the arguments as JSON, in which `{"": [1, 2]}` is a tuple.

    Raises:
        NotPlainError: This is no such call.
    """
    found = _CALL.fullmatch(expression)
    if found is None or keyword.iskeyword(found[1]):
        raise NotPlainError
    return found[1], _parsed(f"[{found[2]}]")[1]


def _parsed(source: str) -> tuple[Any, str]:
    """Return the value of a plain literal, and its JSON."""
    if _OTHERWISE.search(source):
        raise NotPlainError
    strings = source.split("'")[1::2]
    if not strings:
        source = source.replace("True", "true").replace("False", "false").replace("None", "null")
    elif any("(" in text or ")" in text for text in strings):
        raise NotPlainError
    text = source.replace("'", '"').replace("(", '{"":[').replace(")", "]}")  # sooner than `translate`
    try:
        value = _decode(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotPlainError from error
    if len(source) > _MAX_DEPTH and _depth(value) > _MAX_DEPTH:
        raise NotPlainError
    return value, text


def _tuple(found: dict[str, list[Any]]) -> tuple[Any, ...]:
    """Return the tuple in brackets; one item in brackets is no tuple."""
    items = found[""]
    if len(items) == 1:
        raise NotPlainError
    return tuple(items)


_decode = json.JSONDecoder(object_hook=_tuple).decode


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [item for one in level if isinstance(one, list | tuple) for item in one]:
        depth += 1
    return depth
