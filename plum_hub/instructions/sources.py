"""Open a source of instructions: resolve its revision, clean its rows, report drops, select a subset.

A source is one of
- `starter`: the tasks that ship with the package;
- `oss-instruct`, `evol-instruct-code`, `sharegpt`: the paper's three, from the Hub (`hub.KNOWN_DATASETS`);
- `NAMESPACE/NAME[@REVISION][:COLUMN]`: any dataset on the Hub, or its address (`addresses.parse_source`);
- `PATH[:COLUMN]`: a local file, folder or pattern (`local.find_local`).
"""

import os
import re
from array import array
from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, field_validator

from plum_hub.errors import InstructionsError, perhaps
from plum_hub.home import expanded
from plum_hub.instructions import hub
from plum_hub.instructions.addresses import DatasetAddress, LocalAddress, parse_source
from plum_hub.instructions.duplicates import SeenTexts
from plum_hub.instructions.file_kinds import FORMATS
from plum_hub.instructions.files import read_rows
from plum_hub.instructions.filters import asks_for_testable_code, concerns_python, mentions_python, shows_python
from plum_hub.instructions.layouts import (
    COLUMNS,
    ID_COLUMNS,
    Layout,
    ParsedTask,
    detect_layout,
    is_given,
    task_columns,
)
from plum_hub.instructions.local import LocalRows, find_local, find_part, is_local, is_pattern
from plum_hub.instructions.pieces import with_continuations
from plum_hub.instructions.tables import Row
from plum_hub.records import Drop, Instruction, digest
from plum_hub.refusal import SettingsModel
from plum_hub.spool import Spool

STARTER = Path(__file__).with_name("starter.jsonl")

_REVISION = len("sha256:") + 16
"""Characters of the revision of local files."""
_SHA256 = re.compile(r"sha256:([0-9a-f]{16,64})|([0-9a-f]{64})", re.IGNORECASE)
"""A revision of local files as it may be written; the first 16 digits count. 40 digits alone are a commit."""
_ONLY_IMPORTS = re.compile(r"(?:(?:import \w|from [\w.]+ import )[^\n]*(?:\n\s*|\Z))+")
"""What a dataset of LeetCode's problems has in `prompt`, beside the task in another column."""
_DEFAULT_SPLITS = ("train",)
_PEEKED_ROWS = 1000
"""Rows besides the first that are searched for a column."""


class InstructionsConfig(SettingsModel):
    """The instructions of a run."""

    source: str = "oss-instruct"
    """`starter`, `oss-instruct`, `evol-instruct-code`, `sharegpt`, a Hub dataset `NAMESPACE/NAME[@REVISION][:COLUMN]`
    (also its address in a browser, `hf://datasets/NAMESPACE/NAME[@REVISION]/PATH`, or with `?config=CONFIG&split=SPLIT`
    before the column), or a local file, folder or pattern, `PATH[:COLUMN]`.
    """

    revision: str | None = None
    """Commit, tag or branch of a Hub dataset; `sha256:…` of a file or of the files of a folder, which must then be
    unchanged: 16 hex digits or more, of which 16 count, or what `sha256sum` prints of a file. Takes precedence over an
    `@` in `source`. A run seals the resolved revision here. Default: the known commit of a named source, else `main`.
    """

    column: str | None = None
    """Column that contains the task. Takes precedence over a `:` in `source`. Default: `conversations` or `messages`
    if there is one of them, else the only one of `instruction`, `prompt`, `problem`, `text`, `question`, else the first
    of `conversation`, `dialog`, `dialogue`, `chat`, `turns`, `query`, `chosen`. A conversation, in any shape, gives the
    first turn of a person, if the model does not speak before.
    """

    splits: tuple[str, ...] = Field(default=_DEFAULT_SPLITS, min_length=1)
    """Splits of a Hub dataset, or of a local folder, that are read, in order. Others than `train` take precedence over
    a `?split=` in `source`. Named sources and files have none.
    """

    limit: int | None = Field(default=None, ge=1)
    """Maximum number of instructions, selected by `seed` after cleaning. Default: all."""

    python_only: bool = True
    """Remove tasks for other programming languages, by the language column where there is one, else by keywords; and
    conversations without a sign of Python in the task and in the first answer to it (in ShareGPT: in the task).
    """

    requests_only: bool | None = None
    """Remove tasks that ask for no function, class, algorithm or program that tests can judge, by keywords. Default:
    those of ShareGPT, whose people ask for anything.
    """

    near_duplicates: float = Field(default=0.8, gt=0, le=1)
    """Jaccard similarity, of character 5-grams, from which a task duplicates an earlier one; 1.0 removes only exact
    duplicates.
    """

    seed: int = 0
    """Seed of the selection by `limit`: the instructions with the lowest hashes, so that rows added to the source
    later displace few of them.
    """

    min_characters: int = Field(default=20, ge=1)
    """Minimum length of a task, in characters; shorter tasks are removed."""

    max_characters: int = Field(default=6000, ge=1)
    """Maximum length of a task, in characters; longer tasks are removed, because they would not fit beside an answer
    in a small model's context.
    """

    held_out: float = Field(default=0.0, ge=0, lt=1)
    """Fraction of the instructions that form the part `held_out`; the others form `training`. An instruction's own
    hash decides, so that it is on the same side in every source. Near-duplicates are removed before the split.
    """

    part: Literal["all", "training", "held_out"] = "all"
    """Part of the instructions that the run uses."""

    @field_validator("revision")
    @classmethod
    def _as_sealed(cls, revision: str | None) -> str | None:
        found = _SHA256.fullmatch(revision or "")
        return f"sha256:{found[1] or found[2]}".lower()[:_REVISION] if found else revision

    def selects(self, instruction_id: str) -> bool:
        """Return whether an instruction belongs to the configured part.

        Args:
            instruction_id: Id of the instruction.

        Returns:
            Always True for the part `all`.
        """
        held_out = int(digest("held out", instruction_id), 16) < self.held_out * 2**64
        return self.part == "all" or held_out == (self.part == "held_out")


