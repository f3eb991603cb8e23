"""Programs are compiled ahead of their turn, in a jail that runs none. No verdict depends on it."""

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from plum_hub.execution import Call, Judge, Limits, Program, Stdio
from plum_hub.execution.precompile import Precompiler, UpcomingProgram
from plum_hub.execution.worker import Worker
from tests.execution.conftest import descendants

_CASES = (Call(expression="f(20)", expected="21"),)
_CODES = {
    "def f(x): return x + 1": ("passed", ""),
    "def f(x): return x": ("failed", "20"),
    "def f(x:": ("not_executable", "SyntaxError"),
    "def f(x): return 21 if x is 20 else x + 1  # warns": ("passed", ""),
    "f = '\ud800'\ndef f(x): return x + 1": ("not_executable", "surrogates not allowed"),
    "f = '\x00'": ("not_executable", "source code string cannot contain null bytes"),
    "f = " + "(" * 300: ("not_executable", "too many nested parentheses"),
    "f = " + "-" * 100_000 + "1": ("out_of_memory", ""),
}


def upcoming(codes: list[str]) -> list[UpcomingProgram]:
    return [
        UpcomingProgram(Program(id=str(number), code=code, entry_point="f", cases=_CASES, limits=Limits()), "cases")
        for number, code in enumerate(codes)
    ]


def compiled(precompiler: Precompiler, codes: list[str]) -> list[bool]:
    """Which of the programs come back compiled."""
    programs = upcoming(codes)
    precompiler.submit(programs)
    while precompiler.is_busy:
        precompiler.collect()
    return [bool(one.compiled) for one in programs]


@pytest.fixture
def precompiler(judge: Judge) -> Iterator[Precompiler]:
    """One that has met enough programs to begin."""
    assert judge.harness_version
    precompiler = Precompiler(Worker)
    precompiler.submit(upcoming(["x = 1"] * 300))
    yield precompiler
    precompiler.close()


def test_what_compiles_in_silence_is_compiled_and_the_rest_left_to_its_own_process(precompiler: Precompiler) -> None:
    assert compiled(precompiler, list(_CODES)) == [True, True, False, False, False, False, False, False]


@pytest.mark.usefixtures("judge")
def test_a_jail_that_breaks_is_replaced_a_few_times() -> None:
    before = descendants(os.getpid())
    precompiler = Precompiler(Worker)
    compiled(precompiler, ["x = 1"] * 300)
    for _ in range(4):
        assert compiled(precompiler, ["x = 2"]) == [True]
        for process in descendants(os.getpid()) - before:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        assert compiled(precompiler, ["x = 3"]) == [False]
    assert compiled(precompiler, ["x = 2"]) == [False]
    assert descendants(os.getpid()) <= before


@pytest.mark.usefixtures("judge")
def test_a_few_programs_start_no_jail() -> None:
    precompiler = Precompiler(Worker)
    assert compiled(precompiler, ["x = 1"]) == [False]


@pytest.mark.usefixtures("judge")
def test_programs_get_the_verdict_that_they_would_get_without() -> None:
    codes = [f"{code}\n# {number}" for number in range(60) for code in _CODES]
    programs = [one.program for one in upcoming(codes)]
    with Judge(workers=2) as fresh:
        executions = {execution.id: execution for execution in fresh.run(programs)}
    for one in programs:
        status, detail = _CODES[one.code.rpartition("\n# ")[0]]
        assert executions[one.id].status == status, one.code[:50]
        assert detail in executions[one.id].detail
    alike = {(executions[one.id].status, executions[one.id].detail, executions[one.id].output) for one in programs}
    assert len(alike) <= len(_CODES)


def test_scripts_are_compiled_ahead_too(judge: Judge) -> None:
    code = "import sys\nif __name__ == '__main__':\n    print(sum(map(int, sys.stdin)))\n# {number}"
    cases = (Stdio(stdin="1\n2\n", stdout="3\n"), Stdio(stdin="4\n", stdout="5\n"))
    programs = [
        Program(id=str(number), code=code.format(number=number), entry_point=None, cases=cases, limits=Limits())
        for number in range(300)
    ]
    found = [[case.outcome for case in execution.cases] for execution in judge.run(programs)]
    assert found == [["passed", "wrong"]] * 300
