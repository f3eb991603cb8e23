"""LiveCodeBench, code generation: problems of contests, each with the date from which on models may have seen it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.livecodebench.cases import CALLS_CPU_SECONDS, TEST_CPU_SECONDS, Suites, read_tests
from plum_hub.benchmarks.livecodebench.files import ProblemFiles, Row, RowLocation
from plum_hub.benchmarks.livecodebench.selection import DIFFICULTIES, PLATFORMS, ContestSelection
from plum_hub.errors import BenchmarkError

__all__ = ["DIFFICULTIES", "PLATFORMS", "ContestSelection", "LiveCodeBench"]

_MODULES = (
    "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools",
    "functools", "operator", "io", "sys", "json",
)  # fmt: skip
_SETUP = "\n".join(
    (
        *(f"from {name} import *" for name in (*_MODULES, "builtins", "typing")),
        f"import {', '.join(_MODULES)}",
        "sys.setrecursionlimit(50000)\n",
    )
)
"""What LiveCodeBench's judge puts before every program."""
_FUNCTIONS = "class Solution:\n    def __getattr__(self, name):\n        return globals()[name]\n"
"""That judge takes a plain function, too, where a program has no `Solution`."""


@dataclass(frozen=True)
class LiveCodeBench:
    """Problems of LiveCodeBench. The programs may use numpy, since its judge has it: `Judge(numpy=True)`.

    Args:
        selection: which problems.
        source: a file of the dataset, a folder with its files, or None for the Hub.
    """

    selection: ContestSelection = field(default_factory=ContestSelection)
    source: Path | None = None

    @property
    def name(self) -> str:
        """See `Benchmark`."""
        return "livecodebench"

    @property
    def revision(self) -> str:
        """See `Benchmark`."""
        return self._files.revision

    def problems(self) -> Iterator[Problem]:
        """See `Benchmark`. In the order of their ids, which is LiveCodeBench's; their suites are read from the file
        again when they are asked for."""
        return iter(self._problems)

    @property
    def caveat(self) -> str:
        """What to say beside every score; empty if there is nothing."""
        partial = sum(problem.tags["tests"] == "partial" for problem in self._problems)
        said = []
        if partial:
            said.append(
                f"{partial} of {len(self._problems)} problems have only part of their private tests here, so that a "
                "score is an upper bound of the official one"
            )
        if self._untested:
            said.append(f"left out, for want of any test: {', '.join(self._untested)}")
        return "; ".join(said)

    @cached_property
    def _files(self) -> ProblemFiles:
        return ProblemFiles(self.selection.releases, self.source)

    @cached_property
    def _problems(self) -> list[Problem]:
        return [problem for problem in self._read if problem.cpu_seconds]

    @cached_property
    def _untested(self) -> list[str]:
        return [problem.id for problem in self._read if not problem.cpu_seconds]

    @cached_property
    def _read(self) -> list[Problem]:
        found = []
        for place, release, row in self._files.rows():
            contest = _contest_date(place, row)
            if self.selection.includes(row, contest):
                found.append(_problem(place, row, contest, release))
        if not found:
            raise BenchmarkError(f"LiveCodeBench has no problem in {self.selection}: widen the choice")
        return sorted(found, key=lambda problem: problem.id)


def _contest_date(place: RowLocation, row: Row) -> datetime:
    """The date, in a row by which it can be chosen."""
    for column, known in (("platform", PLATFORMS), ("difficulty", DIFFICULTIES)):
        if row[column] not in known:
            raise BenchmarkError(f"{place}: {column} is {row[column]!r:.40}, none of {', '.join(known)}: mend it")
    try:
        return datetime.fromisoformat(row["contest_date"]).replace(tzinfo=None)
    except ValueError as error:
        raise BenchmarkError(f"{place}: contest_date is {row['contest_date']!r:.40}, no date: mend it") from error


def _problem(place: RowLocation, row: Row, contest: datetime, release: int) -> Problem:
    method, tests, lost = read_tests(place, row)
    every = TEST_CPU_SECONDS * len(tests)
    return Problem(
        id=row["question_id"],
        text=row["question_content"],
        form="instruction",
        entry_point=None if method is None else "Solution",
        starter_code=row["starter_code"],
        suites=Suites(place),
        cpu_seconds=every if method is None else min(every, CALLS_CPU_SECONDS),
        setup=_SETUP if method is None else _SETUP + _FUNCTIONS,
        tags={
            "difficulty": row["difficulty"],
            "platform": row["platform"],
            "date": contest.isoformat(),
            "release": f"release_v{release}",
            "contest": row["contest_id"],
            "title": row["question_title"],
            "tests": "partial" if lost or row.get("private_tests_complete") is False else "complete",
        },
    )