@dataclass(kw_only=True)
class LoadedInstructions:
    """An opened source.

    Attributes:
        revision: The revision to seal in the recipe: a commit, or `sha256:` and 16 hex digits for a file.
        license: License of the dataset, if declared.
        name: Name of the source, for messages.
        columns: Column names of the first row, or of the first rows together if that row lacks the task's column.
        rows: Drops as they occur, and instructions in the source's order; with a `limit`, the instructions follow
            the last drop. Can be iterated once.
        beyond_limit: Clean instructions that `limit` did not select, valid after `rows` is exhausted. They are not
            drops.
    """

    revision: str
    license: str | None
    name: str
    columns: frozenset[str]
    rows: Iterator[Instruction | Drop] = field(repr=False)
    beyond_limit: int = 0


@dataclass(frozen=True, kw_only=True)
class PaperSettings:
    """The PLUM paper's sampling settings for one instruction source.

    Attributes:
        responses: Test suites requested from the generator per instruction.
        samples: Solutions sampled from the policy per instruction.
    """

    responses: int
    samples: int


class _Place(NamedTuple):
    """Where a row of a source is."""

    number: int
    """Its number, of which its drop's id is made: of one file its line, of several its position in all."""
    file: str = ""
    """Of several files, the one that has it, and its number there, as `data/b.jsonl:3`."""

    @property
    def said(self) -> str:
        """The place in words."""
        return f"row {self.number}, {self.file}" if self.file else f"row {self.number}"


@dataclass(frozen=True, kw_only=True)
class _OpenedSource:
    """The raw rows of a source, with the provenance of its instructions."""

    name: str
    revision: str
    license: str | None
    rows: Iterator[tuple[_Place, Row]]
    column: str | None


def paper_settings(source: str) -> PaperSettings:
    """Return the PLUM paper's settings for a source.

    Args:
        source: A source as in `InstructionsConfig.source`.

    Returns:
        6 suites and 50 samples for Evol-Instruct-Code, 3 and 20 for any other source.
    """
    evol = source == "evol-instruct-code" or hub.KNOWN_DATASETS["evol-instruct-code"].repo in source
    return PaperSettings(responses=6, samples=50) if evol else PaperSettings(responses=3, samples=20)


