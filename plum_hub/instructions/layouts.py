"""Detect which columns of a row contain the task and its programming language.

Known sources need no configuration: their layouts are detected from their columns, so that a local copy or an
excerpt is read like the original.

- OSS-Instruct: `problem`, with `lang`.
- Evol-Instruct-Code and Code Alpaca: `instruction`, with an optional `input` that is part of the task.
- ShareGPT: the first human turn of `conversations`; or extracted prompts, `prompt` with `first_turn`.
- Other conversations: the first human turn of `messages` or `conversations`, or of a column of another usual name.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import chain

from plum_hub.errors import InstructionsError
from plum_hub.instructions.cells import list_of, literal_of, truth_of
from plum_hub.instructions.filters import programming_language
from plum_hub.instructions.tables import Row
from plum_hub.instructions.transcripts import asked_in, is_transcript
from plum_hub.instructions.turns import (
    CHATS,
    HUMAN,
    MODEL,
    RESULTS,
    SYSTEM,
    Turn,
    UnreadableTurnsError,
    plain_text,
    read_turns,
)

_TEXT_COLUMNS = ("instruction", "prompt", "problem", "text", "question")
"""Column names for tasks, used if no column is configured and exactly one of them exists."""


def _spellings(*names: str) -> frozenset[str]:
    """Return the ways in which files write names of columns: as `code_lang`, `codeLang`, `Code Lang` and so on."""
    words = [name.split("_") for name in names]
    ways = [[part.capitalize() for part in word] for word in words] + [
        [part.upper() for part in word] for word in words
    ]
    ways += [[word[0], *(part.capitalize() for part in word[1:])] for word in words] + words
    return frozenset(between.join(way) for way in ways for between in ("_", " ", "-", ""))


def _languages_of(*owners: str) -> frozenset[str]:
    """Return what columns of the language of something are called, such as `code_lang`."""
    return _spellings(*(f"{owner}_{word}" for owner in owners for word in ("lang", "language", "languages")))


_CODE_LANGUAGE_COLUMNS = _languages_of("programming", "prog", "program", "code", "coding", "target", "tgt")
_LANGUAGE_COLUMNS = _CODE_LANGUAGE_COLUMNS | _spellings(
    "lang", "language", "languages", "language_name", "lang_name", "language_id", "language_type"
) | _languages_of(
    "answer", "completion", "file", "main", "output", "primary", "problem", "question", "repo", "response", "solution",
    "task",
)  # fmt: skip
"""The latter may be of natural languages, so that only known programming languages count there."""
_METADATA_COLUMNS = _spellings(
    "metadata", "meta", "meta_data", "info", "extra", "extra_info", "additional_info", "attributes", "properties",
)  # fmt: skip
"""Columns of an object, or JSON of one, that may name a language as one of the above does."""
_DEEPEST = 3
"""Objects within one another that are searched for a language."""
_CHAT_COLUMNS = ("conversations", "messages")
_OTHER_COLUMNS = (*(name for name in CHATS if name not in _CHAT_COLUMNS), "query", "chosen")
"""Used if there is no column of the above, the first one that there is."""
INPUTS = ("input", "context")
"""Columns, in any case, that are a part of the task beside `instruction`: Alpaca's, and Dolly's."""
_ANSWERS = _spellings("output", "response", "answer", "solution", "completion")
"""Columns of the answer to the task."""
_NO_INPUT = frozenset(
    {"", "<noinput>", "<no input>", "noinput", "no input", "n/a", "not applicable", "nan", "none", "null"}
)
"""What Alpaca and its descendants, and exports of missing values, write into `input`, in any case, if there is none."""
ID_COLUMNS = ("id", "raw_index", "task_id")
COLUMNS = _LANGUAGE_COLUMNS | _METADATA_COLUMNS | frozenset({
    *_TEXT_COLUMNS, *CHATS, *_OTHER_COLUMNS, *ID_COLUMNS, *_spellings(*INPUTS), *_ANSWERS,
    "history", "first_turn", "message_id", "parent_id",
})  # fmt: skip
"""Every column that may be read besides the configured one."""

SHAREGPT_ID = re.compile(r"[A-Za-z0-9](?=[a-z0-9]*[A-Z])[A-Za-z0-9]{6}_[0-9]+")
"""The id of a piece of ShareGPT: seven random letters and digits, and the position of its first turn. Mixed case
distinguishes it from a word with a number, such as `dialog1_4`, but not from a name such as `CodeFee_1`.
"""
_LIKELY_SHAREGPT_ID = re.compile(r"(?=[A-Za-z0-9]*(?:[0-9][A-Za-z]|[a-z][A-Z]))[A-Za-z0-9]{7}_[0-9]+")
"""An id as above, or one without capitals that is no word with a number, as a hash may be too."""

_BARE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|(?P<bare>(?<!\\)_)", re.DOTALL)
"""An underscore that Markdown would have escaped: a text with one was not converted, and keeps its backslashes."""


@dataclass(frozen=True, kw_only=True)
class ParsedTask:
    """The task of a row, or the reason why there is none.

    Attributes:
        text: Anything at all in a malformed row; None if there is no value.
        reason: Reason to drop the row.
        answer: The model's answer to it in the same conversation; None without one.
        sharegpt: The row seems to be a piece of ShareGPT, in which people ask for anything.
    """

    text: object
    reason: str | None = None
    answer: str | None = None
    sharegpt: bool = False


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of one source.

    Attributes:
        column: The column with the task.
        chat: Rows are conversations, of which only the opening turn counts.
        sharegpt: The source is ShareGPT itself, whatever its ids look like.
        configured: The user named the column, so that no other one is read.
        answered: The answer is in a column of its own, so that a program in the task is a part of it.
    """

    column: str
    chat: bool
    sharegpt: bool
    configured: bool = True
    answered: bool = False

    def read_task(self, row: Row) -> ParsedTask:
        """Read the task of a row.

        Args:
            row: The row.

        Returns:
            The task, verbatim.
        """
        layout = self.of(row)
        if layout is None:
            return ParsedTask(text=None, reason="ambiguous_task")
        try:
            return layout._read(row)
        except UnreadableTurnsError as error:
            return ParsedTask(text=None, reason=str(error))

    def of(self, row: Row) -> "Layout | None":
        """Return the layout of a row, which may come from another file, or part, of a mixed dataset.

        Args:
            row: The row.

        Returns:
            This layout, or that of the only other column that may be the task, where the row has nothing in this one;
            None if there are several.
        """
        if self.configured or is_given(row.get(self.column)):
            return self
        # Beside other columns an answer that was chosen is one in a text.
        given = [name for name in row if is_given(row[name]) and (name != "chosen" or not isinstance(row[name], str))]
        candidates = task_columns(given)
        if len(candidates) != 1:
            return None if candidates else self
        return replace(self, column=candidates[0], chat=candidates[0] in CHATS or "first_turn" in row)

    def _read(self, row: Row) -> ParsedTask:
        value = _unquoted(row.get(self.column), certain=self.column in CHATS)
        turns = self._turns(value)
        task = ParsedTask(text=value) if turns is None else _opening(turns)
        if turns is None and isinstance(listed := list_of(value), list):  # perhaps as the text of a CSV
            is_parts = all(isinstance(part, dict) for part in listed)
            task = ParsedTask(text=(plain_text(listed) if is_parts else None) or listed)
        text = task.text
        if task.reason or not isinstance(text, str):
            return task
        if turns is None and is_transcript(text, answered=self.answered or _has_answer(row, text)):
            return ParsedTask(text=None, reason="unreadable_turns")
        text = asked_in(text) if turns is None else text
        name = str(row.get("id"))
        is_first_piece = has_sharegpt_shape(turns) and name.endswith("_0")
        shown = self.sharegpt or isinstance(truth_of(row.get("first_turn")), bool)
        sharegpt = self.chat and (shown or (is_first_piece and SHAREGPT_ID.fullmatch(name) is not None))
        if sharegpt and not any(one["bare"] for one in _BARE.finditer(text)):
            text = text.replace("\\_", "_")  # ShareGPT was converted through Markdown, which escaped underscores
        inputs = INPUTS if self.column.lower() == "instruction" else ()
        if more := [given for one in inputs for name in row if name.lower() == one and (given := _input(row[name]))]:
            text = "\n\n".join([text.rstrip(), *more])
        likely = is_first_piece and _LIKELY_SHAREGPT_ID.fullmatch(name) is not None
        return replace(task, text=text, sharegpt=sharegpt or likely)

    def named_language(self, row: Row) -> str | None:
        """Read the programming language that the row names.

        Args:
            row: The row.

        Returns:
            The language in lower case, without a version; None if no column names one.
        """
        columns = [name for name in row if name in _LANGUAGE_COLUMNS]
        found = _language([named for name in columns for named in _named(name, row[name])])
        return found or _language([named for name in row if name in _METADATA_COLUMNS for named in _within(row[name])])

    def _turns(self, value: object) -> list[Turn] | None:
        """Return the turns of a value; None for plain text and for a missing value."""
        chat, is_text = self.column in CHATS, isinstance(value, str)
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


