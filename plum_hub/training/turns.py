"""Conversations of users' rows as their chat template shall see them, whatever file they were kept in."""

import json
import re
from typing import Any

from plum_hub.instructions.cells import list_of
from plum_hub.instructions.turns import HUMAN, MODEL, RESULTS, UnreadableTurnsError, plain_text

ASKING = frozenset({"system", "developer", "user"})
"""Roles of a prompt's turns, whose texts a template renders as they are; of answers it may leave out the reasoning."""
_CALLS = frozenset({"function_call", "tool_call"})
ROLES = (
    dict.fromkeys(HUMAN, "user") | dict.fromkeys(MODEL - _CALLS, "assistant") | dict.fromkeys(RESULTS, "tool")
    | dict.fromkeys(("system", "sys", "system_prompt"), "system") | {"developer": "developer"}
)  # fmt: skip
"""Names of speakers in lower case, with those that chat templates know."""
_FIELDS = ({"role", "content"}, {"from", "value"})
_EXCHANGE = ("input", "output")
"""A question and its answer in one element, as Capybara has them."""
_LOOKS_LIKE_TURNS = re.compile(
    r"""\s*\[\s*\{(?=.*["'](?:role|from)["']\s*:\s*["'](?:system|developer|user|human|assistant|gpt)["']).*\}\s*\]\s*""",
    re.DOTALL,
)
_VALUES = ("arguments", "parameters")
"""Fields of calls and tools within which a null is a value."""
_TOO_DEEP = {"nested": "too deeply"}
"""Neither text, turns nor tools, so that the row is refused by its number."""


def conversation_of(value: Any, *, in_text: bool) -> Any:
    """Read a conversation: from text, where a CSV or Parquet export kept it so, and without its null fields.

    Many exports give every turn, tool call and tool the fields of all the others, as nulls, and a template that asks
    whether a turn has a field would render them. A null among the arguments of a call means something.

    Args:
        value: A value of a row.
        in_text: Whether a text may be a list of turns.

    Returns:
        A list without null fields except in arguments and schemas, also of a turn by itself, or an object if it is
        nested too deeply; any other value, plain text included, unchanged.

    Raises:
        UnreadableTurnsError: A text is a list of turns by its look, and cannot be read.
    """
    if in_text and isinstance(value, str):
        value = turns_in(value)
    if isinstance(value, dict) and any(names <= value.keys() for names in _FIELDS):
        value = _turns_of(value)
    if isinstance(value, list) and value and all(isinstance(one, dict) and {*one} == {*_EXCHANGE} for one in value):
        value = [{"role": role, "content": one[role]} for one in value for role in _EXCHANGE]
    try:
        return _without_nulls(value) if isinstance(value, list) else value
    except RecursionError:
        return _TOO_DEEP


def chatml(turn: Any) -> Any:
    """Rename the fields of a turn of ShareGPT, like `trl.maybe_convert_to_chatml`, and speakers that templates know.

    Parts that are all text become one, since most templates write a list as Python prints it. A call of a tool that is
    a turn by itself, as LLaMA-Factory has it, becomes a call of the assistant.

    Args:
        turn: A turn of a row.

    Returns:
        The turn with `role` and `content`; what is none, unchanged.
    """
    if not isinstance(turn, dict):
        return turn
    if {"from", "value"} <= turn.keys() and not turn.keys() & {"role", "content"}:
        turn = {{"from": "role", "value": "content"}.get(name, name): value for name, value in turn.items()}
    if isinstance(parts := turn.get("content"), list) and (text := plain_text(parts)) is not None:
        turn = turn | {"content": text}
    if not isinstance(role := turn.get("role"), str):
        return turn
    role = role.strip().lower()
    if role in _CALLS and (calls := _calls_of(turn.get("content"))):
        return {"role": "assistant", "content": "", "tool_calls": calls}
    return turn | {"role": ROLES.get(role, turn["role"])}


def _calls_of(content: Any) -> list[dict[str, Any]] | None:
    """Return the calls in a text, `{"name": ..., "arguments": ...}` or a list of such, in OpenAI's form."""
    try:
        found = json.loads(content) if isinstance(content, str) else content
    except (ValueError, RecursionError):
        return None
    calls = found if isinstance(found, list) else [found]
    if not all(isinstance(call, dict) and {"name", "arguments"} <= call.keys() for call in calls):
        return None
    return [{"type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}} for call in calls]


def asking_turn(answer: Any) -> str | None:
    """Find out whether an answer begins with a turn of its prompt, as datasets with whole conversations have it.

    Args:
        answer: A plain text, or turns with `role` and `content`.

    Returns:
        The role of such a turn; None for an answer that is one.
    """
    role = None if isinstance(answer, str) else str(answer[0]["role"])
    return role if role in ASKING else None


def turns_in(text: str) -> Any:
    """Read the turns that a text holds.

    Args:
        text: The text.

    Returns:
        The turns; the text itself if it is anything but a list of turns.

    Raises:
        UnreadableTurnsError: It is a list of turns by its look, and cannot be read.
    """
    found = list_of(text)
    turns = isinstance(found, list) and all(
        isinstance(turn, dict) and any(names <= turn.keys() for names in _FIELDS) for turn in found
    )
    if found is text and _LOOKS_LIKE_TURNS.fullmatch(text):
        raise UnreadableTurnsError("unreadable_turns")
    return found if found and turns else text


def _turns_of(columns: dict[str, Any]) -> Any:
    """Return the turns that Arrow keeps as a list for each field, or the only one; anything else unchanged."""
    lists = [column for column in columns.values() if isinstance(column, list)]
    if not lists or (isinstance(columns.get("content"), list) and isinstance(columns.get("role"), str)):
        return [columns]
    if len(lists) < len(columns) or len({len(column) for column in lists}) != 1:
        return columns
    return [dict(zip(columns, turn, strict=True)) for turn in zip(*lists, strict=True)]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: one if key in _VALUES else _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value