def load(config: InstructionsConfig) -> LoadedInstructions:
    """Open a source; its rows are cleaned and selected during iteration.

    A Hub dataset is downloaded immediately, and the first row is read, so that a source without the column fails at
    once.

    Args:
        config: The source and its filters.

    Returns:
        The opened source.

    Raises:
        InstructionsError: The source is unknown, unreachable, empty, changed, or lacks the column. During
            iteration: a line is not UTF-8 or not JSON; rows yielded before are valid.
    """
    opened = _open(config)
    first = next(opened.rows, None)
    if first is None:
        raise InstructionsError(f"{opened.name} has no rows: give another --instructions, for example `starter`")
    layout, columns, peeked = _detect_layout_of_rows(first, opened, sharegpt=config.source == "sharegpt")
    cleaned = _clean(chain(peeked, opened.rows), layout, opened, config)
    loaded = LoadedInstructions(
        revision=opened.revision, license=opened.license, name=opened.name, columns=columns, rows=cleaned
    )
    if config.limit is not None:
        loaded.rows = _choose(cleaned, config.limit, config.seed, loaded)
    return loaded


def source_rows(config: InstructionsConfig, columns: Set[str]) -> Iterator[tuple[str, Row]]:
    """Read the rows behind instructions once more, with further columns.

    Args:
        config: The source, at a pinned revision.
        columns: Columns to read besides those of the instructions.

    Yields:
        The id of each text and the first row with it that is fit for an instruction, in the order of the source.

    Raises:
        InstructionsError: As `load`.
    """
    found: set[str] = set()
    for task in _read_again(config, columns):
        name = digest(task.text)
        if task.reason is None and name not in found:  # a later row of the same text is a duplicate
            found.add(name)
            yield name, task.row


def source_tasks(config: InstructionsConfig, columns: Set[str]) -> Iterator[tuple[str, Row]]:
    """Read every row of a source with its task, whether or not it is fit for an instruction.

    Args:
        config: The source.
        columns: Columns to read besides those of the instructions.

    Returns:
        The text, "" if there is none, and the row.

    Raises:
        InstructionsError: As `load`.
    """
    return ((task.text, task.row) for task in _read_again(config, columns))


def _read_again(config: InstructionsConfig, columns: Set[str]) -> Iterator["_ReadTask"]:
    opened = _open(config, columns)
    if (first := next(opened.rows, None)) is None:
        return
    layout, _, peeked = _detect_layout_of_rows(first, opened, sharegpt=config.source == "sharegpt")
    yield from _tasks(chain(peeked, opened.rows), layout, config)


def _text_of(value: object) -> str:
    """Return a text without blanks around it; a first line that is indented as others are keeps its indentation."""
    if not isinstance(value, str):
        return ""
    text = value.replace("\r\n", "\n").strip()
    begin = re.search(r"(?:\A|\n)((?:\t| {2})[ \t]*)\Z", value[: len(value) - len(value.lstrip())])
    return begin[1] + text if begin and re.search(r"\n[ \t]+\S", text) else text


def _detect_layout_of_rows(
    first: tuple[_Place, Row], opened: _OpenedSource, *, sharegpt: bool
) -> tuple[Layout, frozenset[str], list[tuple[_Place, Row]]]:
    """Detect the layout from the first row or, if that row lacks the task, from the first rows together.

    Returns the layout, the columns, and the rows that were read.
    """
    rows, columns = [first], frozenset(first[1])
    with suppress(InstructionsError):
        layout = detect_layout(columns, opened.column, opened.name, sharegpt=sharegpt)
        if opened.column is not None or is_given(first[1].get(layout.column)):
            return layout, columns, rows
    rows += islice(opened.rows, _PEEKED_ROWS)
    columns = columns.union(*(row for _, row in rows))
    given = frozenset(name for name in columns if any(is_given(row.get(name)) for _, row in rows))
    candidates = task_columns(given)
    if all(sum(is_given(row.get(name)) for name in candidates) < 2 for _, row in rows):  # each row has one of them
        given -= {*candidates[1:]}
    # A column that is empty in all rows is the task only where there is no other.
    names = given if candidates and opened.column is None else columns
    return detect_layout(names, opened.column, opened.name, sharegpt=sharegpt), columns, rows


def source_path(config: InstructionsConfig) -> str:
    """Return the path of files on this machine, as it is written.

    Args:
        config: The source.

    Returns:
        The source without its column; "" where it is none of files, or its revision does not tell.
    """
    if config.source == "starter" or config.source in hub.KNOWN_DATASETS:
        return ""
    try:
        found = parse_source(config.source)
    except InstructionsError:
        return ""
    if isinstance(found, LocalAddress):
        return config.source.removesuffix(f":{found.column}") if found.column else config.source
    # A folder that is gone looks like a repository, or like nothing.
    return config.source if (config.revision or "").startswith("sha256:") else ""


