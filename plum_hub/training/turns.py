"""Conversations of users' rows as their chat template shall see them, whatever file they were kept in."""

import re
from typing import Any

from plum_hub.instructions.cells import list_of
from plum_hub.instructions.turns import UnreadableTurnsError

_ASKING = frozenset({"system", "developer", "user"})
_FIELDS = ({"role", "content"}, {"from", "value"})
_LOOKS_LIKE_TURNS = re.compile(
    r"""\s*\[\s*\{(?=.*["'](?:role|from)["']\s*:\s*["'](?:system|developer|user|human|assistant|gpt)["']).*\}\s*\]\s*""",
    re.DOTALL,
)
_TOO_DEEP = {"nested": "too deeply"}
"""Neither text, turns nor tools, so that the row is refused by its number."""


def conversation_of(value: Any) -> Any:
    """Read a conversation: from text, where a CSV or Parquet export kept it so, and without its null fields.

    Arrow and Parquet give every turn, tool call and tool the fields of all the others, as nulls, and a template that
    asks whether a turn has a field would render them.

    Args:
        value: A value of a row.

    Returns:
        A list without null fields at any depth, or an object if it is nested too deeply; any other value, plain text
        included, unchanged.

    Raises:
        UnreadableTurnsError: A text is a list of turns by its look, and cannot be read.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, dict) and any(names <= value.keys() for names in _FIELDS):
        value = _turns_of(value)
    try:
        return _without_nulls(value) if isinstance(value, list) else value
    except RecursionError:
        return _TOO_DEEP


def asking_turn(answer: Any) -> str | None:
    """Find out whether an answer begins with a turn of its prompt, as datasets with whole conversations have it.

    Args:
        answer: A plain text, or turns with `role` and `content`.

    Returns:
        The role of such a turn; None for an answer that is one.
    """
    role = None if isinstance(answer, str) else str(answer[0]["role"])
    return role if role in _ASKING else None


def _parsed(text: str) -> Any:
    """Return the turns in a text; the text itself if it is anything but a list of turns."""
    found = list_of(text)
    turns = isinstance(found, list) and all(
        isinstance(turn, dict) and any(names <= turn.keys() for names in _FIELDS) for turn in found
    )
    if found is text and _LOOKS_LIKE_TURNS.fullmatch(text):
        raise UnreadableTurnsError("unreadable_turns")
    return found if found and turns else text


def _turns_of(columns: dict[str, Any]) -> Any:
    """Return the turns that Arrow keeps as a list for each field; anything else unchanged."""
    lists = [column for column in columns.values() if isinstance(column, list)]
    if len(lists) < len(columns) or len({len(column) for column in lists}) != 1:
        return columns
    return [dict(zip(columns, turn, strict=True)) for turn in zip(*lists, strict=True)]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value
