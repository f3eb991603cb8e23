"""TRL's standard forms of rows, and what each method makes of them.

    prompt, completion, label     unpaired preferences: kto; dpo and sft are derived from them
    prompt, chosen, rejected      pairs: dpo; kto, as TRL does, takes each answer of a pair by itself
    chosen, rejected              pairs whose prompt is what both begin with
    prompt, completion            sft, which learns the completion
    messages, or text             sft, which learns every token

All are plain texts, or conversations: lists of `role` and `content`. The columns of Alpaca are read as conversations:

    instruction, input, output    a prompt of one turn, as a build reads such tasks, and a completion of one
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from plum_hub.errors import TrainingError
from plum_hub.instructions.cells import truth_of
from plum_hub.instructions.layouts import Layout
from plum_hub.instructions.turns import UnreadableTurnsError, plain_text
from plum_hub.release.schemas import Method
from plum_hub.training.lengths import Row
from plum_hub.training.turns import conversation_of

LABELLED, PAIRED = ("prompt", "completion", "label"), ("prompt", "chosen", "rejected")
FORMS: dict[Method, tuple[tuple[str, ...], ...]] = {
    "kto": (LABELLED, PAIRED),
    "dpo": (PAIRED, LABELLED),
    "sft": (("prompt", "completion"), ("messages",), ("text",), LABELLED),
}
"""The columns that each method can be made of, the first ones that are there being taken; of labelled rows sft takes
the chosen ones."""
TURNS = frozenset({"prompt", "completion", "chosen", "rejected", "messages", "conversations", "tools"})
"""Columns whose nulls are those of a file format."""
_ALPACA = frozenset({"instruction", "output"})
_OTHERS = frozenset({"prompt", "completion", "messages", "text", "chosen", "rejected"})
"""Columns beside which those of Alpaca are something else."""
COLUMNS = frozenset({name for forms in FORMS.values() for form in forms for name in form} | TURNS | _ALPACA | {"input"})
"""Every column that a form may need."""

_ROLES = {"human": "user", "gpt": "assistant"} | {
    role: role for role in ("user", "assistant", "system", "developer", "tool")
}
"""Names of speakers in lower case, with those that chat templates know; ShareGPT's two are no others."""


def standard_rows(rows: Iterable[Mapping[str, Any]], source: str) -> Iterator[Row]:
    """Bring rows into one of TRL's standard forms, with an explicit prompt.

    Args:
        rows: Rows as they are in a file.
        source: File or dataset, for messages.

    Yields:
        The rows.

    Raises:
        TrainingError: A row's chosen and rejected answers have no common beginning, and there is no other prompt; or
            turns in a text cannot be read.
    """
    for number, given in enumerate(rows):
        row = {name: _conversation(name, value, f"{source}: row {number}") for name, value in given.items()}
        row |= {name: list(map(_chatml, row[name])) for name in TURNS if isinstance(row.get(name), list)}
        if "label" in row:
            row["label"] = truth_of(row["label"])
        if "conversations" in row and row.get("messages") is None:
            row["messages"] = row.pop("conversations")
        if row.keys() >= _ALPACA and not any(row.get(name) is not None for name in _OTHERS):
            row |= _of_alpaca(row)
        if _has_implicit_prompt(row):
            row |= _with_prompt(row, number, source)
        yield row


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


def unpaired(rows: Iterable[Row]) -> Iterator[tuple[int, Row]]:
    """Take the answers of pairs by themselves, like `trl.unpair_preference_dataset`.

    Args:
        rows: Rows of prompt, chosen and rejected.

    Yields:
        Two labelled rows of each pair, with the number of the pair.
    """
    for number, row in enumerate(rows):
        rest = {name: value for name, value in row.items() if name not in PAIRED}
        for name, label in (("chosen", True), ("rejected", False)):
            sample = row.get(f"{name}_sample_id") or f"{number} {name}"
            own = {"prompt": row["prompt"], "completion": row[name], "label": label, "sample_id": sample}
            yield number, {key: value for key, value in rest.items() if not key.endswith("_sample_id")} | own


def _conversation(name: str, value: Any, where: str) -> Any:
    try:
        return conversation_of(value) if name in TURNS else value
    except UnreadableTurnsError as error:
        raise TrainingError(
            f"{where}: its {name} is a list of turns in a text that is neither JSON nor what Python or numpy print: "
            "write it as JSON"
        ) from error


def _of_alpaca(row: Row) -> Row:
    """Return the prompt and completion of a row of Alpaca; not of one that has no texts, which is refused later."""
    task = Layout(column="instruction", chat=False, sharegpt=False).read_task(row).text
    given = {"prompt": (task, "user"), "completion": (row["output"], "assistant")}
    return {
        name: [{"role": role, "content": text}] if isinstance(text, str) else None
        for name, (text, role) in given.items()
    }


def _chatml(turn: Any) -> Any:
    """Rename the fields of a turn of ShareGPT, like `trl.maybe_convert_to_chatml`, and speakers that templates know.

    Parts that are all text become one, since most templates write a list as Python prints it.
    """
    if not isinstance(turn, dict):
        return turn
    if {"from", "value"} <= turn.keys() and not turn.keys() & {"role", "content"}:
        turn = {{"from": "role", "value": "content"}.get(name, name): value for name, value in turn.items()}
    if isinstance(parts := turn.get("content"), list) and (text := plain_text(parts)) is not None:
        turn = turn | {"content": text}
    role = turn.get("role")
    return turn | {"role": _ROLES.get(role.strip().lower(), role)} if isinstance(role, str) else turn


def _has_implicit_prompt(row: Row) -> bool:
    """Tell whether the prompt is in the answers, as in `trl.maybe_extract_prompt`."""
    chosen, rejected, prompt = (row.get(name) for name in ("chosen", "rejected", "prompt"))
    if not (isinstance(chosen, str) and isinstance(rejected, str)) and not (
        isinstance(chosen, list) and isinstance(rejected, list)
    ):
        return False
    return prompt is None or (isinstance(prompt, str) and isinstance(chosen, list))


def _with_prompt(row: Row, number: int, source: str) -> Row:
    """Separate the longest common beginning of both answers, like `trl.extract_prompt`."""
    chosen, rejected = row["chosen"], row["rejected"]
    shortest = min(len(chosen), len(rejected))
    common = next((place for place in range(shortest) if chosen[place] != rejected[place]), shortest - 1)
    if 0 < common < shortest and chosen[common] != rejected[common] and chosen[common - 1] == " ":
        common -= 1  # TRL leaves the space to the answers
    if common < 1:
        raise TrainingError(
            f"{source}: row {number}: its chosen and rejected have no beginning in common, which would be the prompt: "
            "add a column prompt, or leave the row out"
        )
    prompt = row.get("prompt")
    if isinstance(prompt, str) and not any(prompt.strip() in str(turn.get("content")) for turn in chosen[:common]):
        raise TrainingError(
            f"{source}: row {number}: its prompt is a text, and not in the turns that its chosen and rejected begin "
            "with: write it as turns, or leave the column out"
        )
    return {"prompt": chosen[:common], "chosen": chosen[common:], "rejected": rejected[common:]}
