"""Which column of a row holds the task, and which its programming language.

The known sources need no mapping of their own: their layouts are recognised by their columns, so that a local copy or
an excerpt of one is read just as the original.

- OSS-Instruct: `problem`, with `lang`.
- Evol-Instruct-Code and Code Alpaca: `instruction`, with an `input` that is part of the task where there is one.
- ShareGPT: `conversations`, of which the first human turn; or prompts taken out of theirs, `prompt` with `first_turn`.
- Conversations of any other origin: `messages` or `conversations`, of which the first human turn.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from plum_hub.errors import InstructionsError
from plum_hub.instructions.files import Row
from plum_hub.instructions.filters import programming_language
from plum_hub.instructions.turns import HUMAN, MODEL, SYSTEM, Turn, UnreadableTurnsError, plain_text, read_turns

_TEXT_COLUMNS = ("instruction", "prompt", "problem", "text", "question")
"""Names that a column of tasks goes by; used when no column is asked for and exactly one of them is there."""

_LANGUAGE_COLUMNS = ("lang", "language", "programming_language")
_CHAT_COLUMNS = ("conversations", "messages")
ID_COLUMNS = ("id", "raw_index", "task_id")
COLUMNS = frozenset({*_TEXT_COLUMNS, *_LANGUAGE_COLUMNS, *_CHAT_COLUMNS, *ID_COLUMNS, "input", "first_turn"})
"""Every column that may be read beside the one asked for."""

_SHAREGPT = re.compile(r"[A-Za-z0-9](?=[a-z0-9]*[A-Z])[A-Za-z0-9]{6}_[0-9]+")
"""The id of a piece of ShareGPT: seven random letters and digits, and the position of its first turn. A word with a
number (`dialog1_4`) is told from these by its case."""
_NUMBERED = re.compile(r"(?P<chat>.*)_(?P<place>\d+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class ParsedTask:
    """What a row holds: a text, or the reason why it has none."""

    text: object
    """Anything at all in a row gone wrong; None where there is nothing."""
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the rows of one source keep what we need."""

    column: str
    chat: bool
    """Rows are turns of people's chats: only one that opens a conversation and asks for a program is an instruction."""
    sharegpt: bool
    """The source is ShareGPT itself, whatever its ids look like."""

    def read_task(self, row: Row) -> ParsedTask:
        """The task as it stands in the row."""
        value = row.get(self.column)
        try:
            turns = self._turns(value)
        except UnreadableTurnsError as error:
            return ParsedTask(text=None, reason=str(error))
        if turns is not None:
            task = _opening(turns)
            value = task.text
            if task.reason:
                return task
        elif isinstance(value, list) and all(isinstance(part, dict) for part in value):
            value = plain_text(value) or value
        if not isinstance(value, str):
            return ParsedTask(text=value)
        if self.chat and self._is_sharegpt(row, turns):
            return ParsedTask(
                text=value.replace("\\_", "_")
            )  # ShareGPT went through Markdown, which escaped every name
        extra = row.get("input") if self.column == "instruction" else None
        return ParsedTask(text=f"{value.rstrip()}\n\n{extra}" if isinstance(extra, str) and extra else value)

    def named_language(self, row: Row) -> str | None:
        """The programming language that the row itself names, in lower case and without its version; None where no
        column names one."""
        values = [one for name in _LANGUAGE_COLUMNS for one in _texts(row.get(name))]
        found = [language for value in values if (language := programming_language(value))]
        return "python" if "python" in found else next(iter(found), None)

    def _turns(self, value: object) -> list[Turn] | None:
        """The turns in a value, None where it has none: a text in a column of tasks is one, and a plain text in a
        column of conversations too."""
        chat, is_text = self.column in _CHAT_COLUMNS, isinstance(value, str)
        try:
            turns = read_turns(value)
        except UnreadableTurnsError:
            if chat or not is_text:
                raise
            return None
        if not chat:
            return turns or None
        if turns is None and value is not None and (not is_text or str(value).lstrip()[:1] in ("[", "{")):
            raise UnreadableTurnsError("unreadable_turns")
        return turns

    def _is_sharegpt(self, row: Row, turns: list[Turn] | None) -> bool:
        """Whether the row is a piece of ShareGPT: by its source, its `first_turn`, or its form and id."""
        if self.sharegpt or isinstance(row.get("first_turn"), bool):
            return True
        return _has_sharegpt_shape(turns) and _SHAREGPT.fullmatch(str(row.get("id"))) is not None


