"""A program of which only the verdict matters is run up to the case that decides, and told of no further."""

from collections.abc import Iterable, Sequence

import pytest

from plum_hub.execution import Call, Judge, Limits, Program
from plum_hub.execution.base import Case, CaseResult, Reinterpretation

_SLOW = """
import time
def f(x):
    end = time.process_time() + 0.002
    while time.process_time() < end or x > 30:
        pass
    return """
"""Two milliseconds for a call, and no end from the thirty-first on: whoever comes so far runs into the limit."""
CALLS: tuple[Case, ...] = tuple(Call(expression=f"f({x})", expected=str(x)) for x in range(40))
READ_TWICE: tuple[Case, ...] = (
    *CALLS,
    *(Reinterpretation(case=number, comparison="near", tolerance=1e-6) for number in range(40)),
)
LIMITS = Limits(cpu_seconds=60.0)


def program(code: str, cases: tuple[Case, ...], *, decisive: bool = True) -> Program:
    return Program(id="p", code=code, entry_point="f", cases=cases, limits=LIMITS, decisive=decisive)


def outcomes(cases: Sequence[CaseResult]) -> str:
    return "".join(case.outcome[0] for case in cases)


@pytest.mark.parametrize(
    ("value", "cases", "told"),
    [
        ("x if x != 3 else 9", CALLS, "pppw"),
        ("x if x != 7 else x / 0", CALLS, "pppppppr"),
        ("x if x != 3 else 9", READ_TWICE, "pppw"),
        ("x + 1e-9 if x < 2 else None", CALLS, "w"),
    ],
    ids=["wrong", "raised", "wrong by both", "the first of many"],
)
def test_a_run_ends_with_the_case_that_decides(judge: Judge, value: str, cases: tuple[Case, ...], told: str) -> None:
    (done,) = judge.run([program(_SLOW + value, cases)])
    assert done.status == "failed"
    assert outcomes(done.cases[:40]) == told + "n" * (40 - len(told))
    assert outcomes(done.cases[40:]) in ("", outcomes(done.cases[:40]))
    assert done.cpu_seconds < 5.0


def test_a_run_goes_on_until_both_readings_have_failed(judge: Judge) -> None:
    (done,) = judge.run([program(_SLOW + "x + (x == 2) * 1e-9 if x < 5 else None", READ_TWICE)])
    assert done.status == "failed"
    assert outcomes(done.cases[:40]) == "ppwppw" + "n" * 34
    assert outcomes(done.cases[40:]) == "pppppw" + "n" * 34


def test_what_was_run_further_before_it_was_stopped_is_not_told(judge: Judge) -> None:
    """So that the same program gets the same results, however far it came."""
    (done,) = judge.run([program("def f(x):\n    return x % 5", CALLS)])
    (whole,) = judge.run([program("def f(x):\n    return x % 5", CALLS, decisive=False)])
    assert outcomes(done.cases) == "pppppw" + "n" * 34
    assert outcomes(whole.cases) == "pppppw" + "w" * 34


def test_a_program_is_stopped_and_no_other(judge: Judge) -> None:
    codes = {"passed": "def f(x):\n    return x", "failed": _SLOW + "x if x < 3 else 0"}
    wanted = ["passed", "failed", "passed", "passed"] * 5

    def programs() -> Iterable[Program]:
        for number, status in enumerate(wanted):
            yield Program(
                id=f"{number} {status}",
                code=codes[status],
                entry_point="f",
                cases=CALLS,
                limits=LIMITS,
                decisive=number % 8 != 2,
            )

    done = {execution.id: execution for execution in judge.run(programs())}
    assert [done[f"{number} {status}"].status for number, status in enumerate(wanted)] == wanted


def test_a_value_that_was_seen_cannot_be_taken_back(judge: Judge) -> None:
    """A process that waits for the other's end, and then gives the other answer, in memory that both share."""
    code = """
import os, time
other = False
def f(x):
    global other
    if x == 0 and os.fork() == 0:
        main, other = os.getppid(), True
        while os.getppid() == main:
            pass
        return 0
    if x == 0:
        return 1
    while x > 30 and not other:
        pass
    if not other:
        time.sleep(0.002)
    return x
"""
    for _ in range(5):
        (done,) = judge.run([program(code, CALLS)])
        assert done.status == "failed"
        assert outcomes(done.cases) == "w" + "n" * 39
