"""An evaluation's folder.

    evaluation.json     what is evaluated and how, with every revision pinned
    samples.jsonl       each answer, word for word, as it came (none for somebody else's generations)
    verdicts.jsonl      what came of each program and suite
    scores.json         the scores, and what each problem's samples came to: what `plum-hub compare` reads
    ...                 the same for other tools (`results`) and for cards (`publication`)

Rows are named by what they were made from, so a folder may hold rows of several protocols: only those that the present
one would make are counted.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, model_validator

from plum_hub.errors import RunError
from plum_hub.files import locked, write_whole, writing
from plum_hub.lines import appending, object_of, whole_lines
from plum_hub.records import Outcome, Sample, Status, check_types, from_json, to_json


@dataclass(frozen=True, kw_only=True)
class SuiteVerdict:
    """What came of one program and one suite of a problem. A program that has not passed `base` has none of `plus`."""

    id: str
    sample_id: str
    benchmark: str
    problem: str
    suite: str
    status: Status
    cases: int
    failed: tuple[int, ...]
    """The cases that were run and not passed, by position from 0; all of them where none was run."""
    outcome: Outcome
    """What happened in the first of them; `passed` where there is none."""
    detail: str
    cpu_seconds: float | None
    peak_memory_mb: float | None
    not_run: int = 0
    """Cases that were not run, because those before them had decided, or ended the program."""


class _Scored(BaseModel):
    """What `scores.json` says of one benchmark, as far as it is read back."""

    revision: str
    counts: dict[str, dict[str, dict[str, tuple[PositiveInt, NonNegativeInt]]]]
    parts: dict[str, list[str]]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for readings in self.counts.values():
            if "official" not in readings:
                raise ValueError("a suite without its official reading")
            if any(passed > samples for of in readings.values() for samples, passed in of.values()):
                raise ValueError("more samples passed than there were")
        return self


class _Scores(BaseModel):
    model_config = ConfigDict(strict=True)

    harness: str
    protocol: dict[str, Any]
    outcomes: dict[str, _Scored]


def _verdict(row: dict[str, Any]) -> SuiteVerdict:
    verdict = SuiteVerdict(**{**row, "failed": tuple(row["failed"])})
    check_types(verdict)
    return verdict


class EvaluationFolder:
    """An evaluation's folder, opened or new."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Make the folder and hold it for this process.

        Raises:
            RunError: it holds something else, cannot be written, or another process holds it.
        """
        if self.path.exists() and (
            not self.path.is_dir()
            or ((names := {one.name for one in self.path.iterdir()}) and not names & {"evaluation.json", ".lock"})
        ):
            raise RunError(f"{self.path}: holds something that is no evaluation; name another folder with --run DIR")
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        busy = RunError(f"{self.path}: another plum-hub process is working on this evaluation; wait for it to end")
        with ExitStack() as held:
            with writing(self.path):
                held.enter_context(locked(self.path / ".lock", lambda: busy))
            yield

    def head(self) -> dict[str, Any]:
        """What `evaluation.json` says; nothing where there is none.

        Raises:
            RunError: it is damaged.
        """
        return self._read("evaluation.json") if (self.path / "evaluation.json").exists() else {}

    def scores(self) -> dict[str, Any]:
        """What `scores.json` says.

        Raises:
            RunError: there is none, or it is damaged.
        """
        path = self.path / "scores.json"
        if not (self.path / "scores.json").is_file():
            raise RunError(f"{self.path}: has no scores.json; make it with  plum-hub evaluate --run {self.path} ...")
        found = self._read("scores.json")
        try:
            _Scores.model_validate_json(json.dumps(found))
        except ValueError as error:
            why = " ".join(str(error).split())[:200]
            raise RunError(f"{path}: is damaged ({why}); delete it and run the same command again") from error
        return found

    def write(self, name: str, text: str) -> None:
        """Write a file anew, whole or not at all."""
        write_whole(self.path / name, text)

    def samples(self) -> Iterator[Sample]:
        """Every whole row of samples.jsonl.

        Raises:
            RunError: a line that is not the last cannot be read.
        """
        yield from self._rows("samples.jsonl", lambda row: from_json(Sample, row))

    def verdicts(self) -> Iterator[SuiteVerdict]:
        """Every whole row of verdicts.jsonl.

        Raises:
            RunError: as `samples`.
        """
        yield from self._rows("verdicts.jsonl", _verdict)

    @contextmanager
    def appending_samples(self) -> Iterator[Callable[[Sample], None]]:
        """Give a function that appends one row, whole."""
        with appending(self.path / "samples.jsonl") as append:
            yield lambda row: append(to_json(row))

    @contextmanager
    def appending_verdicts(self) -> Iterator[Callable[[SuiteVerdict], None]]:
        """Give a function that appends one row, whole."""
        with appending(self.path / "verdicts.jsonl") as append:
            yield lambda row: append(asdict(row))

    def _rows(self, name: str, read: Callable[[dict[str, Any]], Any]) -> Iterator[Any]:
        for number, line in whole_lines(self.path / name):
            try:
                yield read(object_of(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise RunError(
                    f"{self.path / name}:{number}: cannot be read ({error}); delete this line to have it made again"
                ) from error

    def _read(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{path}: cannot be read ({error}); delete it and run the same command again") from error
        raise RunError(f"{path}: is no object; delete it and run the same command again")
