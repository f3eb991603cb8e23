"""Parse the turns of a conversation in all shapes in which datasets store them.

Shapes: a list of turns; a mapping of lists, one per field; and either in a string, as in CSV exports: as JSON, or as
Python or numpy print it. The speaker of a turn is in `from`, `role`, ..., its text in `value`, `content`, `text` or
`parts`. Parquet pads turns of several shapes with nulls, so that a field counts only if it is not null. A content may
be a list of parts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plum_hub.instructions.cells import literal_of

HUMAN = frozenset({
    "human", "user", "usr", "prompter", "instruction", "question", "customer", "student", "input", "query", "prompt",
})  # fmt: skip
SYSTEM = frozenset({"system", "developer", "sys", "system_prompt", "context", "tools", "platform", "root"})
RESULTS = frozenset({"tool", "function", "function_response", "tool_response", "observation", "ipython", "environment"})
MODEL = RESULTS | {
    "gpt", "assistant", "bot", "model", "chatgpt", "bing", "bard", "ai", "chatbot", "claude", "llm", "agent",
    "response", "answer", "output", "function_call", "tool_call",
}  # fmt: skip
"""Names of speakers in lower case. `MODEL` contains everything that answers, tools included, whose are `RESULTS`."""
_SPEAKERS_KNOWN = HUMAN | SYSTEM | MODEL

CHATS = ("conversations", "messages", "conversation", "dialog", "dialogue", "chat", "turns")
"""What datasets call a column of turns."""

_SPEAKERS = ("from", "role", "speaker", "author", "sender")
_TEXTS = ("value", "content", "text", "parts", "message")
_KEYS = {
    "system": ("system",),
    "user": ("human", "user", "instruction", "input", "question", "query", "prompt"),
    "assistant": ("assistant", "gpt", "bot", "ai", "output", "response", "answer", "completion"),
}
"""Keys of a question and its answer where both are one element, as in XTuner's format and MOSS', or each its own."""
_TEXT_PARTS = ("text", "input_text")
_DEEPEST = 20
"""Lists and parts within one another that are searched for a text."""


class UnreadableTurnsError(ValueError):
    """A value looks like a conversation but cannot be read; the message is the reason of the drop."""


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation.

    Attributes:
        speaker: The speaker in lower case.
        text: The text; None if some parts are not text, such as images.
        from_value: Whether the row stores the turn as ShareGPT does, as `from` and `value`.
    """

    speaker: str
    text: str | None
    from_value: bool


