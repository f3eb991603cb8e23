"""Find out what of a conversation a chat template renders, by rendering it with and without each part."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from plum_hub.engines.template import TemplateRefusalError, render
from plum_hub.training.turns import ASKING

NOT_SHOWN = "the chat template renders nothing of a system, developer or user turn"
LOST = "the chat template renders nothing of an answer, a call of a tool or its result"
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thoughts")
"""Fields of a turn with its reasoning."""
_BESIDE, _THOUGHT = "content beside tool_calls", "thoughts in content"
_END_OF_THOUGHTS = "</think>"
"""Of an answer with its reasoning in one text, as R1 and Qwen3 write it; R1's own template cuts off all before it."""
_MARK = "x7q{}q7x"
"""What is added to a part to find it again; templates neither escape nor trim it."""


class _Part(NamedTuple):
    """A field of a turn."""

    turn: int
    """Number of the turn, from 0."""
    field: str


class Unseen(NamedTuple):
    """What a template does not render of a conversation."""

    reason: str | None = None
    """Why the row cannot be trained on; None if it can."""
    names: tuple[str, ...] = ()
    """What else is not rendered: tools, the thoughts of the last turn, or what is said beside a call."""


class Visibility:
    """What a model's template renders of conversations; those with the same roles and fields are looked at once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[object, Unseen] = {}

    def unseen(self, turns: Sequence[dict[str, Any]], tools: Any) -> Unseen:
        """Find out what of a conversation is not rendered.

        Args:
            turns: Its turns, which the template does not refuse.
            tools: Its tools; None without.

        Returns:
            What is not rendered.
        """
        fields = (
            (turn["role"], *sorted(key for key, value in turn.items() if _says_something(value))) for turn in turns
        )
        shape = (bool(tools), _thinks_aloud(turns[-1]), *fields)
        if shape not in self._known:
            self._known[shape] = self._look(list(turns), tools)
        return self._known[shape]

    def _look(self, turns: list[dict[str, Any]], tools: Any) -> Unseen:
        parts = [
            _Part(number, field)
            for number, turn in enumerate(turns)
            for field in ("content", "tool_calls", *THOUGHTS)
            if _says_something(turn.get(field))
        ]
        plain = self._text(turns, tools)
        if plain is None:
            return Unseen()
        missing = self._unmarked(turns, tools, parts)
        hidden = [part for part in missing if self._text(_marked(turns, [part]), tools) == plain]
        beside = {part for part in hidden if part.field == "content" and _Part(part.turn, "tool_calls") in parts}
        beside -= {part for part in beside if _Part(part.turn, "tool_calls") in hidden}
        names = [part.field for part in hidden if part.field in THOUGHTS and part.turn == len(turns) - 1]
        names += [_BESIDE] if beside else []
        names += [_THOUGHT] if _thinks_aloud(turns[-1]) and self._cuts_thoughts(turns, tools) else []
        names += ["tools"] if tools and self._text(turns, None) == plain else []
        return Unseen(_reason(turns, [part for part in hidden if part not in beside]), tuple(names))

    def _unmarked(self, turns: list[dict[str, Any]], tools: Any, parts: list[_Part]) -> list[_Part]:
        """Return the parts whose mark is not found if all are marked, which decides nearly all in one go."""
        text = self._text(_marked(turns, parts), tools)
        return parts if text is None else [one for n, one in enumerate(parts) if _MARK.format(n) not in text]

    def _cuts_thoughts(self, turns: list[dict[str, Any]], tools: Any) -> bool:
        """Tell whether the end of the last turn's thoughts is not rendered."""
        mark, last = _MARK.format("t"), turns[-1]
        marked = last["content"].replace(_END_OF_THOUGHTS, mark + _END_OF_THOUGHTS, 1)
        return mark not in (self._text([*turns[:-1], last | {"content": marked}], tools) or mark)

    def _text(self, turns: list[dict[str, Any]], tools: Any) -> str | None:
        try:
            return render(self._tokenizer, turns, tools=tools)
        except TemplateRefusalError:
            return None


def _reason(turns: list[dict[str, Any]], hidden: list[_Part]) -> str | None:
    """Say why a row with hidden parts cannot be trained on; thoughts may be hidden."""
    for one in hidden:
        if one.field == "content" and turns[one.turn]["role"] in ASKING:
            return NOT_SHOWN
    return LOST if any(one.field in ("content", "tool_calls") for one in hidden) else None


def _thinks_aloud(turn: dict[str, Any]) -> bool:
    """Tell whether a turn is an answer that holds its reasoning in the same text."""
    return turn["role"] not in ASKING and _END_OF_THOUGHTS in (turn.get("content") or "")


def _says_something(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else bool(value)


def _marked(turns: list[dict[str, Any]], parts: list[_Part]) -> list[dict[str, Any]]:
    """Change some parts of a conversation, each with a mark of its own."""
    marked = [dict(turn) for turn in turns]
    for number, (turn, field) in enumerate(parts):
        marked[turn][field] = _changed(turns[turn][field], _MARK.format(number))
    return marked


def _changed(value: Any, mark: str) -> Any:
    """Add a mark to a text, or to the name of each function that is called; what is neither becomes the mark."""
    if isinstance(value, str):
        return f"{value} {mark}"
    calls = json.loads(json.dumps(value))
    for call in calls if isinstance(calls, list) else ():
        called = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(called, dict) or not isinstance(called.get("name"), str):
            return mark
        called["name"] += mark
    return calls