def same_files(mine: InstructionsConfig, sealed: InstructionsConfig) -> bool:
    """Tell whether a source is the files that a run was begun with, at another path.

    Args:
        mine: The source.
        sealed: That of the run. Its rows have the name of the file or folder, which must be the same, as must the
            column.

    Returns:
        True if it is.
    """
    here, there = source_path(mine), source_path(sealed)
    if not here or not there or mine.source[len(here) :] != sealed.source[len(there) :]:
        return False
    if expanded(here).name != expanded(there).name or not is_local(expanded(here)):
        return False
    return find_local(expanded(here), mine.splits).revision[:_REVISION] == sealed.revision


def is_gone(config: InstructionsConfig) -> bool:
    """Tell whether a source is of files on this machine that are not where they were.

    Args:
        config: The source.

    Returns:
        True if nothing is there.
    """
    path = source_path(config)
    return bool(path) and not is_local(expanded(path))


def _open(config: InstructionsConfig, columns: Set[str] = frozenset()) -> _OpenedSource:
    if config.source == "starter":
        return _open_local(
            find_local(STARTER), config, set(columns), name="starter", column="instruction", license_name="apache-2.0"
        )
    if (known := hub.KNOWN_DATASETS.get(config.source)) is not None:
        commit = hub.resolve(known.repo, config.revision or known.revision)
        path = hub.fetch_file(known.repo, commit, known.file)
        rows = ((_Place(number), row) for number, row in read_rows(path))
        return _OpenedSource(name=known.repo, revision=commit, license=known.license, rows=rows, column=config.column)
    found = parse_source(config.source)
    if found is None:
        near = perhaps(config.source, ("starter", *hub.KNOWN_DATASETS))
        raise InstructionsError(
            f"--instructions {config.source!r} is not a source{near}: give starter, {', '.join(hub.KNOWN_DATASETS)}, a "
            f"Hub dataset NAMESPACE/NAME[@REVISION][:COLUMN], or a file or folder of {FORMATS}"
        )
    column = config.column or found.column
    if isinstance(found, DatasetAddress):
        return _open_dataset(found, config, {column or "", *columns}, column)
    if not is_local(found.path) and not is_pattern(found.path):
        raise InstructionsError(
            f"{found.path} does not exist: give --instructions the path of a file or folder, or `starter`"
        )
    return _open_local(find_local(found.path, config.splits), config, {column or "", *columns}, column=column)


def _open_dataset(
    address: DatasetAddress, config: InstructionsConfig, columns: Set[str], column: str | None
) -> _OpenedSource:
    try:
        commit = hub.resolve(address.repo, config.revision or address.revision)
    except InstructionsError as error:
        if address.explicit:
            raise
        raise InstructionsError(f"{error}; nor is there a file or folder {address.repo} here") from error
    folder = hub.fetch_folder(address.repo, commit, address.patterns)
    if address.path:
        found = find_part(folder, address.path, address.name).rows(COLUMNS | columns)
    else:
        splits = (address.split,) if address.split and config.splits == _DEFAULT_SPLITS else config.splits
        found = hub.read_folder(folder, address.repo, COLUMNS | columns, splits, address.config)
    return _OpenedSource(
        name=address.repo,
        revision=commit,
        license=hub.declared_license(folder),
        rows=_numbered(found, str(folder)),
        column=column,
    )


def _open_local(
    found: LocalRows,
    config: InstructionsConfig,
    columns: Set[str],
    *,
    column: str | None,
    name: str | None = None,
    license_name: str | None = None,
) -> _OpenedSource:
    revision = found.revision[:_REVISION]
    if config.revision is not None and not _SHA256.fullmatch(config.revision):
        raise InstructionsError(
            f"{found.path} is no Hub dataset, and {config.revision!r} no version of it: leave `revision` out, or set "
            f"it to {revision}"
        )
    if config.revision not in (None, revision):
        raise InstructionsError(
            f"{found.path} is {revision} now, but {config.revision} is required: restore the old file, or start a new "
            "run"
        )
    return _OpenedSource(
        name=name or found.name,
        revision=revision,
        license=license_name,
        rows=_local_rows(found, COLUMNS | columns),
        column=column,
    )


