"""Which rows fit: as many tokens as are allowed, and a prompt that is the beginning of prompt and answer together."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from plum_hub.engines.template import TemplateRefusalError, render
from plum_hub.errors import TrainingError

Row: TypeAlias = dict[str, Any]
"""A row in one of TRL's formats: prompt, completion and label; prompt, chosen and rejected; prompt and completion.
Beside it `NAME`, and `instruction_id`."""

NAME = "row"
"""The column that names a row for messages: its samples, or its position from 0. No batch has it."""
TOOLS = "tools"
"""The column of the tools that a conversation may use, as TRL has it: JSON, or None."""

TOO_LONG = "longer than max_length"
NO_PREFIX = "the prompt's tokens are not the beginning of the whole"
_AT_ONCE = 1_000


@dataclass(frozen=True)
class Fitting:
    """The rows that fit, each with the tokens of its longest answer with the prompt; and how many do not, by reason."""

    rows: list[Row]
    tokens: list[int]
    left_out: Mapping[str, int]


def fitting(rows: Sequence[Row], tokenizer: Any, max_length: int) -> Fitting:
    """Tokenise every row as TRL does, and keep those that TRL will neither cut nor shift.

    Raises:
        TrainingError: the rows are conversations and the tokenizer has no chat template, or its template refuses one,
            or renders a prompt alone otherwise than before an answer; or no row fits.
    """
    if rows and not isinstance(rows[0]["prompt"], str) and tokenizer.chat_template is None:
        raise TrainingError(
            "the rows are conversations, and the model's tokenizer has no chat template: name the chat model that "
            "wrote them with --model"
        )
    kept: list[Row] = []
    tokens: list[int] = []
    left_out: Counter[str] = Counter()
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        for row, (length, prefixed) in zip(some, _measured(some, tokenizer), strict=True):
            if not prefixed:
                left_out[NO_PREFIX] += 1
            elif length > max_length:
                left_out[TOO_LONG] += 1
            else:
                kept.append(row)
                tokens.append(length)
    if not kept:
        raise TrainingError(_nothing(left_out, max_length))
    return Fitting(kept, tokens, left_out)


def _nothing(left_out: Mapping[str, int], max_length: int) -> str:
    if left_out.get(NO_PREFIX):
        return (
            "the model's chat template renders a prompt alone otherwise than before an answer, so that training would "
            "shift it: train a model whose template keeps the prompt as it is"
        )
    return (
        f"none of {sum(left_out.values()):,} rows fits max_length {max_length}: raise it with --set max_length=N"
        if left_out
        else "there are no rows to train on"
    )


def _measured(rows: Sequence[Row], tokenizer: Any) -> list[tuple[int, bool]]:
    """For each row the tokens of its longest sequence, and whether its prompt begins all of them."""
    prompts = _tokens(rows, [row["prompt"] for row in rows], tokenizer, open_end=True)
    longest, prefixed = [0] * len(rows), [True] * len(rows)
    for answer in ("completion", "chosen", "rejected"):
        if answer not in rows[0]:
            continue
        texts = [_whole(row["prompt"], row[answer], tokenizer) for row in rows]
        wholes = _tokens(rows, texts, tokenizer, open_end=False)
        for number, (prompt, whole) in enumerate(zip(prompts, wholes, strict=True)):
            longest[number] = max(longest[number], len(whole))
            prefixed[number] &= whole[: len(prompt)] == prompt
    return list(zip(longest, prefixed, strict=True))


def _whole(prompt: Any, answer: Any, tokenizer: Any) -> Any:
    """Prompt and answer together; TRL ends a plain answer with the end-of-text token."""
    if isinstance(prompt, str) and not answer.endswith(tokenizer.eos_token):
        answer += tokenizer.eos_token
    return prompt + answer


def _tokens(rows: Sequence[Row], texts: list[Any], tokenizer: Any, *, open_end: bool) -> list[list[int]]:
    """The tokens of each row's text or conversation; `open_end` ends a conversation with the beginning of an answer."""
    if isinstance(texts[0], str):
        return list(tokenizer(text=texts)["input_ids"])
    rendered = [_rendered(row, turns, tokenizer, open_end=open_end) for row, turns in zip(rows, texts, strict=True)]
    return list(tokenizer(text=rendered, add_special_tokens=False)["input_ids"])


def _rendered(row: Row, turns: list[dict[str, str]], tokenizer: Any, *, open_end: bool) -> str:
    """What the chat template makes of a conversation, with the row's tools.

    Raises:
        TrainingError: the template refuses it; names the row, and the turn at which it does.
    """
    tools = json.loads(row[TOOLS]) if row.get(TOOLS) else None

    def refusal(some: list[dict[str, str]]) -> str | None:
        try:
            render(tokenizer, some, tools=tools, add_generation_prompt=open_end)
        except TemplateRefusalError as error:
            return str(error)
        return None

    try:
        return render(tokenizer, turns, tools=tools, add_generation_prompt=open_end)
    except TemplateRefusalError as error:
        said = str(error)
        number = next(n for n in range(1, len(turns) + 1) if n == len(turns) or refusal(turns[:n]) == said)
        raise TrainingError(
            f"row {row[NAME]}: the model's chat template refuses turn {number} of {len(turns)}, of role "
            f"{turns[number - 1]['role']!r} ({said}): change that turn, leave the row out, or train a model whose "
            "template takes it"
        ) from error
