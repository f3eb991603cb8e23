"""LiveCodeBench code generation: contest problems with the dates from which models may have seen them."""

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
"""The code that LiveCodeBench's judge prepends to every program."""
_FUNCTIONS = "class Solution:\n    def __getattr__(self, name):\n        return globals()[name]\n"
"""The judge also accepts a plain function if a program has no class `Solution`."""


@dataclass(frozen=True)
class LiveCodeBench:
    """Problems of LiveCodeBench (Jain et al., 2024).

    Programs may use numpy, because the official judge has it: `Judge(numpy=True)`.

    Args:
        selection: The problems to use.
        source: A file of the dataset, a folder with its files, or None for the Hub.
    """

    selection: ContestSelection = field(default_factory=ContestSelection)
    source: Path | None = None

    @property
    def name(self) -> str:
        """The benchmark's usual name."""
        return "livecodebench"

    @property
    def revision(self) -> str:
        """The exact origin of the content; see `Benchmark.revision`."""
        return self._files.revision

    def problems(self) -> Iterator[Problem]:
        """Iterate over the selected problems; see `Benchmark.problems`.

        Returns:
            The problems ordered by id, as in LiveCodeBench. Their suites are read from the file on access.
        """
        return iter(self._problems)

    @property
    def caveat(self) -> str:
        """Limitations to report with every score; empty if there are none."""
        partial = sum(problem.tags["tests"] == "partial" for problem in self._problems)
        caveats = []
        if partial:
            caveats.append(
                f"{partial} of {len(self._problems)} problems have only part of their private tests here, so that a "
                "score is an upper bound of the official one"
            )
        if self._untested:
            caveats.append(f"left out, because they have no tests: {', '.join(self._untested)}")
        return "; ".join(caveats)

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
        problems = []
        for location, release, row in self._files.rows():
            contest = _contest_date(location, row)
            if self.selection.includes(row, contest):
                problems.append(_problem(location, row, contest, release))
        if not problems:
            raise BenchmarkError(f"LiveCodeBench has no problem in {self.selection}: widen the selection")
        return sorted(problems, key=lambda problem: problem.id)


def _contest_date(location: RowLocation, row: Row) -> datetime:
    """Return a row's date, after validation of its platform and difficulty."""
    for column, known in (("platform", PLATFORMS), ("difficulty", DIFFICULTIES)):
        if row[column] not in known:
            raise BenchmarkError(f"{location}: {column} is {row[column]!r:.40}, not one of {', '.join(known)}: fix it")
    try:
        return datetime.fromisoformat(row["contest_date"]).replace(tzinfo=None)
    except ValueError as error:
        raise BenchmarkError(f"{location}: contest_date is {row['contest_date']!r:.40}, not a date: fix it") from error


def _problem(location: RowLocation, row: Row, contest: datetime, release: int) -> Problem:
    method, tests, left_out = read_tests(location, row)
    seconds = TEST_CPU_SECONDS * len(tests)
    return Problem(
        id=row["question_id"],
        text=row["question_content"],
        kind="instruction",
        entry_point=None if method is None else "Solution",
        starter_code=row["starter_code"],
        suites=Suites(location),
        cpu_seconds=seconds if method is None else min(seconds, CALLS_CPU_SECONDS),
        setup=_SETUP if method is None else _SETUP + _FUNCTIONS,
        tags={
            "difficulty": row["difficulty"],
            "platform": row["platform"],
            "date": contest.isoformat(),
            "release": f"release_v{release}",
            "contest": row["contest_id"],
            "title": row["question_title"],
            "tests": "partial" if left_out or row.get("private_tests_complete") is False else "complete",
        },
    )
