"""Which column of a row holds the task, and which its programming language.

The known sources need no mapping of their own: their layouts are recognised by their columns, so that a local copy or
an excerpt of one is read just as the original.

- OSS-Instruct: `problem`, with `lang`.
- Evol-Instruct-Code and Code Alpaca: `instruction`, with an `input` that is part of the task where there is one.
- ShareGPT: `conversations`, of which the first human turn; or prompts taken out of theirs, `prompt` with `first_turn`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from plum_hub.errors import InstructionsError
from plum_hub.instructions.files import Row

TEXT_COLUMNS = ("instruction", "prompt", "problem", "text", "question")
"""Names that a column of tasks goes by; used when no column is asked for and exactly one of them is there."""

LANGUAGE_COLUMNS = ("lang", "language", "programming_language")
CHAT_COLUMNS = ("conversations", "messages")
ID_COLUMNS = ("id", "raw_index", "task_id")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the rows of one source keep what we need."""

    column: str
    language: str | None
    chat: bool
    """Rows are turns of people's chats: only one that opens a conversation and asks for a program is an instruction."""

    def text(self, row: Row) -> object:
        """The task as it stands in the row; None where there is none, and anything at all in a row gone wrong."""
        value = row.get(self.column)
        if self.column in CHAT_COLUMNS:
            value = _first_human_turn(value)
        if self.chat and isinstance(value, str):
            return value.replace("\\_", "_")  # ShareGPT went through Markdown, which escaped every name
        extra = row.get("input") if self.column == "instruction" else None
        return f"{value.rstrip()}\n\n{extra}" if isinstance(value, str) and isinstance(extra, str) and extra else value

    def named_language(self, row: Row) -> str | None:
        """What the row itself says its programming language is, in lower case."""
        value = row.get(self.language) if self.language else None
        return value.strip().lower() if isinstance(value, str) else None

    def opens_conversation(self, row: Row) -> bool:
        """Whether the row starts a chat. ShareGPT's files are split: a piece's id ends in the position of its first
        turn, `_0` for an opening one."""
        if isinstance(opens := row.get("first_turn"), bool):
            return opens
        piece = str(row.get("id", "")).rpartition("_")[2]
        return not piece.isdecimal() or int(piece) == 0


def recognise(columns: Collection[str], column: str | None, where: str) -> Layout:
    """Find the layout from the names of a source's columns.

    Args:
        column: the column to take the task from; None to guess.
        where: the source, for the message.

    Raises:
        InstructionsError: the column is not there, or none or several could be meant; lists those that are there.
    """
    there = ", ".join(sorted(columns)) or "none"
    if column is not None and column not in columns:
        raise InstructionsError(
            f"{where} has no column {column!r}; its columns: {there}. Name one with `SOURCE:COLUMN`"
        )
    if column is None:
        chats = [name for name in CHAT_COLUMNS if name in columns]
        found = chats or [name for name in TEXT_COLUMNS if name in columns]
        if len(found) != 1:
            problem = f"could hold the tasks in {' or '.join(found)}" if found else "has no column known to hold tasks"
            raise InstructionsError(f"{where} {problem}; its columns: {there}. Name one with `SOURCE:COLUMN`")
        column = found[0]
    return Layout(
        column=column,
        language=next((name for name in LANGUAGE_COLUMNS if name in columns), None),
        chat=column in CHAT_COLUMNS or "first_turn" in columns,
    )


def _first_human_turn(turns: object) -> object:
    """The text of the first turn where a person speaks first, else None (a system turn before it is passed over)."""
    if not isinstance(turns, list):
        return turns
    for turn in turns:
        speaker = (turn.get("from") or turn.get("role")) if isinstance(turn, dict) else None
        if speaker in ("human", "user"):
            return turn.get("value", turn.get("content"))
        if speaker != "system":
            return None
    return None
