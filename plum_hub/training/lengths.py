"""Keep the rows that fit: at most `max_length` tokens, no more than the model takes; the prompt begins the whole."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from plum_hub.engines.template import BrokenTemplateError, TemplateRefusalError, render
from plum_hub.errors import TrainingError
from plum_hub.spool import SelectedItems
from plum_hub.training.turns import ROLES
from plum_hub.training.visibility import LOST, NOT_SHOWN, Unseen, Visibility

Row: TypeAlias = dict[str, Any]
"""A row in one of TRL's formats: prompt, completion and label; prompt, chosen and rejected; prompt and completion;
messages; or text. It also has the columns `ROW_NAME` and `instruction_id`."""

ROW_NAME = "row"
"""Column with a row's name for messages: its sample ids, or its position from 0. It is in no batch."""
TOOLS = "tools"
"""Column with the tools of a conversation, in TRL's format: JSON, or None."""

TOO_LONG = "longer than max_length"
BEYOND_CONTEXT = "longer than the model's context"
NO_PREFIX = "the prompt's tokens are not the beginning of the whole"
NO_ANSWER = "the chat template renders nothing of the answer"
_KNOWN_ROLES = frozenset(ROLES.values())
_CHUNK = 1_000
"""Rows that are tokenised at a time."""


@dataclass(frozen=True)
class FittingRows:
    """The rows that fit, and how many do not."""

    rows: Sequence[Row]
    tokens: list[int]
    """Length of each row's longest sequence, prompt included."""
    limit: int
    """Most tokens of a row: `max_length`, or the model's context where that is less."""
    left_out: Mapping[str, int]
    """Rows that do not fit, by reason."""
    merged: int = 0
    """Rows that fit in which one token spans the end of the prompt and the beginning of the answer, as `.def` does. TRL
    counts it, and what else differs from the prompt alone, to the answer."""
    unseen: tuple[str, ...] = ()
    """What the template does not render of rows that fit: `tools`, or fields with thoughts."""


class _RefusedRowError(ValueError):
    """A row that cannot be rendered; the first argument is the row, the second says why."""


def fitting_rows(
    rows: Sequence[Row],
    tokenizer: Any,
    max_length: int,
    places: Callable[[int], str] | None = None,
    context: int | None = None,
) -> FittingRows:
    """Tokenise every row as TRL does, and keep those that TRL would neither truncate nor misalign.

    Args:
        rows: Rows in TRL's format for one method.
        tokenizer: Tokenizer of the model to train.
        max_length: Maximum tokens of prompt and answer together.
        places: Says where the row at a position was read, for messages; None names it as it is named.
        context: Tokens that the model takes; None for as many as `max_length`.

    Returns:
        The rows that fit, at least one.

    Raises:
        TrainingError: The rows are conversations and the tokenizer has no chat template; the template refuses a
            conversation, does not know a role, or renders a prompt alone differently than before an answer; or no row
            fits.
    """
    if rows and not _is_plain(rows[0]) and tokenizer.chat_template is None:
        raise TrainingError(
            "the rows are conversations, and the model's tokenizer has no chat template: name the chat model that "
            "wrote them with --model"
        )
    limit = max_length if context is None else min(max_length, context)
    kept: list[int] = []
    tokens: list[int] = []
    left_out: Counter[str] = Counter()
    merged = 0
    unseen: set[str] = set()
    visibility = Visibility(tokenizer)
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        try:
            measured = _measure(chunk, tokenizer, visibility)
        except _RefusedRowError as error:
            row, why = error.args
            place = start + next(number for number, one in enumerate(chunk) if one is row)
            raise TrainingError(f"{places(place) if places else f'row {row[ROW_NAME]}'}: {why}") from error
        for place, (length, unfit, is_merged, names) in enumerate(measured, start):
            if unfit or length > limit:
                left_out[unfit or (TOO_LONG if length > max_length else BEYOND_CONTEXT)] += 1
            else:
                kept.append(place)
                tokens.append(length)
                merged += is_merged
                unseen.update(names)
    if not kept:
        raise TrainingError(_no_rows(left_out, limit, max_length))
    return FittingRows(SelectedItems(rows, kept), tokens, limit, left_out, merged, tuple(sorted(unseen)))


def _no_rows(left_out: Mapping[str, int], limit: int, max_length: int) -> str:
    """Explain why no row fits."""
    if left_out.get(NOT_SHOWN):
        return (
            f"{NOT_SHOWN}, which the model would not see: write a developer's turn as the system's, leave such turns "
            "out, or train a model whose template renders them"
        )
    if left_out.get(LOST):
        return (
            f"{LOST}: leave such turns out, write them as texts, or train a model whose template renders them, as that "
            "of a model that calls tools does"
        )
    if left_out.get(NO_ANSWER):
        return f"{NO_ANSWER}, so that there is nothing to train on: train a model whose template renders every turn"
    if left_out.get(NO_PREFIX):
        return (
            "the model's chat template renders a prompt alone differently than before an answer, which would misalign "
            "the training: train a model whose template keeps the prompt as it is"
        )
    if not left_out:
        return "there are no rows to train on"
    none = f"none of {sum(left_out.values()):,} rows fits"
    if limit < max_length:
        return f"{none} the model's context of {limit:,} tokens: shorten them, or train a model with a longer one"
    return f"{none} max_length {max_length}: raise it with --set max_length=N"