def read_turns(value: object) -> list[Turn] | None:
    """Parse a value as the turns of a conversation.

    Args:
        value: The content of a column.

    Returns:
        The turns in order; None if the value does not have the shape of a conversation.

    Raises:
        UnreadableTurnsError: The value has that shape, but a turn cannot be read.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, Mapping):
        value = _of_mapping(value)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    items = [_parsed(turn) if isinstance(turn, str) else turn for turn in value]
    turns = [_turn(turn) for item in items if not _is_padding(item) for turn in _exchange(item)]
    if turns and all(turn is None for turn in turns):
        return None
    if any(turn is None for turn in turns):
        raise UnreadableTurnsError("unreadable_turns")
    return [turn for turn in turns if turn is not None]


def plain_text(content: object) -> str | None:
    """Extract the text of a message's content.

    Args:
        content: A string, `{"type": "text", "text": ...}`, `{"parts": [...]}`, or a list of these.

    Returns:
        The text, with the parts of a list joined by newlines; None if some part is not text, or nested without end.
    """
    return _plain_text(content, 0)


def _plain_text(content: object, depth: int) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if depth == _DEEPEST:
        return None
    if isinstance(content, Mapping):
        kind = content.get("type", content.get("content_type"))
        if isinstance(content.get("parts"), Sequence):
            return _plain_text(content["parts"], depth + 1)
        text = content.get("text")
        if isinstance(text, Mapping):
            text = text.get("value")  # the format of OpenAI's assistants
        return text if isinstance(text, str) and (kind is None or kind in _TEXT_PARTS) else None
    if isinstance(content, Sequence) and not isinstance(content, bytes) and content:
        parts = [_plain_text(part, depth + 1) for part in content if not _is_padding(part)]
        texts = [part for part in parts if part is not None]
        return "\n".join(texts) if len(texts) == len(parts) else None
    return None


def _parsed(text: str) -> object:
    """Parse a string that looks like JSON, a Python literal or an array of numpy; return other strings unchanged."""
    stripped = text.strip("\ufeff \t\r\n")
    begin = "(" if stripped.startswith("array(") else stripped[:1]
    if begin + stripped[-1:] not in ("[]", "{}", "()", '""'):
        return text
    found = literal_of(stripped, text)
    if isinstance(found, str) and found is not text:  # encoded twice
        return _parsed(found) if found.strip()[:1] in ("[", "{") else text
    return found


def _parts_of(content: object) -> object:
    """Parse the parts of a content that is JSON of them, as exports to tables have it; return others unchanged."""
    parts = literal_of(content.strip(), None) if isinstance(content, str) and content.lstrip()[:2] == "[{" else None
    are_parts = isinstance(parts, list) and all(isinstance(part, dict) and _is_part(part) for part in parts)
    return parts if are_parts else content


def _is_part(part: Mapping[Any, Any]) -> bool:
    name = "text" if part.get("type") in _TEXT_PARTS else part.get("type")
    return name in part and all(value is None for key, value in part.items() if key not in ("type", name))


def _of_mapping(value: Mapping[Any, Any]) -> object:
    """Convert a mapping of lists, a single turn, or a wrapped conversation to a list of turns."""
    for wrapper in CHATS:
        inside = value.get(wrapper)
        if isinstance(inside := _parsed(inside) if isinstance(inside, str) else inside, list):
            return inside
    columns = {name: value[name] for name in (*_SPEAKERS, *_TEXTS) if isinstance(value.get(name), list)}
    if not any(name in columns for name in _SPEAKERS):
        return [value]
    if len({len(column) for column in columns.values()}) != 1:
        raise UnreadableTurnsError("unreadable_turns")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _exchange(item: object) -> list[object]:
    """Take an element apart that holds a question and its answer, or one of them, under their own keys."""
    if not isinstance(item, Mapping) or _field(item, _SPEAKERS):
        return [item]
    given = {role: key for role, keys in _KEYS.items() if (key := _field(item, keys)) is not None}
    own = [isinstance(one, str) if name in given.values() else _is_null(one) for name, one in item.items()]
    alone = len(given) == 1 and all(own)
    if not alone and not {"user", "assistant"} <= given.keys():
        return [item]
    said = {role: item[key] for role, key in given.items()}
    if given.get("user") == "instruction" and isinstance(more := item.get("input"), str) and more.strip():  # Alpaca's
        said["user"] = f"{said['user']}\n\n{more}"
    return [{"role": role, "content": text} for role, text in said.items()]


def _is_padding(turn: object) -> bool:
    """Return whether a turn, or a part of one, says nothing: it has nulls, numbers, and what is empty."""
    if isinstance(turn, Mapping):
        return all(one in ("", []) or isinstance(one, int | float) or _is_padding(one) for one in turn.values())
    return _is_null(turn)


def _is_null(value: object) -> bool:
    """Return whether a value is missing: pandas writes NaN for it."""
    return value is None or (isinstance(value, float) and value != value)


def _field(turn: Mapping[Any, Any], names: Sequence[str]) -> str | None:
    """Return the field that a turn has: the first that says something, else the first that is empty."""
    given = [name for name in names if not _is_null(turn.get(name))]
    return next((name for name in given if turn[name] not in ("", [])), next(iter(given), None))


def _plain_name(speaker: str) -> str:
    """Return a speaker as in the sets of speakers where it is one of them: `<|user|>`, `User 1:`, `system message`."""
    name = speaker.strip().lower()
    words = re.findall(r"[^\W\d_]+", name)
    plain = words[0] if words[:1] in (["system"], ["developer"]) else " ".join(words)
    return plain if name not in _SPEAKERS_KNOWN and plain in _SPEAKERS_KNOWN else name


def _turn(turn: object) -> Turn | None:
    """Parse one turn; None if it names no speaker."""
    if isinstance(turn, Sequence) and not isinstance(turn, str | bytes) and len(turn) == 2:
        turn = {"role": turn[0], "content": turn[1]}  # a pair of speaker and text
        if not isinstance(turn["role"], str) or _plain_name(turn["role"]) not in _SPEAKERS_KNOWN:
            return None
    if not isinstance(turn, Mapping):
        return None
    speaker_field = _field(turn, _SPEAKERS)
    if speaker_field is None:
        return None
    speaker = turn[speaker_field]
    if isinstance(speaker, Mapping):
        speaker = speaker.get("role")  # the format of ChatGPT's exports
    if not isinstance(speaker, str):
        return None
    speaker, field = _plain_name(speaker), _field(turn, _TEXTS)
    if (
        speaker in HUMAN
        and not any(name in turn for name in _TEXTS)
        and any(isinstance(one, str) and one.strip() for name, one in turn.items() if name != speaker_field)
    ):
        return None  # its text is in a field that is not known
    text = None if field is None else plain_text(_parts_of(turn[field]))
    missing = field is None or turn[field] in ("", [])
    return Turn(speaker, "" if missing else text, (speaker_field, field) == ("from", "value"))
