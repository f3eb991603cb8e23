"""Read and write the folder of an evaluation.

    evaluation.json     what is evaluated and how, with every revision pinned (`EvaluationRecord`)
    samples.jsonl       each answer of the model, unchanged (absent for a file of generations)
    verdicts.jsonl      the verdict on each program and suite (`SuiteVerdict`)
    scores.json         the scores and the counts of each problem, which `plum-hub compare` reads (`ScoresRecord`)
    ...                 exports for other tools (`exports`) and for cards (`cards`)

Rows are named by what they were made from, so one folder may hold rows of several protocols. Only the rows that the
present protocol would make are counted.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, NonNegativeInt, PositiveInt, model_validator

from plum_hub.errors import RunError
from plum_hub.evaluation.config import ProblemSelection
from plum_hub.evaluation.protocol import Protocol
from plum_hub.files import locked, write_whole, writing
from plum_hub.lines import Row, appending, object_of, whole_lines
from plum_hub.records import Outcome, Sample, Score, Status, check_types, from_json, to_json

Counts: TypeAlias = dict[str, tuple[PositiveInt, NonNegativeInt]]
"""The number of samples of each problem, and how many of them passed."""

_T = TypeVar("_T")
_RecordT = TypeVar("_RecordT", bound=BaseModel)
EVAL_RESULTS = ".eval_results"
"""The folder within that has the scores as the Hub reads them."""
_HEAD, _SCORES, _SAMPLES, _VERDICTS = "evaluation.json", "scores.json", "samples.jsonl", "verdicts.jsonl"


@dataclass(frozen=True, kw_only=True)
class SuiteVerdict:
    """The verdict on one program and one suite of a problem. A program that fails `base` has no verdict on `plus`."""

    id: str
    """Digest of what the row was made from."""
    sample_id: str
    """The sample; of a file of generations, the digest of problem, place and program."""
    benchmark: str
    """Its usual name, as in `humaneval+`."""
    problem: str
    """The problem's id, as in `HumanEval/0`."""
    suite: str
    """The tests that were run: `base` or `plus`; `:strict` behind it for strict rules."""
    status: Status
    """`passed`, `failed`, `timed_out` and so on, as in a run."""
    cases: int
    """Number of cases in the suite."""
    failed: tuple[int, ...]
    """Positions, from 0, of the cases that ran and did not pass; of all cases if none ran."""
    outcome: Outcome
    """Outcome of the first failed case; `passed` if there is none."""
    detail: str
    """The first failure, in one line; "" if there is none."""
    cpu_seconds: float | None
    """CPU time of the program; None if it did not run."""
    peak_memory_mb: float | None
    """Peak memory of the program, in MiB; None if it did not run."""
    not_run: int = 0
    """Number of cases that did not run, because an earlier case decided the result or ended the program."""


@dataclass(frozen=True)
class RuleDisagreement:
    """Samples of a problem that passed under one reading of the tests and failed under the other."""

    benchmark: str
    """Its usual name, as in `humaneval+`."""
    problem: str
    """The problem's id, as in `HumanEval/0`."""
    measure: str
    """The tests: `base`, or `plus`, which includes `base`."""
    only_official: tuple[str, ...]
    """Ids of the samples that passed only under the benchmark's own rules."""
    only_strict: tuple[str, ...]
    """Ids of the samples that passed only under the strict rules."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _Versioned(_Record):
    version: Literal[1] = 1
    """Version of the file's format."""


class EvaluationRecord(_Record):
    """The content of `evaluation.json`: what is evaluated, how, and since when."""

    samples: str | None = None
    """Name of the file of generations; None if a model is asked."""
    samples_sha256: str | None = None
    """SHA-256 of that file."""
    model: dict[str, JsonValue] | None = None
    """The pinned engine configuration; None for a file of generations."""
    benchmarks: dict[str, str]
    """Revision of each benchmark."""
    selection: ProblemSelection
    protocol: Protocol
    harness: str
    """Version of the sandbox."""
    date: str
    """When this evaluation began: ISO 8601, UTC."""

    def as_json(self) -> dict[str, JsonValue]:
        """Convert the record to JSON values.

        Returns:
            The keys of the file, in the order in which they are written. Keys of the other kind of source are absent.
        """
        absent = {name for name in ("samples", "samples_sha256", "model") if getattr(self, name) is None}
        return self.model_dump(mode="json", exclude=absent)

    def text(self) -> str:
        """Return the text of the file."""
        return json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n"


class BenchmarkCounts(_Record):
    """The results of one benchmark, problem by problem."""

    revision: str
    """Revision of the benchmark."""
    counts: dict[str, dict[str, Counts]]
    """Counts of every measure (`base`, `plus`) and reading (`official`, `strict`)."""
    parts: dict[str, list[str]]
    """Problems of each difficulty or split."""

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        for readings in self.counts.values():
            if "official" not in readings:
                raise ValueError("a suite without its official reading")
            if any(passed > samples for of in readings.values() for samples, passed in of.values()):
                raise ValueError("more samples passed than there were")
        return self