def _local_rows(found: LocalRows, columns: Set[str]) -> Iterator[tuple[_Place, Row]]:
    files = found.found.files
    if found.found.directly and len(files) == 1:
        return ((_Place(number), row) for number, row in read_rows(files[0], columns))
    return _numbered(found.rows(columns), os.path.commonpath([file.parent for file in files] or [found.path]))


def _numbered(rows: Iterator[tuple[str, Row]], folder: str) -> Iterator[tuple[_Place, Row]]:
    """Number the rows of all files of a folder, and name the file of each where it is known."""
    prefix = "" if folder == "." else f"{folder}/"
    for number, (where, row) in enumerate(rows, start=1):
        yield _Place(number, where.removeprefix(prefix) if where.startswith(prefix) else ""), row


class _ReadTask(NamedTuple):
    """A row of a source, and what it asks for."""

    place: _Place
    row: Row
    text: str
    """The normalized task; "" for none."""
    reason: str | None
    """Reason to drop the row, besides duplicates."""


def _tasks(rows: Iterator[tuple[_Place, Row]], layout: Layout, config: InstructionsConfig) -> Iterator[_ReadTask]:
    for place, row, is_continuation in with_continuations(rows, layout):
        task = layout.read_task(row)
        text = _text_of(task.text)
        reason = "not_first_turn" if is_continuation else task.reason
        yield _ReadTask(place, row, text, reason or _unfit(task, text, layout.named_language(row), config))


def _clean(
    rows: Iterator[tuple[_Place, Row]], layout: Layout, opened: _OpenedSource, config: InstructionsConfig
) -> Iterator[Instruction | Drop]:
    seen = SeenTexts(config.near_duplicates)
    for place, row, text, reason in _tasks(rows, layout, config):
        text_id = digest(text)
        detail = place.said
        if reason is None and (duplicate := seen.add(text_id, text)):
            reason, detail = duplicate.kind, duplicate.original
        if reason is not None:
            drop_id = digest("instructions", opened.name, opened.revision, place.number)
            yield Drop(id=drop_id, stage="instructions", reason=reason, instruction_id=text_id, detail=detail)
            continue
        row_id = next(filter(None, (_id_of(row.get(name)) for name in ID_COLUMNS)), str(place.number))
        yield Instruction(
            id=text_id,
            text=text,
            source=opened.name,
            revision=opened.revision,
            row=row_id,
            license=opened.license,
        )


def _id_of(value: object) -> str:
    """Return an id as text, "" if there is none: pandas makes floats of integers among which one is missing."""
    if value is None or value != value:
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _unfit(task: ParsedTask, text: str, language: str | None, config: InstructionsConfig) -> str | None:
    """Return the reason to drop a row, besides duplicates, or None; `text` is the normalized task."""
    if task.text is not None and not (isinstance(task.text, str) and _is_unicode(task.text)):
        return "not_text"
    if not text or _ONLY_IMPORTS.fullmatch(text):
        return "empty"
    if len(text) < config.min_characters:
        return "too_short"
    if len(text) > config.max_characters:
        return "too_long"
    if config.python_only and not concerns_python(text, language):
        return "not_python"
    if config.python_only and language is None and not _is_about_python(task, text):
        return "no_python"
    requests_only = task.sharegpt if config.requests_only is None else config.requests_only
    return "not_a_request" if requests_only and not asks_for_testable_code(text) else None


def _is_about_python(task: ParsedTask, text: str) -> bool:
    """Return whether a task is no conversation, or one that is about Python: most conversations are not about code."""
    if mentions_python(text):
        return True
    return not task.sharegpt and (task.answer is None or shows_python(task.answer))


def _is_unicode(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8: JSON may contain a lone surrogate, files and Parquet may not."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _choose(
    cleaned: Iterator[Instruction | Drop], limit: int, seed: int, loaded: LoadedInstructions
) -> Iterator[Instruction | Drop]:
    """Pass on drops; then yield the `limit` instructions with the lowest hashes, in source order."""
    import numpy as np

    spool, hashes = Spool(), array("Q")
    for row in cleaned:
        if isinstance(row, Drop):
            yield row
        else:
            hashes.append(int(digest(seed, row.id), 16))
            spool.append(vars(row))
    selected = np.sort(np.argsort(np.frombuffer(hashes, np.uint64), kind="stable")[:limit])
    loaded.beyond_limit = len(spool) - len(selected)
    for number in selected.tolist():
        yield Instruction(**spool[number])