class ConversationPieces:
    """Which rows of a source continue a conversation of which an earlier row holds the beginning.

    ShareGPT's files are split: a piece's id ends in the position of its first turn, `_0` for an opening one. Elsewhere
    a number at the end of an id only counts the rows, so it is read as a position where the id is one of ShareGPT's,
    or where the row follows upon an opening piece of the same name and its position fits: even, and behind all turns
    that came before.

    Args:
        layout: of the source, whose rows are to be given in their order.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._chat: str | None = None
        self._next = 0

    def is_continuation(self, row: Row) -> bool:
        """Whether the row is a later piece of a conversation."""
        if not self._layout.chat:
            return False
        if isinstance(opens := row.get("first_turn"), bool):
            return not opens
        piece = _NUMBERED.fullmatch(str(row.get("id", "")))
        turns = self._read(row)
        if piece is None or not piece["place"].isascii() or not _has_sharegpt_shape(turns):
            self._chat = None
            return False
        assert turns is not None
        place = int(piece["place"][:18])
        follows = piece["chat"] == self._chat and place % 2 == 0 and place >= self._next
        self._chat = piece["chat"] if place == 0 or follows else None
        self._next = place + len(turns)
        known = self._layout.sharegpt or _SHAREGPT.fullmatch(piece[0]) is not None
        return place > 0 and (known or follows)

    def _read(self, row: Row) -> list[Turn] | None:
        try:
            return read_turns(row.get(self._layout.column))
        except UnreadableTurnsError:
            return None


def detect_layout(columns: Collection[str], column: str | None, where: str, *, sharegpt: bool = False) -> Layout:
    """Find the layout from the names of a source's columns.

    Args:
        columns: the names of the columns that are there.
        column: the column to take the task from; None to guess.
        where: the source, for the message.
        sharegpt: whether the source is ShareGPT.

    Raises:
        InstructionsError: the column is not there, or none or several could be meant; lists those that are there.
    """
    there = ", ".join(sorted(columns)) or "none"
    if column is not None and column not in columns:
        raise InstructionsError(
            f"{where} has no column {column!r}; its columns: {there}. Name one with `SOURCE:COLUMN`"
        )
    if column is None:
        chats = [name for name in _CHAT_COLUMNS if name in columns]
        found = chats or [name for name in _TEXT_COLUMNS if name in columns]
        if len(found) != 1:
            problem = f"could hold the tasks in {' or '.join(found)}" if found else "has no column known to hold tasks"
            raise InstructionsError(f"{where} {problem}; its columns: {there}. Name one with `SOURCE:COLUMN`")
        column = found[0]
    return Layout(column=column, chat=column in _CHAT_COLUMNS or "first_turn" in columns, sharegpt=sharegpt)


def _opening(turns: list[Turn]) -> ParsedTask:
    """The first turn of a conversation that a person opens; what is said to the model as its system is passed over."""
    for turn in turns:
        if turn.speaker in HUMAN:
            return ParsedTask(text=turn.text, reason="not_text" if turn.text is None else None)
        if turn.speaker in MODEL:
            return ParsedTask(text=None)
        if turn.speaker not in SYSTEM:
            return ParsedTask(text=None, reason="unknown_speaker")
    return ParsedTask(text=None)


def _has_sharegpt_shape(turns: list[Turn] | None) -> bool:
    return bool(turns) and all(turn.from_value for turn in turns or ())


def _texts(value: object) -> list[str]:
    """The texts of a value: itself, or those in a list."""
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
