"""TRL's standard forms of rows, and what each method makes of them.

    prompt, completion, label     unpaired preferences: kto; dpo and sft are derived from them
    prompt, chosen, rejected      pairs: dpo; kto, as TRL does, takes each answer of a pair by itself
    chosen, rejected              pairs whose prompt is what both begin with
    prompt, completion            sft, which learns the completion
    messages, or text             sft, which learns every token

All are plain texts, or conversations: lists of `role` and `content`. `asked.with_prompt` brings columns of other tools
into these forms.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, TypeAlias

from plum_hub.errors import TrainingError
from plum_hub.instructions.cells import truth_of
from plum_hub.instructions.transcripts import answer_begin
from plum_hub.instructions.turns import UnreadableTurnsError
from plum_hub.release.schemas import Method
from plum_hub.training.asked import COLUMNS as ASKED
from plum_hub.training.asked import with_prompt
from plum_hub.training.lengths import Row
from plum_hub.training.turns import ASKING, chatml, conversation_of, turns_in

LABELLED, PAIRED = ("prompt", "completion", "label"), ("prompt", "chosen", "rejected")
FORMS: dict[Method, tuple[tuple[str, ...], ...]] = {
    "kto": (LABELLED, PAIRED),
    "dpo": (PAIRED, LABELLED),
    "sft": (("prompt", "completion"), ("messages",), ("text",), LABELLED),
}
"""The columns that each method can be made of, the first ones that are there being taken; of labelled rows sft takes
the chosen ones."""
TURNS = frozenset({
    "prompt", "completion", "chosen", "rejected", "messages", "conversations", "conversation", "tools",
})  # fmt: skip
"""Columns whose nulls are those of a file format."""
_PARTS = ("prompt", "completion", "chosen", "rejected")
_WHOLE = frozenset({"messages", "conversations", "conversation"})
"""Columns of `TURNS` that are never plain text."""
_OTHER_NAMES = {"conversations": "messages", "conversation": "messages", "kto_tag": "label"}
"""What ShareGPT, chats of arenas and LLaMA-Factory call columns of TRL."""
COLUMNS = frozenset(
    {name for forms in FORMS.values() for form in forms for name in form} | TURNS | ASKED | _OTHER_NAMES.keys()
)
"""Every column that a form may need."""


Placed: TypeAlias = Iterable[tuple[str, Row]]
"""Rows, each with where it is, such as `FILE:LINE`, for messages."""


def turns_in_texts(rows: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Find the columns whose texts are turns, as a CSV or Parquet export keeps them.

    A plain text may be such JSON, too: it is what shall be answered. So all texts of a column must be turns, and so
    must the prompt for an answer to be some, unless both answers of a pair begin with what was asked.

    Args:
        rows: Rows as they are in a file.

    Returns:
        Names of columns.
    """
    kinds: dict[str, set[str]] = {name: set() for name in _PARTS}
    for row in rows:
        for name, seen in kinds.items():
            if "text" not in seen and (value := row.get(name)) is not None:
                seen.add(_kind(value))
    found = {name for name, seen in kinds.items() if seen and "text" not in seen}
    pairs, whole = {"chosen", "rejected"}, all(kinds[name] == {"whole"} for name in ("chosen", "rejected"))
    if kinds["prompt"] and "prompt" not in found and not whole:
        found.clear()
    if not found >= pairs:
        found -= pairs
    return frozenset(found | _WHOLE)


def _kind(value: Any) -> str:
    """Tell what a value of a prompt or answer is: `text`, `turns`, or the `whole` conversation with what was asked."""
    try:
        turns = turns_in(value) if isinstance(value, str) else value
    except UnreadableTurnsError:
        return "turns"
    if isinstance(turns, str):
        return "text"
    begin = chatml(turns[0]) if isinstance(turns, list) and turns else None
    return "whole" if isinstance(begin, dict) and begin.get("role") in ASKING else "turns"


