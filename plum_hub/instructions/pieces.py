"""Detect rows that continue a conversation which begins in an earlier row.

ShareGPT's files are split: a piece's id ends in the position of its first turn, `_0` for an opening one. In other
sources, a number at the end of an id only counts rows. So the number is a position only in a source that shows it: some
conversation is there in pieces that follow one another, none of them beginning before the end of the one before, and
there are conversations of other names. A source that numbers all its rows under one name, such as `conv_0`, `conv_2`,
shows nothing of the kind.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from plum_hub.errors import InstructionsError
from plum_hub.instructions.cells import list_of, truth_of
from plum_hub.instructions.layouts import SHAREGPT_ID, Layout, has_sharegpt_shape
from plum_hub.instructions.tables import Row
from plum_hub.instructions.turns import Turn, UnreadableTurnsError, read_turns

_NUMBERED = re.compile(r"(?P<name>.*)_(?P<position>[0-9]{1,18})", re.DOTALL)
_PlaceT = TypeVar("_PlaceT")
_AHEAD = 1000
"""Rows that are read before the first one is decided."""


def with_continuations(rows: Iterator[tuple[_PlaceT, Row]], layout: Layout) -> Iterator[tuple[_PlaceT, Row, bool]]:
    """Tell of each row whether it is a later piece of a conversation.

    Args:
        rows: The rows of a source, in order, each with its place.
        layout: Their layout.

    Yields:
        Each row with its place, and whether the conversation starts in an earlier row. Of chats a thousand rows are
        read ahead.

    Raises:
        InstructionsError: A row cannot be read; those before it are yielded first.
    """
    shown = _ShownPieces(layout)
    waiting: deque[tuple[_PlaceT, Row, _Piece | None]] = deque()
    error: InstructionsError | None = None
    try:
        for place, row in rows:
            waiting.append((place, row, shown.observe(row)))
            if not layout.chat or len(waiting) > _AHEAD:
                place, row, piece = waiting.popleft()
                yield place, row, shown.is_continuation(row, piece)
    except InstructionsError as found:
        error = found
    for place, row, piece in waiting:
        yield place, row, shown.is_continuation(row, piece)
    if error is not None:
        raise error


@dataclass
class _Group:
    """Neighbouring rows whose ids have one name."""

    name: str
    end: int
    """Position behind the last turn."""
    counts: bool
    """Whether the numbers count rows: they do not begin at 0, or one of them is inside the row before."""
    in_pieces: bool = False
    """Whether a row follows the opening one."""


@dataclass(frozen=True)
class _Piece:
    """A row whose id ends in a number, in the shape of ShareGPT."""

    group: _Group
    name: str
    """The whole id."""
    position: int


class _ShownPieces:
    """What the rows so far show of a source's ids."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._group: _Group | None = None
        self._groups = 0
        self._in_pieces = 0
        self._counting = 0

    def observe(self, row: Row) -> _Piece | None:
        """Look at the next row."""
        found = _NUMBERED.fullmatch(str(row.get("id", ""))) if self._layout.chat else None
        turns = self._turns(row) if found else None
        if found is None or turns is None or not has_sharegpt_shape(turns):
            self._group = None
            return None
        position, group = int(found["position"]), self._group
        if group is None or group.name != found["name"]:
            group = self._group = _Group(found["name"], position + len(turns), counts=position > 0)
            self._groups += 1
        else:
            self._extend(group, position, is_sharegpt=SHAREGPT_ID.fullmatch(found[0]) is not None)
            group.end = position + len(turns)
        return _Piece(group, found[0], position)

    def _extend(self, group: _Group, position: int, *, is_sharegpt: bool) -> None:
        # An opening of one turn has no answer, so that no later piece can follow it. Of ShareGPT, turns were taken out
        # after it had been split.
        follows = position >= group.end if is_sharegpt else position == group.end
        counts = group.counts or not follows or group.end < 2
        in_pieces = not counts
        self._counting += counts and not group.counts
        self._in_pieces += in_pieces - group.in_pieces
        group.counts, group.in_pieces = counts, in_pieces

    def is_continuation(self, row: Row, piece: _Piece | None) -> bool:
        """Decide about a row that was observed, by all rows that were."""
        if isinstance(history := list_of(row.get("history")), list) and _says(history):  # earlier turns, in pairs
            return True
        if _is_given(row.get("message_id")) and _is_given(row.get("parent_id")) and len(self._turns(row) or ()) < 2:
            return True  # a turn a row, as in OpenAssistant's
        if self._layout.chat and isinstance(first_turn := truth_of(row.get("first_turn")), bool):
            return not first_turn
        if piece is None or piece.position == 0:
            return False
        if self._layout.sharegpt:
            return True
        shown = self._groups > 1 and self._in_pieces > self._counting
        return shown and (piece.group.in_pieces or SHAREGPT_ID.fullmatch(piece.name) is not None)

    def _turns(self, row: Row) -> list[Turn] | None:
        try:
            return read_turns(row.get((self._layout.of(row) or self._layout).column))
        except UnreadableTurnsError:
            return None


def _is_given(value: object) -> bool:
    """Tell whether a cell has an id: CSV files and pandas write a missing one as "" or NaN, and others as -1."""
    return value == value and str(value).strip().lower() not in ("", "none", "null", "nan", "-1")


def _says(value: object) -> bool:
    """Tell whether there is anything in a list, or in the lists and objects within it."""
    if isinstance(value, list | dict):
        return any(map(_says, value.values() if isinstance(value, dict) else value))
    return value is not None and value != "" and value == value
