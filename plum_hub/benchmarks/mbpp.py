"""MBPP: 974 one-sentence tasks with three assertions each, and the 427 of them that were verified by hand."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from plum_hub.answers.checks import read_tests
from plum_hub.answers.source import parse
from plum_hub.benchmarks.assertions import to_cases
from plum_hub.benchmarks.base import Problem, ReadLater
from plum_hub.benchmarks.content import BenchmarkVersion, Content, HubFiles, Row, load_content
from plum_hub.errors import BenchmarkError
from plum_hub.execution.base import Case, Statement

_REPO, _COMMIT = "google-research-datasets/mbpp", "4bb6404fdc6cacfda99d4ac4205087b89d32030c"
_SPLITS = ("prompt", "test", "validation", "train")  # tasks 1-10, 11-510, 511-600 and 601-974
FULL = BenchmarkVersion(
    file="mbpp.jsonl.gz",
    sha256="ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f",
    rows=974,
    columns=frozenset({"task_id", "text", "code", "test_list", "test_setup_code"}),
    origin=HubFiles(
        repo=_REPO, commit=_COMMIT, paths=tuple(f"full/{split}-00000-of-00001.parquet" for split in _SPLITS)
    ),
)
SANITIZED = BenchmarkVersion(
    file="sanitized-mbpp.json.gz",
    sha256="7fec016546acaee11dbe14f9f0bb670e59f41919f7b522a59fba34871da78551",
    rows=427,
    columns=frozenset({"task_id", "prompt", "code", "test_list", "test_imports"}),
    origin=HubFiles(
        repo=_REPO, commit=_COMMIT, paths=tuple(f"sanitized/{split}-00000-of-00001.parquet" for split in _SPLITS)
    ),
)
_CPU_SECONDS = 3.0


@dataclass(frozen=True)
class Mbpp:
    """MBPP or its sanitized version (Austin et al., 2021).

    The tag `split` is a task's role in the paper, which evaluates on `test`.

    Args:
        name: `mbpp` or `mbpp-sanitized`.
        published: The version.
        source: A local file, or a folder that contains it; None downloads from the Hub.
    """

    name: str
    published: BenchmarkVersion
    source: Path | None = None

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
        return load_content(self.published, self.source)


def _problem(row: Row) -> Problem:
    """Convert a row to a problem. The prompt includes the assertions, because the text names no function."""
    tests = tuple(row["test_list"])
    # Some set-ups use a class that the solution defines, so they run after it.
    setup = row.get("test_setup_code", "")
    entry_point = _entry_point(row["code"], tests)

    def suites() -> dict[str, tuple[Case, ...]]:
        cases = to_cases(case for test in tests for case in read_tests(test, entry_point))
        return {"base": (Statement(source=setup), *cases) if setup else cases}

    return Problem(
        id=f"Mbpp/{row['task_id']}",
        text="\n".join((row["text"] if "text" in row else row["prompt"], *tests)),
        kind="instruction",
        entry_point=entry_point,
        suites=ReadLater(suites),
        cpu_seconds=_CPU_SECONDS,
        setup="".join(f"{line}\n" for line in row.get("test_imports", ())),
        tags={"split": _split(row["task_id"])},
        reference=row["code"],
    )


def _entry_point(code: str, tests: tuple[str, ...]) -> str:
    """Return the function of the solution that the assertions call."""
    solution, checks = parse(code), parse("\n".join(tests))
    assert solution is not None
    assert checks is not None
    defined = {node.name for node in solution.body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(checks):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in defined:
                return name
    raise BenchmarkError(f"no assertion calls a function of the solution: {tests[0]!r}: report this")


def _split(task: int) -> str:
    return _SPLITS[(task > 10) + (task > 510) + (task > 600)]