def detect_layout(columns: Collection[str], column: str | None, where: str, *, sharegpt: bool = False) -> Layout:
    """Detect the layout from the names of a source's columns.

    Args:
        columns: The existing columns.
        column: The column with the task; None detects it.
        where: The source, for the message.
        sharegpt: Whether the source is ShareGPT.

    Returns:
        The layout.

    Raises:
        InstructionsError: The column does not exist, or none or several qualify; the message lists the existing ones.
    """
    existing = ", ".join(sorted(columns)) or "none"
    if column is not None and column not in columns:
        raise InstructionsError(
            f"{where} has no column {column!r}; its columns: {existing}. Name one with `SOURCE:COLUMN`"
        )
    configured = column is not None
    if column is None:
        candidates = task_columns(columns)
        if len(candidates) != 1:
            problem = (
                f"has several possible task columns, {' and '.join(candidates)}"
                if candidates
                else "has no known task column"
            )
            raise InstructionsError(f"{where} {problem}; its columns: {existing}. Name one with `SOURCE:COLUMN`")
        column = candidates[0]
    chat = column in CHATS or "first_turn" in columns
    return Layout(column=column, chat=chat, sharegpt=sharegpt, configured=configured)


def task_columns(columns: Collection[str]) -> list[str]:
    """Return the columns that may contain the task.

    Args:
        columns: Columns of a source, or of a row.

    Returns:
        Those of the first kind that is there: conversations, texts, or else the first of less usual names.
    """
    chats = [name for name in _CHAT_COLUMNS if name in columns]
    texts = chats or [name for name in _TEXT_COLUMNS if name in columns]
    return texts or [name for name in _OTHER_COLUMNS if name in columns][:1]


