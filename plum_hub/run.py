"""A run folder: rows in append-only files, one for each kind of row, and the sealed recipe that made them.

    runs/NAME/
      recipe.yaml  recipe.sha256          the resolved recipe, and the seal that notices an edit
      shards/00000/<kind>.jsonl           instructions responses suites samples verdicts preferences dropped
      release/dataset/                    exactly the tree that is pushed
      releases.jsonl                      where it was published
      environments.jsonl                  versions of Python and packages, one line for each set that made rows
      logs/001.log                        one for each start

Resuming needs no memory of its own: what is on disk is done, the rest is owed (law 5). A last line without its newline
was torn by a kill: it is cut off and its row owed again. Any other bad line is an error that names file and line.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from plum_hub import recipe as recipes
from plum_hub.columns import LineError, RecordSchema, has_conversations
from plum_hub.environment import installed_versions
from plum_hub.errors import RunError
from plum_hub.files import locked, writing
from plum_hub.lines import appending, whole_blocks, whole_lines
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
    TestSuite,
    Verdict,
    from_json,
    to_json,
)

if TYPE_CHECKING:
    import pyarrow as pa

FILES: dict[type, str] = {
    Instruction: "instructions",
    Response: "responses",
    TestSuite: "suites",
    Sample: "samples",
    Verdict: "verdicts",
    Preference: "preferences",
    Drop: "dropped",
}

_ENVIRONMENTS = "environments.jsonl"
_UNFINISHED = {"shards", "recipe.sha256", "recipe.yaml.new"}
"""What a run killed in the moment of its creation leaves: it is begun anew."""


class Run:
    """A run folder, opened. Make one with `create` or `open`."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder = folder
        self.recipe = recipe
        self._recording = Lock()  # stages judge and sample at the same time
        self._recorded = False

    @classmethod
    def create(cls, folder: Path, recipe: Recipe) -> "Run":
        """Seal `recipe` (already pinned) into a new run folder.

        Raises:
            RunError: the folder cannot be written, or already holds something else.
        """
        if (folder / "recipe.yaml").exists():
            raise RunError(f"{folder}: holds a run already; name another folder with --run DIR")
        if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - _UNFINISHED):
            raise RunError(f"{folder}: holds something that is no run; name another folder with --run DIR")
        text = recipe.to_yaml()
        with writing(folder):
            (folder / "shards" / "00000").mkdir(parents=True, exist_ok=True)
            (folder / "recipe.sha256").write_text(recipes.seal(text) + "\n")
            temporary = folder / "recipe.yaml.new"
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(folder / "recipe.yaml")  # last: a folder with a recipe is a whole run
        return cls(folder, recipe)

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open an existing run.

        Raises:
            RunError: there is no run, or its recipe was edited after it was sealed.
        """
        path = folder / "recipe.yaml"
        if not path.is_file():
            raise RunError(f"{folder}: is not a run folder (no recipe.yaml); make one with  plum-hub build-dataset")
        text = recipes.read(path)
        sealed = folder / "recipe.sha256"
        if not sealed.is_file() or sealed.read_bytes().strip() != recipes.seal(text).encode():
            raise RunError(
                f"{path}: was edited after the run began, so its rows and its recipe no longer belong together; "
                f"start a new run that keeps what is still valid:  plum-hub build-dataset --recipe {path} "
                f"--run {folder}-2 --carry-over {folder}"
            )
        return cls(folder, recipes.parse(text, str(path)))

    @classmethod
    def donor(cls, folder: Path) -> "Run":
        """A run whose rows are taken over where they fit. Its recipe may have been edited: rows carry their own ids.

        Raises:
            RunError: there is no run.
        """
        path = folder / "recipe.yaml"
        if not path.is_file():
            raise RunError(f"{folder}: is not a run folder (no recipe.yaml); name an older run with --carry-over")
        return cls(folder, recipes.parse(recipes.read(path), str(path)))

    def path(self, kind: type[Record]) -> Path:
        """The file that holds rows of `kind`."""
        return self.folder / "shards" / "00000" / f"{FILES[kind]}.jsonl"

    def rows(self, kind: type[RecordT]) -> Iterator[RecordT]:
        """Every whole row of a kind, in the order in which they were made.

        Raises:
            RunError: a line that is not the last cannot be read.
        """
        path = self.path(kind)
        for number, line in whole_lines(path):
            try:
                yield from_json(kind, json.loads(line))
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                raise self._damaged(kind, number, error) from error

    def tables(self, kind: type[Record]) -> "Iterator[pa.Table]":
        """Every whole row of a kind, in the same order, as tables of some megabytes.

        Raises:
            RunError: as `rows`; or a value is not of its column's type.
        """
        form = None
        for number, block in whole_blocks(self.path(kind)):
            if form is None:
                chat = kind is Preference and has_conversations(block.partition(b"\n")[0])
                form = RecordSchema.of(kind, conversational=chat)
            try:
                yield form.read(block)
            except LineError as error:
                raise self._damaged(kind, number + error.line, error) from error

    def matching(self, kind: type[Record], key: str, asked: Iterable[Sequence[str]]) -> "Iterator[pa.Table]":
        """For each list of names a table of the rows with these names in column `key`, in the list's order. What is
        kept in memory is where each row is.

        Raises:
            RunError: as `tables`.
            KeyError: there is no such row.
        """
        path, places, place = self.path(kind), {}, 0
        for (name,), (_, line) in zip(self.columns(kind, key), whole_lines(path), strict=True):
            places[name] = place
            place += len(line)
        form = RecordSchema.of(kind)
        with path.open("rb") as file:
            for names in asked:
                lines = []
                for name in names:
                    file.seek(places[name])
                    lines.append(file.readline())
                try:
                    yield form.read(b"".join(lines))
                except LineError as error:
                    before = path.read_bytes()[: places[names[error.line]]]
                    raise self._damaged(kind, before.count(b"\n") + 1, error) from error

    def columns(self, kind: type[Record], *names: str) -> Iterator[tuple[Any, ...]]:
        """The named values of every row of `tables`."""
        for table in self.tables(kind):
            yield from zip(*(table[name].to_pylist() for name in names), strict=True)

    def ids(self, kind: type[Record]) -> set[str]:
        """The ids of every whole row of a kind."""
        return {name for (name,) in self.columns(kind, "id")}

    def _damaged(self, kind: type[Record], number: int, why: object) -> RunError:
        return RunError(
            f"{self.path(kind)}:{number}: not a row of {FILES[kind]} ({why}); "
            "delete this line to have its row made again"
        )

    def drop_reasons(self) -> Counter[tuple[str, str]]:
        """How many rows each stage left out, for each reason."""
        return Counter(self.columns(Drop, "stage", "reason"))

    @contextmanager
    def appending(self, kind: type[RecordT]) -> Iterator[Callable[[RecordT], None]]:
        """Give a function that appends one row, whole and flushed to the system before it returns.

        Raises:
            RunError: the disk is full or the folder cannot be written; rows appended before stand.
        """
        with appending(self.path(kind)) as append:

            def keep(row: RecordT) -> None:
                self._record_environment()
                append(to_json(row))

            yield keep

    def environments(self) -> Iterator[dict[str, str]]:
        """Yield every set of versions that made rows, in the order in which each first did.

        Raises:
            RunError: a line is damaged.
        """
        path = self.folder / _ENVIRONMENTS
        for number, line in whole_lines(path):
            try:
                yield {str(name): str(version) for name, version in json.loads(line).items()}
            except (ValueError, AttributeError) as error:
                raise RunError(f"{path}:{number}: names no versions ({error}); bring the file back") from error

    def _record_environment(self) -> None:
        """Record the versions that are at work here, before the first row that this process makes."""
        with self._recording:
            if not self._recorded:
                versions = installed_versions()
                if versions not in list(self.environments()):
                    with appending(self.folder / _ENVIRONMENTS) as append:
                        append(versions)
                self._recorded = True

    @contextmanager
    def keeping(self, kind: type[KeptT]) -> Iterator[Callable[[KeptT | Drop], None]]:
        """As `appending`, for a stage whose rows are of `kind` or left out: a `Drop` goes to its own file.

        Raises:
            RunError: as `appending`.
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
        """Hold the run for this process.

        Raises:
            RunError: another process holds it.
        """
        busy = RunError(
            f"{self.folder}: another plum-hub process is working on this run; wait for it, "
            f"or look on with  plum-hub status {self.folder}"
        )
        with ExitStack() as held:
            with writing(self.folder):
                held.enter_context(locked(self.folder / ".lock", lambda: busy))
            yield


def slug(text: str) -> str:
    """The last part of a repository or path as a name that any Hub takes: lower case, nothing but ASCII letters,
    digits, and single `.` and `-` between them."""
    last = text.rstrip("/").split("/")[-1].split("@")[0].split(":")[0]
    for ending in (".gz", ".jsonl", ".json", ".parquet"):
        last = last.removesuffix(ending)
    return re.sub(r"[^a-z0-9.]+|[.-]{2,}", "-", last.lower()).strip("-.") or "run"