class ScoresRecord(EvaluationRecord, _Versioned):  # in this order, so that `version` is the first key of the file
    """The content of `scores.json`: the evaluation with its scores and what they rest on."""

    scores: tuple[Score, ...]
    outcomes: dict[str, BenchmarkCounts]
    """Results of each benchmark."""
    disagreements: tuple[RuleDisagreement, ...] = ()
    notes: tuple[str, ...] = ()
    """Remarks that a reader of the scores needs, one line each."""


class EvaluationFolder:
    """The folder of an evaluation, existing or new.

    Args:
        path: The folder. It is made by `lock`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Make the folder if it is missing, and hold it for this process while the block runs.

        Yields:
            Nothing.

        Raises:
            RunError: The folder holds something else, cannot be written, or is held by another process.
        """
        names = [file.name for file in self.path.iterdir()] if self.path.is_dir() else [str(self.path)]
        if self.path.exists() and _HEAD not in names and not all(name.startswith((".lock", _HEAD)) for name in names):
            raise RunError(f"{self.path}: exists and is not an evaluation folder; name another folder with --run DIR")
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        busy = RunError(f"{self.path}: another plum-hub process is working on this evaluation; wait for it to end")
        with ExitStack() as held:
            with writing(self.path):
                held.enter_context(locked(self.path / ".lock", lambda: busy))
            yield

    def head(self) -> EvaluationRecord | None:
        """Read `evaluation.json`.

        Returns:
            The record, or None if the evaluation has not begun.

        Raises:
            RunError: The file is damaged.
        """
        return self._read(_HEAD, EvaluationRecord) if (self.path / _HEAD).exists() else None

    def scores(self) -> ScoresRecord:
        """Read `scores.json`.

        Returns:
            The scores.

        Raises:
            RunError: The file is missing or damaged.
        """
        if not (self.path / _SCORES).is_file():
            what = "has no scores.json" if self.path.exists() else "does not exist"
            raise RunError(f"{self.path}: {what}; make it with  plum-hub evaluate --run {quote(str(self.path))} ...")
        return self._read(_SCORES, ScoresRecord)

    def write(self, name: str, text: str) -> None:
        """Replace a file of the folder in one step.

        Args:
            name: Name of the file, relative to the folder.
            text: The new content.

        Raises:
            RunError: The file cannot be written; the old content is still there.
        """
        write_whole(self.path / name, text)

    def keep_only(self, name: str, files: Iterable[str]) -> None:
        """Delete those files of a folder within that an earlier call wrote and that this one does not.

        Args:
            name: The folder within, relative to this one.
            files: Names of the files to keep, relative to this folder.

        Raises:
            RunError: A file cannot be deleted.
        """
        kept = {self.path / file for file in files}
        with writing(self.path / name):
            for file in self.path.glob(f"{name}/*.yaml"):
                if file not in kept:
                    file.unlink()

    def write_head(self, record: EvaluationRecord) -> None:
        """Write `evaluation.json`.

        Args:
            record: The new content.

        Raises:
            RunError: The file cannot be written.
        """
        self.write(_HEAD, record.text())

    def write_scores(self, record: ScoresRecord) -> str:
        """Write `scores.json`.

        Args:
            record: The new content.

        Returns:
            The name of the file.

        Raises:
            RunError: The file cannot be written.
        """
        self.write(_SCORES, record.text())
        return _SCORES

    def samples(self) -> Iterator[Sample]:
        """Read samples.jsonl.

        Yields:
            Every complete row, in file order.

        Raises:
            RunError: A complete line is not a sample.
        """
        yield from self._rows(_SAMPLES, lambda row: from_json(Sample, row))

    def verdicts(self) -> Iterator[SuiteVerdict]:
        """Read verdicts.jsonl.

        Yields:
            Every complete row, in file order.

        Raises:
            RunError: A complete line is not a verdict.
        """
        yield from self._rows(_VERDICTS, _verdict)

    @contextmanager
    def appending_samples(self) -> Iterator[Callable[[Sample], None]]:
        """Open samples.jsonl for appending.

        Yields:
            A function that appends one complete row.

        Raises:
            RunError: The file cannot be written.
        """
        with appending(self.path / _SAMPLES) as append:
            yield lambda row: append(to_json(row))

    @contextmanager
    def appending_verdicts(self) -> Iterator[Callable[[SuiteVerdict], None]]:
        """Open verdicts.jsonl for appending.

        Yields:
            A function that appends one complete row.

        Raises:
            RunError: The file cannot be written.
        """
        with appending(self.path / _VERDICTS) as append:
            yield lambda row: append(asdict(row))

    def _rows(self, name: str, parse: Callable[[Row], _T]) -> Iterator[_T]:
        for number, line in whole_lines(self.path / name):
            try:
                yield parse(object_of(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise RunError(
                    f"{self.path / name}:{number}: cannot be read ({error}); delete this line and run the same command "
                    "again to make its row again"
                ) from error

    def _read(self, name: str, model: type[_RecordT]) -> _RecordT:
        path = self.path / name
        try:
            return model.model_validate_json(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            why = " ".join(str(error).split())[:200]
            raise RunError(f"{path}: is damaged ({why}); delete it and run the same command again") from error


def _verdict(row: Row) -> SuiteVerdict:
    verdict = SuiteVerdict(**{**row, "failed": tuple(row["failed"])})
    check_types(verdict)
    return verdict
