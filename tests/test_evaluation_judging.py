"""What is run of an evaluation's programs, and what is not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from plum_hub.benchmarks.base import Problem
from plum_hub.evaluation.config import SelectedBenchmark
from plum_hub.evaluation.folder import EvaluationFolder, SuiteVerdict
from plum_hub.evaluation.judge import EvaluationVerdicts, PreparedProgram, in_batches
from plum_hub.evaluation.protocol import GIVEN
from plum_hub.evaluation.sampling import ProblemProgram
from plum_hub.execution import Call, Judge
from plum_hub.execution.base import Reinterpretation
from plum_hub.progress import Progress

PROBLEMS = {
    name: Problem(
        id=name,
        text="",
        kind="completion",
        entry_point="f",
        suites={
            "base": (Call(expression="f(1)", expected="0.5"), Call(expression="f(2)", expected="1.0")),
            "base:strict": tuple(Reinterpretation(case=case, comparison="near", tolerance=1e-6) for case in range(2)),
            "plus": (Call(expression="f(4)", expected="2.0"), Call(expression="f(6)", expected="3.0")),
        },
        cpu_seconds=5.0,
    )
    for name in ("one", "two")
}
CHOSEN = {"mbpp": SelectedBenchmark("mbpp", "r", PROBLEMS, frozenset(PROBLEMS))}
PROGRAMS = {
    "right": "def f(x):\n    return x / 2\n",
    "near": "def f(x):\n    return x / 2 + 1e-9 * (x < 3)\n",
    "wrong": "def f(x):\n    return 0.5\n",
    "plus": "def f(x):\n    return x / 2 if x < 3 else None\n",
    "none": "def g(x):\n    return 1\n",
}
ENTRIES = [
    ProblemProgram(f"{name} {problem}", "mbpp", problem, code, "")
    for name, code in PROGRAMS.items()
    for problem in PROBLEMS
]


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(2) as judge:
        yield judge


def judging(folder: Path, judge: Judge) -> EvaluationVerdicts:
    found = EvaluationVerdicts(EvaluationFolder(folder), CHOSEN, GIVEN, judge, Progress())
    found.begin(ENTRIES, 3 * len(ENTRIES))
    return found


def by_name(folder: Path) -> dict[str, dict[str, SuiteVerdict]]:
    found: dict[str, dict[str, SuiteVerdict]] = {}
    for verdict in EvaluationFolder(folder).verdicts():
        assert verdict.suite not in found.setdefault(verdict.sample_id, {})
        found[verdict.sample_id][verdict.suite] = verdict
    return found


def test_one_run_for_both_rules_and_none_that_decides_nothing(tmp_path: Path, judge: Judge) -> None:
    judging(tmp_path, judge).carry_out(in_batches(ENTRIES))
    found = by_name(tmp_path)
    for problem in PROBLEMS:
        statuses = {name: {suite: one.status for suite, one in found[f"{name} {problem}"].items()} for name in PROGRAMS}
        assert statuses == {
            "right": {"base": "passed", "base:strict": "passed", "plus": "passed"},
            "near": {"base": "failed", "base:strict": "passed", "plus": "passed"},
            "wrong": {"base": "failed", "base:strict": "failed"},
            "plus": {"base": "passed", "base:strict": "passed", "plus": "failed"},
            "none": {"base": "not_executable", "base:strict": "not_executable"},
        }
    near = found["near one"]
    assert near["base"].cpu_seconds == near["base:strict"].cpu_seconds is not None
    assert (near["base"].failed, near["base"].cases, near["base:strict"].detail) == ((0, 1), 2, "")
    assert near["base"].detail == "failed: case 1 wrong: 0.500000001"
    late, none = found["plus one"]["plus"], found["none one"]["base"]
    assert (late.failed, late.not_run, late.cases) == ((0,), 1, 2)
    assert (none.failed, none.not_run, none.cases) == ((0, 1), 2, 2)


@pytest.mark.parametrize(
    ("code", "other", "alike"),
    [
        ("def f(x):\n    return 'a'\n", '# a comment\ndef f( x ):\n\n  return ("a")', True),
        ("def f(x):\n    return 16\n", "def f(x): return 0x10", True),
        ("def f(x):\n    return 16\n", "def f(x): return 16.0", False),
        ("def f(x):\n    return 'a'\n", "def f(x):\n    'b'\n    return 'a'\n", False),
        ("distance = 1", "distance  = 1", True),
        (f"x = 0x{'f' * 5000}", f"x  = 0x{'f' * 5000}", True),
        (f"x = 0x{'f' * 5000}", f"x = 0x{'f' * 4999}e", False),
    ],
)
def test_programs_that_differ_in_nothing_that_runs_are_alike(code: str, other: str, alike: bool) -> None:
    one, two = PreparedProgram(code, {}).equality_key, PreparedProgram(other, {}).equality_key
    assert one is not None
    assert two is not None
    assert (one == two) == alike


@pytest.mark.parametrize(
    "code",
    [
        "import sys\ndef f(x):\n    return sys._getframe().f_lineno\n",
        "def f(x):\n    return f.__code__.co_firstlineno\n",
        "def f(x):\n    return getattr(f, '__code__').co_lnotab\n",
        "def f(x):\n    try: 1 / 0\n    except Exception as e: return e.__traceback__.tb_lineno\n",
        "from inspect import getsource\ndef f(x):\n    return len(getsource(f))\n",
        "import warnings\ndef f(x):\n    warnings.warn('again')\n",
        "def f(:",
    ],
)
def test_a_program_that_can_see_its_own_lines_is_like_no_other(code: str) -> None:
    assert PreparedProgram(code, {}).equality_key is None


def test_only_what_is_owed_is_judged(tmp_path: Path, judge: Judge) -> None:
    judging(tmp_path, judge).carry_out(in_batches(ENTRIES))
    path = tmp_path / "verdicts.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    before = by_name(tmp_path)
    path.write_text("".join(line for line in lines if '"base:strict"' not in line))

    again = judging(tmp_path, judge)
    again.carry_out(in_batches(ENTRIES))
    assert path.read_text().count("\n") == len(lines)
    assert {name: {suite: one.id for suite, one in those.items()} for name, those in by_name(tmp_path).items()} == {
        name: {suite: one.id for suite, one in those.items()} for name, those in before.items()
    }


def test_samples_of_a_problem_are_judged_in_a_row(tmp_path: Path) -> None:
    with Judge(1) as alone:
        judging(tmp_path, alone).carry_out(in_batches(ENTRIES))
    order = [verdict.problem for verdict in EvaluationFolder(tmp_path).verdicts() if verdict.suite == "base"]
    assert order.index("two") >= 3