def standard_rows(rows: Iterable[tuple[str, Mapping[str, Any]]], in_texts: Set[str]) -> Iterator[tuple[str, Row]]:
    """Bring rows into one of TRL's standard forms, with an explicit prompt.

    Args:
        rows: Rows as they are in a file, each with where it is.
        in_texts: Columns whose texts are turns; see `turns_in_texts`.

    Yields:
        The rows, each with where it is.

    Raises:
        TrainingError: A row's chosen and rejected answers have no common beginning, and there is no other prompt; its
            prompt is null, where other rows have one; or turns in a text cannot be read.
    """
    empty, has_prompts = "", False
    for where, given in rows:
        row = {
            name: _conversation(name, value, where, in_text=name in in_texts) if name in TURNS else value
            for name, value in given.items()
        }
        row |= {name: list(map(chatml, row[name])) for name in TURNS if isinstance(row.get(name), list)}
        for other, name in _OTHER_NAMES.items():
            if other in row and row.get(name) is None:
                row[name] = row.pop(other)
        if "label" in row:
            row["label"] = truth_of(row["label"])
        row = with_prompt(row, where)
        if _has_implicit_prompt(row):
            empty = empty or where * ("prompt" in row and row["prompt"] is None)
            row |= _with_prompt(row, where)
        else:
            has_prompts = has_prompts or row.get("prompt") is not None
        if empty and has_prompts:
            raise TrainingError(
                f"{empty}: its prompt is null, and other rows have one: fill it in, or leave the row out"
            )
        yield where, row


def form_of(have: Set[str], method: Method) -> tuple[str, ...] | None:
    """Choose the form that a training reads.

    Args:
        have: Columns that every row has.
        method: Training method.

    Returns:
        Its columns; None if no form fits the method.
    """
    forms = FORMS[method]
    if method == "sft" and have >= set(LABELLED):
        return LABELLED  # only the chosen ones
    return next((form for form in forms if have >= set(form)), None)


def needed(have: Set[str], method: Method) -> str:
    """Say which columns a method needs, and which method the columns that are there are for.

    Args:
        have: Columns that every row has.
        method: Training method.

    Returns:
        The columns of each form, with a hint.
    """
    said = ", or ".join(" and ".join([", ".join(form[:-1]), form[-1]] if form[1:] else form) for form in FORMS[method])
    others = [one for one in FORMS if one != method and form_of(have, one)]
    return said + (f" (these rows are for --method {' or '.join(others)})" if others else "")


def unpaired(rows: Placed) -> Iterator[tuple[int, str, Row]]:
    """Take the answers of pairs by themselves, like `trl.unpair_preference_dataset`.

    Args:
        rows: Rows of prompt, chosen and rejected, each with where it is.

    Yields:
        Two labelled rows of each pair, with the number of the pair, from 0, and where it is.
    """
    for number, (where, row) in enumerate(rows):
        rest = {name: value for name, value in row.items() if name not in PAIRED}
        for name, label in (("chosen", True), ("rejected", False)):
            sample = row.get(f"{name}_sample_id") or f"{number} {name}"
            own = {"prompt": row["prompt"], "completion": row[name], "label": label, "sample_id": sample}
            yield number, where, {key: value for key, value in rest.items() if not key.endswith("_sample_id")} | own


def _conversation(name: str, value: Any, where: str, *, in_text: bool) -> Any:
    try:
        return conversation_of(value, in_text=in_text)
    except UnreadableTurnsError as error:
        raise TrainingError(
            f"{where}: its {name} is a list of turns in a text that is neither JSON nor what Python or numpy print: "
            "write it as JSON"
        ) from error


def _has_implicit_prompt(row: Row) -> bool:
    """Tell whether the prompt is in the answers, as in `trl.maybe_extract_prompt`."""
    chosen, rejected, prompt = (row.get(name) for name in ("chosen", "rejected", "prompt"))
    if not (isinstance(chosen, str) and isinstance(rejected, str)) and not (
        isinstance(chosen, list) and isinstance(rejected, list)
    ):
        return False
    return prompt is None or (isinstance(prompt, str) and isinstance(chosen, list))


def _with_prompt(row: Row, where: str) -> Row:
    """Separate the longest common beginning of both answers, like `trl.extract_prompt`.

    Where texts mark whose turn it is, the prompt ends with such a mark, whatever words both answers begin with.
    """
    chosen, rejected = row["chosen"], row["rejected"]
    shortest = min(len(chosen), len(rejected))
    common = next((place for place in range(shortest) if chosen[place] != rejected[place]), shortest - 1)
    if 0 < common < shortest and chosen[common] != rejected[common] and chosen[common - 1] == " ":
        common -= 1  # TRL leaves the space to the answers
    if isinstance(chosen, str):
        common = answer_begin(chosen, common) or common
    if common < 1:
        raise TrainingError(
            f"{where}: its chosen and rejected have no beginning in common, which would be the prompt: "
            "add a column prompt, or leave the row out"
        )
    prompt = row.get("prompt")
    if isinstance(prompt, str) and not any(prompt.strip() in str(turn.get("content")) for turn in chosen[:common]):
        raise TrainingError(
            f"{where}: its prompt is a text, and not in the turns that its chosen and rejected begin "
            "with: write it as turns, or leave the column out"
        )
    return {"prompt": chosen[:common], "chosen": chosen[common:], "rejected": rejected[common:]}
