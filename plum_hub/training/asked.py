"""Find what was asked where rows of other tools keep it beside the answers, in TRL's `prompt`.

    instruction, output                    Alpaca; with `input` or `context`, as a build reads such tasks
    instruction, chosen, rejected          LLaMA-Factory, UltraFeedback; also `question`, `query`, `problem`, or `input`
    conversations, chosen, rejected        LLaMA-Factory: the conversation ends with the question
    messages, label                        LLaMA-Factory: the label is that of the last answer

A task in a text becomes the turn of a user, which the model's own chat template words. Answers beside turns are turns
too.
"""

import json
from typing import Any

from plum_hub.errors import TrainingError
from plum_hub.instructions.layouts import INPUTS, Layout
from plum_hub.training.lengths import Row
from plum_hub.training.turns import asking_turn

_TASKS = ("instruction", "question", "query", "problem")
COLUMNS = frozenset({*_TASKS, *INPUTS, "output"})
"""Columns that are read for this."""
_ALPACA = frozenset({"instruction", "output"})
_OTHERS = frozenset({"prompt", "completion", "messages", "text", "chosen", "rejected"})
"""Columns beside which those of Alpaca are something else."""
_PAIR = ("chosen", "rejected")
ANSWERS = ("completion", *_PAIR)
"""Columns of an answer by itself."""


def with_prompt(row: Row, where: str) -> Row:
    """Add the prompt of a row that has none, and make texts turns where its other part is turns.

    Args:
        row: A row whose turns have `role` and `content`.
        where: File and row, for messages.

    Returns:
        The row; unchanged where it has a prompt, or nothing here applies.

    Raises:
        TrainingError: Several columns may be the prompt, a task or its answer is no text, or a label is of no answer.
    """
    if row.keys() >= _ALPACA and not any(row.get(name) is not None for name in _OTHERS):
        for name in sorted(_ALPACA):
            if not isinstance(row[name], str):
                raise TrainingError(
                    f"{where}: its {name} is {json.dumps(row[name], default=str):.60}, and must be a text: fix the "
                    "row, or leave it out"
                )
        row = row | {"prompt": _task(row, "instruction", where), "completion": row["output"]}
    elif row.get("prompt") is None and all(row.get(name) is not None for name in _PAIR):
        row = _with_question(row, where)
    elif row.get("prompt") is None and row.get("completion") is None and isinstance(row.get("messages"), list):
        row = _labelled(row, where)
    return _alike(row)


def _with_question(row: Row, where: str) -> Row:
    """Add the prompt of a pair, of which each answer is one: a text, or turns of the model."""
    if not all(isinstance(row[name], str) or _is_answer(row[name]) for name in _PAIR):
        return row
    if isinstance(asked := row.get("messages"), list) and asked:
        if _role(asked[-1]) == "assistant":  # an answer beside both
            return row
        return {name: value for name, value in row.items() if name != "messages"} | {"prompt": asked}
    given = [name for name in _TASKS if row.get(name) is not None] or ["input"]
    if len(given) > 1:
        raise TrainingError(
            f"{where}: {' and '.join(given)} may each be the prompt of chosen and rejected: rename the right one to "
            "prompt"
        )
    if row.get(given[0]) is None:
        return row
    return row | {"prompt": _task(row, given[0], where)}


def _labelled(row: Row, where: str) -> Row:
    """Separate the last answer of a conversation, if a label says what it is worth."""
    if "label" not in row or row["label"] not in (True, False, None):
        return row
    turns = row["messages"]
    if not turns or _role(turns[-1]) != "assistant":
        raise TrainingError(
            f"{where}: its label is of no answer, since its messages do not end with a turn of role 'assistant': end "
            "them with the answer, or leave the column label out"
        )
    kept = {name: value for name, value in row.items() if name != "messages"}
    return kept | {"prompt": turns[:-1], "completion": turns[-1:]}


def _alike(row: Row) -> Row:
    """Make turns of texts where either the prompt or all of its answers are turns."""
    prompt, answers = row.get("prompt"), [name for name in ANSWERS if row.get(name) is not None]
    if isinstance(prompt, list):
        return row | {name: [_turn("assistant", row[name])] for name in answers if isinstance(row[name], str)}
    if isinstance(prompt, str) and answers and all(_is_answer(row[name]) for name in answers):
        return row | {"prompt": _user(prompt)}
    return row


def _is_answer(value: Any) -> bool:
    """Tell whether a value is turns that do not begin with one of a prompt."""
    if not isinstance(value, list) or not value or _role(value[0]) is None:
        return False
    return asking_turn(value) is None


def _role(turn: Any) -> str | None:
    role = turn.get("role") if isinstance(turn, dict) else None
    return role if isinstance(role, str) else None


def _task(row: Row, column: str, where: str) -> list[dict[str, str]]:
    """Return a task as a build reads it, as the turn of a user."""
    layout = Layout(column=column, chat=False, sharegpt=False, answered=True)
    task = layout.read_task(row).text if isinstance(row[column], str) else None
    if not isinstance(task, str):
        raise TrainingError(
            f"{where}: its {column} is no text of a task, and what answers it has no other prompt: fix it, or rename a "
            "column to prompt"
        )
    return _user(task)


def _user(text: str) -> list[dict[str, str]]:
    return [_turn("user", text)]


def _turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}
