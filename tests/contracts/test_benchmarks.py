"""What every benchmark promises (plum_hub/benchmarks/base.py), held against every member."""

import gzip
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import get_args

import pytest
from click import Option

from plum_hub.benchmarks import ENTRIES, NAMES, load
from plum_hub.benchmarks.base import Benchmark
from plum_hub.cli.evaluate import evaluate
from plum_hub.engines.scripted import ScriptedConfig
from plum_hub.errors import BenchmarkError
from plum_hub.evaluation.config import SelectedBenchmark
from plum_hub.evaluation.protocol import Protocol, protocol_label
from plum_hub.evaluation.sampling import sample_requests
from plum_hub.execution import Judge, Limits, Program
from plum_hub.recipe import BenchmarkName
from tests.benchmarks.cut import DATA, humaneval_plus, mbpp_plus, needs_data
from tests.benchmarks.running import programs

pytestmark = [pytest.mark.shared, needs_data]

_CUT: dict[str, Callable[[Path], Benchmark]] = {"humaneval+": humaneval_plus, "mbpp+": mbpp_plus}
_FILES = {
    "humaneval": "HumanEval.jsonl.gz",
    "humaneval+": "HumanEvalPlus.jsonl.gz",
    "mbpp": "mbpp.jsonl.gz",
    "mbpp-sanitized": "sanitized-mbpp.json.gz",
    "mbpp+": "MbppPlus.jsonl.gz",
}


@pytest.fixture(params=NAMES, scope="module")
def benchmark(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benchmark]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLUM_HUB_HOME", str(tmp_path_factory.mktemp("home")))
        if request.param in _CUT:
            yield _CUT[request.param](tmp_path_factory.mktemp("data"))
        else:
            yield load(request.param, source=DATA)


def test_problems_are_whole_and_the_same_each_time(benchmark: Benchmark) -> None:
    assert benchmark.name in NAMES
    assert benchmark.revision
    problems = list(benchmark.problems())
    assert len({problem.id for problem in problems}) == len(problems) > 0
    for problem in problems:
        assert problem.text.strip()
        assert problem.cpu_seconds > 0
        assert next(iter(problem.suites)) == "base"
        assert problem.suites["base"], problem.id
        if problem.reference is not None and problem.entry_point is not None:
            assert problem.entry_point in problem.reference
        if problem.kind == "completion" and problem.reference is not None:
            assert problem.reference.startswith(problem.text)
    again = list(islice(benchmark.problems(), 5))
    assert [(one.id, dict(one.suites)) for one in again] == [(one.id, dict(one.suites)) for one in problems[:5]]


def test_references_pass_and_nothing_does_not(benchmark: Benchmark) -> None:
    problems = [problem for problem in islice(benchmark.problems(), 40) if problem.reference is not None]
    asked: list[Program] = []
    for problem in problems:
        stub = f"def {problem.entry_point}(*arguments):\n    raise ValueError\n"
        limits = Limits(cpu_seconds=problem.cpu_seconds, wall_seconds=120.0)
        for kind, code in (("reference", str(problem.reference)), ("stub", stub)):
            asked += programs(f"{kind} {problem.id}", problem, problem.setup + code, limits)
    with Judge(2) as judge:
        for done in judge.run(asked):
            assert (done.status == "passed") == done.id.startswith("reference"), (done.id, done.detail)


def test_what_is_said_of_it_before_it_is_read_is_so(benchmark: Benchmark) -> None:
    entry = ENTRIES[benchmark.name]
    assert "/" in entry.dataset
    if benchmark.name not in _CUT and benchmark.name != "livecodebench":  # of these the tests have a part
        assert len(list(benchmark.problems())) == entry.problems
    protocol = Protocol(prompt="completion")
    first = {problem.id: problem for problem in islice(benchmark.problems(), 2)}
    selected = SelectedBenchmark(benchmark.name, benchmark.revision, first, frozenset(first))
    asked = sample_requests(ScriptedConfig(model="answers.jsonl"), {benchmark.name: selected}, protocol)
    assert len(asked) == 2
    assert protocol_label(benchmark.name, protocol)


def test_every_room_knows_every_benchmark() -> None:
    assert get_args(BenchmarkName) == NAMES  # recipes and experiments
    assert f"{', '.join(NAMES)}." in " ".join(str(one.help) for one in evaluate.params if isinstance(one, Option))
    assert set(_FILES) | {"livecodebench"} == set(NAMES)


@pytest.mark.parametrize(("name", "file"), _FILES.items())
def test_another_version_is_refused_with_what_was_expected(name: str, file: str, tmp_path: Path) -> None:
    (whole,) = DATA.rglob(file)
    text = gzip.decompress(whole.read_bytes()).replace(b"prompt", b"Prompt").replace(b'"text"', b'"Text"')
    (tmp_path / file).write_bytes(gzip.compress(text))
    with pytest.raises(BenchmarkError, match=rf"(?s)another version of {file}.*expected.*with column.*--data"):
        list(load(name, source=tmp_path).problems())


@pytest.mark.parametrize("name", _FILES)
def test_what_cannot_be_read_is_one_clear_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / _FILES[name]).write_bytes(gzip.compress(b'{"task_id": 1}\n')[:-4])
    (tmp_path / "file.txt").write_text("")
    for source, said in (
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path / "damaged", "damaged or not gzip"),
        (tmp_path / "file.txt", "unknown file type"),
    ):
        with pytest.raises(BenchmarkError, match=said):
            _ = load(name, source=source).revision
    (tmp_path / "damaged" / _FILES[name]).unlink()
    with pytest.raises(BenchmarkError, match=rf"contains no {_FILES[name]}.*--data"):
        list(load(name, source=tmp_path).problems())


def test_an_unknown_benchmark_is_named() -> None:
    with pytest.raises(BenchmarkError, match=r"'humanevil': give humaneval, humaneval\+"):
        load("humanevil")