def _is_plain(row: Row) -> bool:
    """Tell whether a row is plain text, to which no chat template is applied."""
    return isinstance(row.get("prompt", row.get("messages", "")), str)


class _Measured(NamedTuple):
    """What decides whether a row fits."""

    length: int
    """Tokens of its longest sequence."""
    unfit: str | None
    """Why it cannot be trained on, whatever its length."""
    merged: bool
    """Whether a token spans prompt and answer."""
    unseen: tuple[str, ...]
    """What else the template does not render."""


def _measure(rows: Sequence[Row], tokenizer: Any, visibility: Visibility) -> list[_Measured]:
    """Measure rows."""
    if "prompt" not in rows[0]:
        wholes = [row["messages"] if "messages" in row else _sequence("", row["text"], tokenizer) for row in rows]
        lengths = map(len, _tokens(_texts(rows, wholes, tokenizer, open_end=False), wholes, tokenizer))
        all_seen = [_unseen(row, whole, visibility) for row, whole in zip(rows, wholes, strict=True)]
        return [
            _Measured(length, one.reason if length else NO_ANSWER, False, one.names)
            for length, one in zip(lengths, all_seen, strict=True)
        ]
    asked = [row["prompt"] for row in rows]
    prompts = _tokens(_texts(rows, asked, tokenizer, open_end=True), asked, tokenizer)
    found = [_Measured(0, None, False, ()) for _ in rows]
    for answer in ("completion", "chosen", "rejected"):
        if answer not in rows[0]:
            continue
        wholes = [_sequence(row["prompt"], row[answer], tokenizer) for row in rows]
        sequences = _tokens(_texts(rows, wholes, tokenizer, open_end=False), wholes, tokenizer)
        for number, (prompt, sequence) in enumerate(zip(prompts, sequences, strict=True)):
            _, unfit, merged, names = found[number]
            seen = _unseen(rows[number], wholes[number], visibility)
            unfit = unfit or seen.reason
            if sequence[: len(prompt)] != prompt:
                merged = isinstance(asked[number], str) and sequence[:1] == prompt[:1]
                unfit = unfit if merged else NO_PREFIX
            elif len(sequence) == len(prompt):
                unfit = NO_ANSWER
            found[number] = _Measured(max(found[number].length, len(sequence)), unfit, merged, names + seen.names)
    return found


def _unseen(row: Row, whole: Any, visibility: Visibility) -> Unseen:
    """Find out what the template does not render of a row; of a plain text everything is seen."""
    return Unseen() if isinstance(whole, str) else visibility.unseen(whole, _tools(row))


def _tools(row: Row) -> Any:
    return json.loads(row[TOOLS]) if row.get(TOOLS) else None


def _sequence(prompt: Any, answer: Any, tokenizer: Any) -> Any:
    """Join prompt and answer; like TRL, end a plain-text answer with the end-of-text token."""
    if isinstance(prompt, str) and not answer.endswith(tokenizer.eos_token):
        answer += tokenizer.eos_token
    return prompt + answer


def _texts(rows: Sequence[Row], wholes: list[Any], tokenizer: Any, *, open_end: bool) -> list[str]:
    """Return texts as they are, and conversations rendered; `open_end` adds the generation prompt to these."""
    return [
        whole if isinstance(whole, str) else _rendered(row, whole, tokenizer, open_end=open_end)
        for row, whole in zip(rows, wholes, strict=True)
    ]


def _tokens(texts: list[str], wholes: list[Any], tokenizer: Any) -> list[list[int]]:
    """Tokenise texts; a rendered conversation has its special tokens already."""
    more = {} if isinstance(wholes[0], str) else {"add_special_tokens": False}
    return list(tokenizer(text=texts, **more)["input_ids"])


def _rendered(row: Row, turns: list[dict[str, str]], tokenizer: Any, *, open_end: bool) -> str:
    """Apply the chat template to a conversation, with the row's tools; a refusal names the row and the turn."""
    tools = _tools(row)

    def refusal(part: list[dict[str, str]]) -> str | None:
        try:
            render(tokenizer, part, tools=tools, add_generation_prompt=open_end)
        except TemplateRefusalError as error:
            return str(error)
        return None

    _check_roles(row, turns, tokenizer)
    try:
        return render(tokenizer, turns, tools=tools, add_generation_prompt=open_end)
    except BrokenTemplateError as error:
        raise TrainingError(
            f"the model's chat template cannot be used ({error}): fix its chat_template.jinja or "
            "tokenizer_config.json, or train another model with --model"
        ) from error
    except TemplateRefusalError as error:
        reason = str(error)
        number = next(n for n in range(1, len(turns) + 1) if n == len(turns) or refusal(turns[:n]) == reason)
        raise _RefusedRowError(
            row,
            f"the model's chat template refuses turn {number} of {len(turns)}, of role "
            f"{turns[number - 1]['role']!r} ({reason}): change that turn, leave the row out, or train a model whose "
            "template accepts it",
        ) from error


def _check_roles(row: Row, turns: list[dict[str, str]], tokenizer: Any) -> None:
    """Refuse a role that no template knows, unless this one names it."""
    for number, turn in enumerate(turns, start=1):
        if (role := turn["role"]) not in _KNOWN_ROLES and role not in str(tokenizer.chat_template):
            raise _RefusedRowError(
                row,
                f"the model's chat template does not know the role {role!r} of turn {number} of "
                f"{len(turns)}: rename it to user, assistant, system or tool, or leave the row out",
            )