def is_given(value: object) -> bool:
    """Tell whether a cell may hold a task.

    Args:
        value: The cell.

    Returns:
        False for a missing or empty value, and for numbers and truth values, such as a count of turns.
    """
    return bool(value) and not isinstance(value, int | float)


def _opening(turns: list[Turn]) -> ParsedTask:
    """Return the first turn of a conversation, if a person has it.

    Skipped are empty turns, and what is said to a model besides: system messages, tools, documents.
    """
    for number, turn in enumerate(turns, start=1):
        if turn.speaker in SYSTEM | RESULTS or (turn.text is not None and not turn.text.strip()):
            continue
        if turn.speaker in HUMAN:
            answer = next((one.text for one in turns[number:] if one.speaker in MODEL - RESULTS and one.text), None)
            return ParsedTask(text=turn.text, reason="not_text" if turn.text is None else None, answer=answer)
        begins_with_answer = turn.speaker in MODEL
        return ParsedTask(text=None, reason="not_first_turn" if begins_with_answer else "unknown_speaker")
    return ParsedTask(text=None)


def has_sharegpt_shape(turns: list[Turn] | None) -> bool:
    """Tell whether a conversation is stored as ShareGPT does.

    Args:
        turns: The turns of a row; None if it has none.

    Returns:
        True if each of them is, with `from` and `value`.
    """
    return bool(turns) and all(turn.from_value for turn in turns or ())


def _unquoted(value: object, *, certain: bool) -> object:
    """Return the text in a text that is JSON of one; where it may be a quotation, only if it has an escape."""
    if not isinstance(value, str) or value.lstrip()[:1] != '"' or not (certain or "\\" in value):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _has_answer(row: Row, text: str) -> bool:
    """Return whether the answer to a task is in a column of its own, and not in the task's text."""
    answers = [row[name] for name in row if name in _ANSWERS]
    return any(isinstance(one, str) and one.strip() and one.strip() not in text for one in answers)


def _input(value: object) -> str:
    """Return what a column of inputs adds to a task: a text as it stands, any other value as JSON; "" for none."""
    if isinstance(value, str):
        return "" if value.strip().strip(".").lower() in _NO_INPUT else value
    if value is None or value != value or value in ([], {}):  # pandas writes NaN for a missing value
        return ""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (RecursionError, ValueError, TypeError) as error:
        raise UnreadableTurnsError("not_text") from error


def _language(named: Collection[str | None]) -> str | None:
    """Return the programming language that values name; of several, Python."""
    languages = [language for language in named if language]
    return "python" if "python" in languages else next(iter(languages), None)


def _named(column: str, value: object) -> list[str | None]:
    """Return the programming languages that a language column's value names."""
    return [programming_language(text, certain=column in _CODE_LANGUAGE_COLUMNS) for text in _texts(value)]


def _within(value: object, depth: int = 0) -> list[str | None]:
    """Return the languages in an object, or in JSON of one, that stand under the names of language columns."""
    if isinstance(value, str) and value.strip()[:1] == "{":
        value = literal_of(value.strip(), None)
    if not isinstance(value, dict) or depth == _DEEPEST:
        return []
    own = [named for name, one in value.items() if name in _LANGUAGE_COLUMNS for named in _named(name, one)]
    return own or [named for one in value.values() for named in _within(one, depth + 1)]


def _texts(value: object) -> list[str]:
    """Return the strings of a value: the value itself, or those of a list, of an object, or of a list of objects."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    parts = value if isinstance(value, list) else []
    inside = chain.from_iterable(part.values() if isinstance(part, dict) else (part,) for part in parts)
    return [text for text in inside if isinstance(text, str)]
