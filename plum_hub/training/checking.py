"""Refuse rows that their form does not allow, and say what they hold instead."""

import json
import re
from collections.abc import Callable, Iterator, Sequence

from plum_hub.errors import TrainingError
from plum_hub.training.forms import Placed
from plum_hub.training.lengths import Row
from plum_hub.training.turns import ASKING, asking_turn

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which JSON may contain and no tokenizer accepts."""
_NO_ANSWER = ASKING | {"tool"}
"""Roles from which nothing can be learnt alone."""


def checked(rows: Placed, columns: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """Refuse missing texts, a mix of texts and conversations, and labels that are not booleans.

    Any other label, such as the string "false", would count as chosen.

    Args:
        rows: Rows with these columns, each with where it is.
        columns: Columns of a form.

    Yields:
        The same rows.

    Raises:
        TrainingError: A value of a row is none of its form; the message names it and says what it is.
    """
    texts = [name for name in columns if name != "label"]
    why_not: Callable[[object], str | None] | None = None
    for where, row in rows:
        if len(texts) == 1:
            _check_whole(row, where, texts[0])
        why_not = why_not or (why_no_text if isinstance(row[texts[0]], str) else why_no_conversation)
        for name in texts:
            if why := why_not(row[name]):
                raise TrainingError(
                    f"{where}: {', '.join(texts)} must all be texts, or all conversations (lists of role and content), "
                    f"in this row as in the first; its {name} {why}: fix the row"
                )
        for name in texts[1:]:
            if role := asking_turn(row[name]):
                raise TrainingError(
                    f"{where}: its {name} begins with a turn of role {role!r}, which is the prompt's: "
                    f"leave such turns out of {name}"
                )
        if "label" in columns and row["label"] not in (True, False):
            raise TrainingError(
                f"{where}: its label is {json.dumps(row['label'], default=str)}, and must be true or false; fix the "
                "row, or leave it out, or for sft without labels the column"
            )
        yield where, row


def _check_whole(row: Row, where: str, name: str) -> None:
    """Refuse `messages` that are no conversation or have no answer, and a `text` that is none."""
    if why := (why_no_conversation if name == "messages" else why_no_text)(row[name]):
        kind = "a conversation (a list of role and content, both texts)" if name == "messages" else "a text"
        raise TrainingError(f"{where}: its {name} must be {kind}; it {why}: fix the row, or leave it out")
    if name == "messages" and all(turn["role"] in _NO_ANSWER for turn in row[name]):
        raise TrainingError(
            f"{where}: its messages hold no answer, only turns of role "
            f"{' and '.join(sorted({repr(turn['role']) for turn in row[name]}))}: add the answer, or leave the row out"
        )


def why_no_text(value: object) -> str | None:
    """Say why a value is no text that a tokenizer takes.

    Args:
        value: A value of a row.

    Returns:
        What it is, as the rest of a sentence; None for a text.
    """
    if isinstance(value, str):
        half = _LONE_SURROGATE.search(value)
        return f"has half of a character (\\u{ord(half[0]):04x})" if half else None
    if value is None:
        return "is null"
    if value != value:
        return "is NaN, a missing value"
    if isinstance(value, bool | int | float):
        return f"is {json.dumps(value)}"
    if isinstance(value, list):
        return "is an empty list" if not value else "is a list" if why_no_conversation(value) else "is a conversation"
    return "is an object" if isinstance(value, dict) else f"is of type {type(value).__name__}"


def why_no_conversation(value: object) -> str | None:
    """Say why a value is no conversation that a chat template takes.

    Args:
        value: A value of a row.

    Returns:
        What it is, as the rest of a sentence; None for turns with role and content, or calls of tools.
    """
    if not isinstance(value, list) or not value:
        return "is a text" if isinstance(value, str) and not why_no_text(value) else why_no_text(value)
    for number, turn in enumerate(value, start=1):
        if why := _why_no_turn(turn):
            return f"has {why} in turn {number} of {len(value)}"
    try:
        json.dumps(value)
    except (ValueError, TypeError, RecursionError) as error:  # Parquet may contain dates and bytes
        return f"cannot be written as JSON ({error})"
    return None


def _why_no_turn(turn: object) -> str | None:
    """Say what is wrong with a turn; None for one."""
    if not isinstance(turn, dict):
        return "no object with role and content"
    for name in ("role", "content"):
        if name not in turn:
            if name == "content" and turn.get("tool_calls"):
                continue
            return f"no {name}"
        if why := why_no_text(turn[name]):
            parts = turn[name] if isinstance(turn[name], list) else []
            kinds = sorted({str(part.get("type", "object")) for part in parts if isinstance(part, dict)} - {"text"})
            if kinds:
                return f"a content with parts of type {', '.join(kinds)[:80]}, where only text is learnt,"
            return f"a {name} that {why}"
    return None
