"""Read the turns of a conversation in every form in which datasets keep them.

Forms: a list of turns; a mapping of lists, one for each field; either of them as JSON or as Python's `repr` in a text,
which is what CSV exports hold. The speaker of a turn is in `from`, `role`, ..., its text in `value`, `content` or
`text`; Parquet pads turns of several forms with nulls, so a field counts only where it is not null. A content may be
a list of parts.
"""

import ast
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HUMAN = frozenset({"human", "user", "prompter", "instruction", "question", "customer", "student"})
SYSTEM = frozenset({"system", "developer"})
MODEL = frozenset({
    "gpt", "assistant", "bot", "model", "chatgpt", "bing", "bard", "ai", "chatbot", "claude", "llm", "agent",
    "response", "answer", "output", "tool", "function", "function_call", "function_response", "observation", "ipython",
    "environment", "tool_call", "tool_response",
})  # fmt: skip
"""Speakers, in lower case; `MODEL` holds whatever answers, tools included."""

_SPEAKERS = ("from", "role", "speaker", "author")
_TEXTS = ("value", "content", "text")
_WRAPPERS = ("messages", "conversations", "conversation", "turns")
_TEXT_PARTS = ("text", "input_text")
_MAX_REPR_CHARACTERS = 1_000_000
"""Characters that are read as Python: its parser needs a hundred times their size in memory."""


class UnreadableTurnsError(ValueError):
    """What is there is no conversation. The message is the reason under which the row is left out."""


@dataclass(frozen=True)
class Turn:
    """One turn. `speaker` is in lower case; `text` is None where it has parts that are no text, as images."""

    speaker: str
    text: str | None
    from_value: bool
    """Whether the row has the turn in ShareGPT's form, as `from` and `value`."""


def read_turns(value: object) -> list[Turn] | None:
    """Read a value as the turns of a conversation.

    Args:
        value: what a column holds.

    Returns:
        The turns, in order; None where the value has not the shape of a conversation at all.

    Raises:
        UnreadableTurnsError: it has that shape, and a turn in it cannot be read.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, Mapping):
        value = _of_mapping(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    given = [_parsed(turn) if isinstance(turn, str) else turn for turn in value]
    found = [_turn(turn) for turn in given if not _is_padding(turn)]
    if found and all(turn is None for turn in found):
        return None
    if any(turn is None for turn in found):
        raise UnreadableTurnsError("unreadable_turns")
    return [turn for turn in found if turn is not None]


def plain_text(content: object) -> str | None:
    """The text of a content: a text, a part, or a list of parts whose texts are joined; None if not all of it is text.

    Args:
        content: a text, `{"type": "text", "text": ...}`, `{"parts": [...]}`, or a list of these.
    """
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        kind = content.get("type", content.get("content_type"))
        if isinstance(content.get("parts"), Sequence):
            return plain_text(content["parts"])
        text = content.get("text")
        return text if isinstance(text, str) and (kind is None or kind in _TEXT_PARTS) else None
    if isinstance(content, Sequence) and not isinstance(content, bytes) and content:
        parts = [plain_text(part) for part in content if part is not None]
        whole = [part for part in parts if part is not None]
        return "\n".join(whole) if len(whole) == len(parts) else None
    return None


def _parsed(text: str) -> object:
    """The JSON or Python value that a text writes, if it has the look of one; else the text."""
    stripped = text.strip()
    if not stripped or stripped[0] + stripped[-1] not in ("[]", "{}"):
        return text
    try:
        return json.loads(stripped)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a string is the author's affair
            return ast.literal_eval(stripped) if len(stripped) <= _MAX_REPR_CHARACTERS else text
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text


def _of_mapping(value: Mapping[Any, Any]) -> object:
    """A mapping of lists as a list of turns; a single turn, or what wraps a conversation, as its turns."""
    for wrapper in _WRAPPERS:
        if isinstance(value.get(wrapper), list):
            return value[wrapper]
    columns = {name: value[name] for name in (*_SPEAKERS, *_TEXTS) if isinstance(value.get(name), list)}
    if not any(name in columns for name in _SPEAKERS):
        return [value]
    if len({len(column) for column in columns.values()}) != 1:
        raise UnreadableTurnsError("unreadable_turns")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _is_padding(turn: object) -> bool:
    """Whether nothing is in it but nulls."""
    return turn is None or (isinstance(turn, Mapping) and bool(turn) and all(one is None for one in turn.values()))


def _turn(turn: object) -> Turn | None:
    """A turn; None where it names no speaker."""
    if isinstance(turn, Sequence) and not isinstance(turn, str | bytes) and len(turn) == 2:
        turn = {"role": turn[0], "content": turn[1]}  # pairs of speaker and text
        if not isinstance(turn["role"], str) or turn["role"].strip().lower() not in HUMAN | SYSTEM | MODEL:
            return None
    if not isinstance(turn, Mapping):
        return None
    said_by = next((name for name in _SPEAKERS if turn.get(name) is not None), None)
    if said_by is None:
        return None
    speaker = turn[said_by]
    if isinstance(speaker, Mapping):
        speaker = speaker.get("role")  # ChatGPT's own exports
    if not isinstance(speaker, str):
        return None
    field = next((name for name in _TEXTS if turn.get(name) is not None), None)
    text = None if field is None else plain_text(turn[field])
    missing = field is None or turn[field] in ("", [])
    return Turn(speaker.strip().lower(), "" if missing else text, (said_by, field) == ("from", "value"))
