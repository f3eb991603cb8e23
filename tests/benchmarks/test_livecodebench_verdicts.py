"""Programs as models write them, on LiveCodeBench's own tests: each gets the verdict that it deserves."""

from pathlib import Path

import pytest

from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.livecodebench import LiveCodeBench
from plum_hub.benchmarks.setup import prepend_setup
from plum_hub.execution import Judge, Limits, Program
from plum_hub.execution.base import Stdio
from tests.benchmarks.contest_programs import SAMPLES
from tests.benchmarks.running import programs, statuses

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "livecodebench"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data/livecodebench is not there"),
]
CPU_SECONDS = 4.0
"""So that what never ends ends soon; the right ones need a twentieth of it."""


def asked(name: str, problem: Problem) -> list[Program]:
    limits = Limits(cpu_seconds=min(problem.cpu_seconds, CPU_SECONDS), wall_seconds=120.0)
    found = programs(name, problem, prepend_setup(problem.setup, SAMPLES[name].code), limits)
    return [one for one in found if one.id.endswith("/base") or SAMPLES[name].base != "timed_out"]


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    """The status of each program, by name and suite."""
    problems = {problem.id: problem for problem in LiveCodeBench(source=DATA).problems()}
    with Judge(2, numpy=True) as judge:
        done = list(judge.run(one for name in SAMPLES for one in asked(name, problems[SAMPLES[name].problem])))
    found = {}
    for execution in done:
        name = execution.id.rpartition("/")[0]
        for suite, status in statuses(problems[SAMPLES[name].problem], execution).items():
            found[f"{name}/{suite}"] = status
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_the_official_reading(name: str, found: dict[str, str]) -> None:
    assert found[f"{name}/base"] == SAMPLES[name].base


@pytest.mark.parametrize("name", [name for name, one in SAMPLES.items() if one.base != "timed_out"])
def test_the_strict_reading(name: str, found: dict[str, str]) -> None:
    assert found[f"{name}/base:strict"] == (SAMPLES[name].strict or SAMPLES[name].base)


def test_every_kind_of_disagreement_is_among_them() -> None:
    assert {one.base for one in SAMPLES.values() if one.strict} == {"passed", "failed"}
    assert {one.theirs for one in SAMPLES.values()} == {"", "failed", "passed"}
    assert len({one.problem for one in SAMPLES.values()}) >= 15


def test_a_case_may_have_a_limit_of_its_own_and_may_print_what_is_expected() -> None:
    endless = Stdio(stdin="", stdout="", cpu_seconds=0.4)
    long = Stdio(stdin="", stdout="x" * 3000 + "\n", comparison="livecodebench")
    limits = Limits(cpu_seconds=60.0, output_kb=1)
    programs = [
        Program(id="endless", code="while True: pass", entry_point=None, cases=(endless, long), limits=limits),
        Program(id="long", code="print('x' * 3000)", entry_point=None, cases=(long,), limits=limits),
        Program(id="too long", code="print('x' * 9000)", entry_point=None, cases=(long,), limits=limits),
    ]
    with Judge(1) as judge:
        found = {execution.id: execution for execution in judge.run(programs)}

    assert found["endless"].status == "timed_out"
    assert found["endless"].cpu_seconds < 5
    assert [case.outcome for case in found["endless"].cases] == ["timed_out", "not_run"]
    assert found["long"].status == "passed"
    assert found["too long"].status == "failed"
