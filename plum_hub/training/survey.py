"""What the rows of a training have before they are converted: their form, odd ones, and columns that are not read."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plum_hub.errors import TrainingError
from plum_hub.instructions.file_kinds import file_kind
from plum_hub.release.schemas import Method
from plum_hub.training.forms import COLUMNS, LABELLED, TURNS, Placed, form_of, needed
from plum_hub.training.lengths import TOOLS

_MEDIA = ("images", "image", "videos")
_OTHERS = (
    "chat_template_kwargs", "tool_choice", "system", "system_prompt", "system_message", "history", "functions",
    "available_tools", "documents", "completion_mask", "assistant_masks",
)  # fmt: skip
NOT_READ = frozenset(_OTHERS)
"""Columns by which TRL or others would train differently, and that are looked at for this only; of media, which are
large, only whether a table has them."""
_TABLES = ("parquet", "arrow", "feather")
_WEIGHTS = ("weight", "train", "loss")
"""Fields by which OpenAI, axolotl and ms-swift leave a turn out of the training."""
_LEARNT = ("messages", "completion", "chosen", "rejected")
"""Columns of turns that are learnt."""


@dataclass
class _Shape:
    """Rows with the same columns."""

    where: str
    """Where the first of them is."""
    columns: Set[str]
    """All of its columns."""
    label: Any
    """Its label."""
    count: int = 0

    @property
    def file(self) -> str:
        return self.where.rpartition(":")[0]


@dataclass(frozen=True)
class Survey:
    """What rows have."""

    shapes: tuple[_Shape, ...]
    """The kinds of rows; none without rows."""
    some: frozenset[str]
    """Columns that have a value in some row, and the label: empty ones do not say that every answer is right."""
    ignored: tuple[str, ...]
    """Columns by which TRL would train differently, and that are not read."""

    def form(self, method: Method) -> tuple[str, ...] | None:
        """Choose the form that a training reads.

        Args:
            method: Training method.

        Returns:
            The columns of the form that all rows have; None where rows differ in it, or have none.
        """
        kinds = {self._kind(shape, method) for shape in self.shapes}
        return kinds.pop() if len(kinds) == 1 else None

    def _kind(self, shape: _Shape, method: Method) -> tuple[str, ...] | None:
        return form_of(shape.columns & self.some, method)

    def refuse_odd_row(self, method: Method) -> None:
        """Refuse the first row of another form than most rows.

        Args:
            method: Training method.

        Raises:
            TrainingError: Some rows have another form, or none. Nothing is raised where no row has one.
        """
        counts: dict[tuple[str, ...] | None, int] = {}
        for shape in self.shapes:
            kind = self._kind(shape, method)
            counts[kind] = counts.get(kind, 0) + shape.count
        usual = max((kind for kind in counts if kind), key=lambda kind: counts[kind], default=None)
        if usual is None:
            return
        if LABELLED in counts and (wrong := next((one for one in self.shapes if _is_wrong(one)), None)):
            raise TrainingError(
                f"{wrong.where}: has {', '.join(sorted(wrong.columns))}, and its label is {wrong.label!r:.60}, "
                "where other rows have true or false: fix the row, or leave it out"
            )
        odd = next(shape for shape in self.shapes if self._kind(shape, method) != usual)
        most = next(shape for shape in self.shapes if self._kind(shape, method) == usual)
        has = f"has {', '.join(sorted(odd.columns)) or 'nothing'}"
        lacks = [name for name in usual if name not in odd.columns & self.some]
        more = [name for name in self._kind(odd, method) or () if name not in most.columns]
        differs = f", and lacks {', '.join(lacks)}, which other rows have" if lacks else ""
        differs = differs or f", and other rows have no {', '.join(more) or 'such columns'}"
        raise TrainingError(f"{odd.where}: {has}{differs}: {self._remedy(odd, most, method)}")

    def _remedy(self, odd: _Shape, most: _Shape, method: Method) -> str:
        """Say what mends an odd row: a file by itself, as `views --out` writes one for each method, has no other."""
        if odd.file == most.file or not Path(odd.file).is_file():
            return "fix the row, or leave it out"
        named = next((one.file for one in self.shapes if Path(one.file).stem == method), most.file)
        return f"the rows of these files are of different forms: name one, such as {named}"


def _is_wrong(shape: _Shape) -> bool:
    """Tell whether the rows have a label that is no truth value."""
    return "label" in shape.columns and shape.label not in (True, False, None)


def survey(rows: Placed) -> Survey:
    """Find out what rows have.

    Args:
        rows: Rows in TRL's standard forms, each with where it is.

    Returns:
        What they have.
    """
    shapes: dict[tuple[frozenset[str], bool], _Shape] = {}
    some: set[str] = set()
    ignored: set[str] = set()
    for where, row in rows:
        some.update(name for name, value in row.items() if value is not None or name == "label")
        made = _Shape(where, row.keys(), row.get("label"))
        shape = shapes.setdefault((frozenset(COLUMNS & row.keys()), _is_wrong(made)), made)
        shape.count += 1
        ignored.update(_ignored(row, where))
    order = (*_OTHERS, *_MEDIA, TOOLS)
    named = (*(name for name in order if name in ignored), *sorted(ignored.difference(order)))
    return Survey(tuple(shapes.values()), frozenset(some), named)


def _ignored(row: Mapping[str, Any], where: str) -> Iterable[str]:
    """Name what a row has that is not read, and would change the training."""
    yield from (name for name in (*_OTHERS, *_MEDIA) if _is_given(row.get(name)))
    media = [name for name in _MEDIA if name in row]
    if media and file_kind(where.rpartition(":")[0]).format in _TABLES:
        yield from media
    for column in _LEARNT:
        turns = row.get(column)
        for turn in turns if isinstance(turns, list) else ():
            fields = turn.keys() & set(_WEIGHTS) if isinstance(turn, dict) else ()
            yield from (f"{name} of {column}" for name in fields if turn[name] in (0, False))
    if _is_given(row.get(TOOLS)) and not any(isinstance(row.get(name), list) for name in TURNS - {TOOLS}):
        yield TOOLS  # no chat template is applied to a plain-text prompt


def _is_given(value: Any) -> bool:
    """Tell whether a value says something; pandas has NaN where it does not."""
    return bool(value) and value == value


def lacking(found: Survey, method: Method, rows: Iterable[Mapping[str, Any]]) -> str:
    """Say which columns a method needs, and which there are instead.

    Args:
        found: What the rows have in TRL's forms.
        method: Training method.
        rows: The rows as they are in the file.

    Returns:
        A sentence.
    """
    have: set[str] | None = None
    some: set[str] = set()
    for row in rows:
        have = set(row) if have is None else have & row.keys()
        some.update(name for name, value in row.items() if value is not None and value == value)
    own = have or set()
    empty = sorted(own & COLUMNS - some)
    nulls = f" ({', '.join(empty)} null in all of them)" if empty else ""
    every = found.shapes[0].columns & found.some
    for shape in found.shapes:
        every &= shape.columns
    return (
        f"{method} needs in every row {needed(every, method)}; every row has "
        f"{', '.join(sorted(map(str, own))) or 'nothing'}{nulls}: rename columns, or add what is missing"
    )
