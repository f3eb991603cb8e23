"""The run folder: rows in append-only files, one for each kind of row, and the sealed recipe that made them.

    runs/NAME/
      recipe.yaml  recipe.sha256          the resolved recipe, and the seal that detects an edit
      shards/NNNNN/<kind>.jsonl           instructions responses suites strengths roles votes additions samples verdicts
                                          preferences dropped
      shards/NNNNN/cached_tokens.jsonl    tokens of prompts that a server had in its cache, by the id of the answer
      shards/NNNNN/carried_over.jsonl     ids of the answers that another run had paid for
      shards/NNNNN/comparisons.jsonl      the benchmarks that its rows were compared with
      release/dataset/                    exactly the tree that is pushed
      releases.jsonl                      where it was published
      moved.json                          where files of the recipe lie that are not where it says
      environments.jsonl                  versions of Python and packages, one line for each set that made rows
      batches/                            a record of each batch that was sent to a server's Batch API
      logs/001.log                        one for each start

A shard holds a fixed slice of the instructions, and all rows that are made of them. It is what a stage holds in memory
and what a worker works on; no row depends on it. Readers of a run go over its shards in order. Rows are appended to one
shard: to a view of it (`Run.shards`), or to a run that has only one.

Resuming needs no state of its own: what is on disk is done, and the rest is still to be made (law 5). A last line
without a newline was cut short by a kill; it is removed and its row made again. Any other invalid line is an error that
names the file and the line.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from shlex import quote
from threading import Lock
from typing import TYPE_CHECKING, Any

from plum_hub import layers
from plum_hub import recipe as recipes
from plum_hub.column_store import ColumnStore
from plum_hub.columns import LineError, RecordSchema, has_conversations
from plum_hub.environment import installed_versions
from plum_hub.errors import RunError, perhaps
from plum_hub.files import link_out, locked, write_whole, writing
from plum_hub.home import expanded
from plum_hub.instructions.local import is_local
from plum_hub.lines import appending, appending_lines, object_of, whole_blocks, whole_lines, without_checksum
from plum_hub.recipe import Recipe
from plum_hub.records import (
    Drop,
    Instruction,
    KeptT,
    Preference,
    Record,
    RecordT,
    Response,
    Sample,
    SuiteAddition,
    SuiteRoles,
    SuiteStrength,
    SuiteVote,
    TestSuite,
    Verdict,
    from_json,
    to_json,
)
from plum_hub.remedies import made_anew

if TYPE_CHECKING:
    import pyarrow as pa

FILES: dict[type, str] = {
    Instruction: "instructions",
    Response: "responses",
    TestSuite: "suites",
    SuiteStrength: "strengths",
    SuiteRoles: "roles",
    SuiteVote: "votes",
    SuiteAddition: "additions",
    Sample: "samples",
    Verdict: "verdicts",
    Preference: "preferences",
    Drop: "dropped",
}
"""Name of the file of each kind of record, without its ending."""

_FIRST = "00000"
_SHARD = re.compile(r"\d{5,}")
_ENVIRONMENTS = "environments.jsonl"
_MOVED = "moved.json"
CACHED = "cached_tokens.jsonl"
"""File of a shard with the tokens of prompts that a server had in its cache: `id` of the answer, and `cached_tokens`.
Earlier versions had one for the whole run."""
CARRIED = "carried_over.jsonl"
"""File of a shard with the ids of the answers that were taken over from another run."""
COMPARISONS = "comparisons.jsonl"
"""File of a shard with the benchmarks that its rows were compared with."""
_SHARD_FILES = {CACHED, CARRIED, *(f"{name}.jsonl" for name in FILES.values())}
_UNFINISHED = {"shards", "recipe.sha256", "recipe.yaml.new"}
"""The files of a run that was killed while it was created; it may be created again."""


class Run:
    """A run folder. Use `create` or `open` to make an instance.

    Args:
        folder: The folder.
        recipe: Its sealed recipe.
        names: Names of the shards that this view of the run is limited to; empty for all.
    """

    echo: Callable[[str, bytes], None] | None = None
    """Is given the name of the file and the line of each row before it is appended: where the run is a copy on another
    machine, its rows go to the run itself."""
    makes_rows: bool = True
    """Whether rows that are appended are made by this process; False where they are copied, with the versions of the
    packages that made them."""

    recipe: Recipe
    """The recipe to work by: the sealed one, with the paths where its files lie now (`found_at`)."""
    sealed: Recipe
    """The recipe as the run keeps it, with the paths that its files had when the run began."""

    def __init__(self, folder: Path, recipe: Recipe, names: Sequence[str] = ()) -> None:
        self.folder = folder
        self.recipe = self.sealed = recipe
        self._limited = tuple(names)
        self._store = ColumnStore()
        self._recording = Lock()  # stages judge and sample at the same time
        self._recorded = False

    @classmethod
    def create(cls, folder: Path, recipe: Recipe) -> "Run":
        """Create a run folder and seal a recipe into it.

        Args:
            folder: A folder that does not exist, is empty, or holds a run that was killed while it was created.
            recipe: The recipe, with defaults filled in and revisions pinned.

        Returns:
            The run.

        Raises:
            RunError: The folder cannot be written, or holds something else.
        """
        if (folder / "recipe.yaml").exists():
            raise RunError(f"{folder}: holds a run already; name another folder with --run DIR")
        if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - _UNFINISHED):
            raise RunError(f"{folder}: exists and is not a run folder; name another folder with --run DIR")
        text = recipe.to_yaml()
        with writing(folder):
            (folder / "shards" / _FIRST).mkdir(parents=True, exist_ok=True)
            (folder / "recipe.sha256").write_text(recipes.seal(text) + "\n")
            temporary = folder / "recipe.yaml.new"
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(folder / "recipe.yaml")  # last: a folder with a recipe is a complete run
        return cls(folder, recipe)

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open an existing run.

        Args:
            folder: The folder.

        Returns:
            The run.

        Raises:
            RunError: There is no run, or its recipe was edited after it was sealed.
            RecipeError: The recipe cannot be read.
        """
        path = folder / "recipe.yaml"
        if not path.is_file():
            raise RunError(f"{folder}: {_no_run(folder)}; make one with  plum-hub build-dataset")
        text = layers.read(path)
        sealed = folder / "recipe.sha256"
        if not sealed.is_file() or sealed.read_bytes().strip() != recipes.seal(text).encode():
            raise RunError(
                f"{path}: was edited, or damaged, after the run began, so its rows and its recipe no longer belong "
                f"together; restore it, or start a new run that keeps what is still valid:  {made_anew(folder)}"
            )
        _refuse_link(folder)
        return cls(folder, recipes.parse(text, str(path)))._at_hand(_places(folder))

    def found_at(self, given: Recipe) -> "Run":
        """Read files of the recipe where another recipe names them, from now on and on this machine.

        Args:
            given: A recipe that agrees with that of the run.

        Returns:
            The run.

        Raises:
            RunError: The folder cannot be written.
        """
        known = _places(self.folder)
        moved = self.sealed.moved(given)
        back = {old for old in known if old not in moved and is_local(expanded(old))}
        places = {old: new for old, new in {**known, **moved}.items() if old not in back}
        if places != known:
            write_whole(self.folder / _MOVED, json.dumps(places, indent=1, ensure_ascii=False) + "\n")
        return self._at_hand(places)

    def _at_hand(self, places: Mapping[str, str]) -> "Run":
        """Name the files of the recipe where they are."""
        self.recipe = self.sealed.at({old: new for old, new in places.items() if is_local(expanded(new))})
        return self

    @classmethod
    def donor(cls, folder: Path) -> "Run":
        """Open a run to take rows over from. Its recipe may have been edited, since rows are matched by their own ids.

        Args:
            folder: The folder.

        Returns:
            The run.

        Raises:
            RunError: There is no run.
            RecipeError: The recipe cannot be read.
        """
        path = folder / "recipe.yaml"
        if not path.is_file():
            raise RunError(f"{folder}: {_no_run(folder)}; name an older run with --carry-over")
        _refuse_link(folder)
        return cls(folder, recipes.parse(layers.read(path), str(path)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the shards, in order; at least one."""
        if self._limited:
            return self._limited
        folder = self.folder / "shards"
        found = sorted(path.name for path in folder.iterdir() if _SHARD.fullmatch(path.name)) if folder.is_dir() else []
        return tuple(found) or (_FIRST,)

    @property
    def shards(self) -> "tuple[Run, ...]":
        """A view of each shard, in order; the run itself if it has only one."""
        names = self.names
        return (self,) if len(names) == 1 else tuple(self.limited([name]) for name in names)

    def limited(self, names: Sequence[str]) -> "Run":
        """View some shards of the run.

        Args:
            names: Their names, at least one.

        Returns:
            The same run, of which only these shards are read.
        """
        view = Run(self.folder, self.recipe, names)
        view.sealed = self.sealed
        view.echo, view.makes_rows, view._store = self.echo, self.makes_rows, self._store
        return view

    def shard(self, number: int) -> "Run":
        """View one shard, which is made where it is missing.

        Args:
            number: Its position among the shards, from 0.

        Returns:
            The view.

        Raises:
            RunError: The folder cannot be written.
        """
        name = f"{number:05}"
        with writing(self.folder):
            (self.folder / "shards" / name).mkdir(parents=True, exist_ok=True)
        return self.limited([name])

    def path(self, kind: type[Record]) -> Path:
        """Return the path of the file that holds a kind of row of a shard.

        Args:
            kind: The record class.

        Returns:
            The path; the file may not exist yet.

        Raises:
            ValueError: This is a view of several shards, which have a file each.
        """
        return self.own_folder / f"{FILES[kind]}.jsonl"

    @property
    def own_folder(self) -> Path:
        """Folder of the shard that this is a view of.

        Raises:
            ValueError: This is a view of several shards.
        """
        names = self.names
        if len(names) > 1:
            raise ValueError(f"{self.folder}: has {len(names)} shards; choose one of Run.shards")
        return self.folder / "shards" / names[0]

    def has(self, kind: type[Record]) -> bool:
        """Tell whether the stage that makes a kind of row has begun.

        Args:
            kind: The record class.

        Returns:
            True if a shard has a file for such rows, which may be empty.
        """
        return any(shard.path(kind).exists() for shard in self.shards)

    def rows(self, kind: type[RecordT]) -> Iterator[RecordT]:
        """Read the rows of a kind.

        Args:
            kind: The record class.

        Yields:
            Every complete row: shard by shard, in the order in which they were made.

        Raises:
            RunError: A complete line is not such a row.
        """
        for shard in self.shards:
            for number, line in whole_lines(shard.path(kind)):
                try:
                    yield from_json(kind, object_of(line))
                except (ValueError, TypeError, AttributeError) as error:
                    raise shard._damaged(kind, number, error) from error

    def tables(self, kind: type[Record]) -> "Iterator[pa.Table]":
        """Read the rows of a kind as Arrow tables of some megabytes.

        Args:
            kind: The record class.

        Yields:
            Tables of all complete rows: shard by shard, in the order in which they were made.

        Raises:
            RunError: A complete line is not such a row, or a value does not have the type of its column.
        """
        chat = kind is Preference and self._is_conversational()
        schema = RecordSchema.of(kind, conversational=chat)
        for shard in self.shards:
            yield from shard._parsed(kind, schema)

    def _is_conversational(self) -> bool:
        """Return whether the first prompt of a preference is a conversation, and so all are."""
        blocks = (block for shard in self.shards for _, block in whole_blocks(shard.path(Preference), 1 << 16))
        return has_conversations(next(blocks, b"").partition(b"\n")[0])

    def _parsed(self, kind: type[Record], schema: RecordSchema) -> "Iterator[pa.Table]":
        """Parse the rows of a kind of a shard, and keep their small columns."""

        def tables() -> "Iterator[pa.Table]":
            for number, block in whole_blocks(self.path(kind)):
                try:
                    yield schema.read(block)
                except LineError as error:
                    raise self._damaged(kind, number + error.line, error) from error

        return self._store.keeping(self.path(kind), tables())

    def matching(self, kind: type[Record], key: str, wanted: Iterable[Sequence[str]]) -> "Iterator[pa.Table]":
        """Look rows of a shard up by the value of a column. Only their positions in the file are kept in memory.

        Args:
            kind: The record class.
            key: The column, whose values are unique.
            wanted: Lists of values.

        Yields:
            For each list, a table of the rows with these values, in the order of the list.

        Raises:
            RunError: A complete line is not such a row, or a value does not have the type of its column.
            KeyError: There is no row with such a value.
        """
        path, offsets, offset = self.path(kind), {}, 0
        for (name,), (_, line) in zip(self.columns(kind, key), whole_lines(path), strict=True):
            offsets[name] = offset
            offset += len(line)
        schema = RecordSchema.of(kind)
        with path.open("rb") as file:
            for names in wanted:
                lines = []
                for name in names:
                    file.seek(offsets[name])
                    lines.append(file.readline())
                try:
                    yield schema.read(b"".join(lines))
                except LineError as error:
                    before = path.read_bytes()[: offsets[names[error.line]]]
                    raise self._damaged(kind, before.count(b"\n") + 1, error) from error

    def columns(self, kind: type[Record], *names: str) -> Iterator[tuple[Any, ...]]:
        """Read some columns of a kind of row.

        Args:
            kind: The record class.
            names: Names of the columns.

        Yields:
            The values of each row, in the order of `names`.

        Raises:
            RunError: A complete line is not such a row.
        """
        for shard in self.shards:
            for table in self._store.read(shard.path(kind), names) or shard.tables(kind):
                yield from zip(*(table[name].to_pylist() for name in names), strict=True)

    def ids(self, kind: type[Record]) -> set[str]:
        """Read the ids of a kind of row.

        Args:
            kind: The record class.

        Returns:
            The ids of all complete rows.

        Raises:
            RunError: A complete line is not such a row.
        """
        return {name for (name,) in self.columns(kind, "id")}

    def _damaged(self, kind: type[Record], number: int, why: object) -> RunError:
        # What was left out because of a benchmark comes back only if it is compared again.
        more = f", and {self.own_folder / COMPARISONS}, if there," if kind is Drop else ""
        mend = f"delete this line{more} and run the same command again to make its row again"
        if kind in (SuiteStrength, SuiteAddition):  # made when a suite is decided, which this one is
            mend = "restore the file, or delete this line: its row is not made again, and is missing in what is counted"
        if any(_is_intact(line) for at, line in whole_lines(self.path(kind)) if at == number):
            mend = f"it is as it was written, by another version of plum-hub: use that one, which {_ENVIRONMENTS} names"
        return RunError(f"{self.path(kind)}:{number}: not a row of {FILES[kind]} ({why}); {mend}")

    def drop_reasons(self) -> Counter[tuple[str, str]]:
        """Count the rows that were left out.

        Returns:
            The number of rows for each stage and reason.
        """
        return Counter(self.columns(Drop, "stage", "reason"))

    @contextmanager
    def appending(self, kind: type[RecordT]) -> Iterator[Callable[[RecordT], None]]:
        """Open the file of a kind of row for appending.

        Args:
            kind: The record class.

        Yields:
            A function that appends one row and hands it to the operating system before it returns.

        Raises:
            RunError: The file cannot be written, as on a full disk. Rows that were appended before are kept.
        """
        with self.appending_to(self.path(kind).name) as append:

            def keep(row: RecordT) -> None:
                self._record_environment()
                append(to_json(row))

            yield keep

    @contextmanager
    def appending_to(self, name: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Open a file of a shard for appending.

        Args:
            name: Its name.

        Yields:
            A function that appends one JSON object, as in `appending`.

        Raises:
            RunError: The file cannot be written. Rows that were appended before are kept.
        """
        with appending(self.own_folder / name, self._echo_of(name)) as append:
            yield append

    def _echo_of(self, name: str) -> Callable[[bytes], None] | None:
        return None if self.echo is None else partial(self.echo, name)

    @contextmanager
    def accepting(self) -> Iterator[Callable[[str, bytes], None]]:
        """Open a shard for the rows that another machine has made of it, as its `echo` gave them.

        Yields:
            A function that appends lines to the file of a name.

        Raises:
            RunError: A file cannot be written, or a name is none of a run's files. Lines appended before are kept.
        """
        with ExitStack() as opened:
            appends: dict[str, Callable[[bytes], None]] = {}

            def accept(name: str, lines: bytes) -> None:
                if name == _ENVIRONMENTS:
                    for line in lines.splitlines():
                        self.record_environment(object_of(line))
                    return
                if name not in appends:
                    if name not in _SHARD_FILES:
                        raise RunError(f"{self.folder}: another machine gave rows of {name!r}, which no run has")
                    appends[name] = opened.enter_context(appending_lines(self.own_folder / name))
                appends[name](lines)

            yield accept

    def environments(self) -> Iterator[dict[str, str]]:
        """Read the sets of package versions that made rows.

        Yields:
            Versions by package name, in the order in which each set was first used.

        Raises:
            RunError: A line is damaged.
        """
        path = self.folder / _ENVIRONMENTS
        for number, line in whole_lines(path):
            try:
                yield {str(name): str(version) for name, version in object_of(line).items()}
            except ValueError as error:
                raise RunError(f"{path}:{number}: not a set of package versions ({error}); restore the file") from error

    def _record_environment(self) -> None:
        """Record the installed versions before the first row that this process makes."""
        with self._recording:
            if self.makes_rows and not self._recorded:
                self.record_environment(installed_versions())
                self._recorded = True

    def record_environment(self, versions: dict[str, str]) -> None:
        """Record a set of package versions that made rows, unless it is known.

        Args:
            versions: Versions by package name.

        Raises:
            RunError: The file is damaged or cannot be written.
        """
        with ExitStack() as held:
            with writing(self.folder):  # several workers may begin at the same time
                held.enter_context(locked(self.folder / f".{_ENVIRONMENTS}.lock", None))
            if versions not in list(self.environments()):
                with appending(self.folder / _ENVIRONMENTS, self._echo_of(_ENVIRONMENTS)) as append:
                    append(versions)

    @contextmanager
    def keeping(self, kind: type[KeptT]) -> Iterator[Callable[[KeptT | Drop], None]]:
        """Open the files of a stage for appending: of its own kind of row, and of the rows that it leaves out.

        Args:
            kind: The record class of the stage.

        Yields:
            A function that appends one row; a `Drop` goes to the file of dropped rows.

        Raises:
            RunError: A file cannot be written. Rows that were appended before are kept.
        """
        with self.appending(kind) as append, self.appending(Drop) as drop:

            def keep(row: KeptT | Drop) -> None:
                if isinstance(row, Drop):
                    drop(row)
                else:
                    append(row)

            yield keep

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process while the block runs.

        Yields:
            Nothing.

        Raises:
            RunError: Another process holds it.
        """
        busy = RunError(
            f"{self.folder}: another plum-hub process is working on this run; wait for it, "
            f"or watch it with  plum-hub status {quote(str(self.folder))}"
        )
        with ExitStack() as held:
            with writing(self.folder):
                held.enter_context(locked(self.folder / ".lock", lambda: busy))
            yield


def _is_intact(line: bytes) -> bool:
    """Return whether a line has its checksum."""
    try:
        return len(without_checksum(line)) < len(line.rstrip(b"\r\n"))
    except ValueError:
        return False


def _places(folder: Path) -> dict[str, str]:
    """Read where files of a run's recipe were found, by their paths in it."""
    path = folder / _MOVED
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
            raise ValueError("it is no object of paths")
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            f"{path}: is damaged ({error}); delete it, and name the files again, with  --model  or  --instructions"
        ) from error
    return found


def _no_run(folder: Path) -> str:
    """Say why a folder is no run, and which run may be meant."""
    if not folder.exists():
        return f"does not exist{perhaps(folder.name, (run.name for run in _runs_in(folder.parent)))}"
    runs = [str(run) for run in _runs_in(folder)]
    return f"is not a run folder (no recipe.yaml){', but holds ' if runs else ''}{', '.join(runs[:5])}"


def _runs_in(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/recipe.yaml"))


def _refuse_link(folder: Path) -> None:
    if (link := link_out(folder)) is not None:
        raise RunError(f"{link}: is a link out of the run, which somebody may have sent; put the file in its place")
