"""The stream from submissions to judgements: its order, its bounds and its ends, with the real judge and checker."""

import threading
import time
import tracemalloc
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from plum_hub.errors import SandboxError, StaticCheckError
from plum_hub.execution import Judge, Limits, Program
from plum_hub.judging.drops import write_drops
from plum_hub.judging.inputs import RefusedSuite
from plum_hub.judging.stream import Judgement, Submission, judge_submissions
from plum_hub.records import TestCase
from plum_hub.spool import Spool
from plum_hub.static import DROP_CODES

CASES = (TestCase(kind="call", call="f(1)", expected="2"), TestCase(kind="call", call="f(2)", expected="3"))
RIGHT = "def f(x):\n    return x + 1\n"
UNLIKE = "import os\ndef f(x):\n    return os.urandom(16).hex()\n"
"""Two runs of this say two things."""
HELD = 10_000
"""More than the stream may hold at a time."""


def submission(name: str, code: str | None, suite: str = "suite", cases: tuple[TestCase, ...] = CASES) -> Submission:
    return Submission(id=name, code=code, suite_id=suite, entry_point="f", cases=cases)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(workers=2) as judge:
        yield judge


def judge_all(judge: Judge, *submissions: Submission) -> dict[str, Judgement]:
    found = list(judge_submissions(submissions, judge, Limits(cpu_seconds=1.0), DROP_CODES))
    assert len(found) == len(submissions)
    return {one.id: one for one in found}


def threads_end(before: set[threading.Thread]) -> bool:
    deadline = time.monotonic() + 60
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.02)
    return not set(threading.enumerate()) - before


def test_each_submission_gets_what_it_deserves(judge: Judge) -> None:
    programs = {
        "passed": RIGHT,
        "failed": "def f(x):\n    return 2\n",
        "timed_out": "def f(x):\n    while True: pass\n",
        "not_executable": "def g(x):\n    return x\n",
        "syntax_error": "def f(x):\n    return x +\n",
        "static_error": "def f(x):\n    return undefined_name\n",
        "no_code": None,
    }
    found = judge_all(judge, *(submission(name, code) for name, code in programs.items()))
    assert {name: one.status for name, one in found.items()} == {name: name for name in programs}
    assert all(len(one.cases) == len(CASES) for one in found.values())
    assert [case.outcome for case in found["failed"].cases] == ["passed", "wrong"]
    assert "undefined_name" in found["static_error"].detail
    assert found["syntax_error"].cpu_seconds is None
    assert found["passed"].detail == ""


def test_equal_programs_share_one_run_within_a_suite(judge: Judge) -> None:
    found = judge_all(
        judge, submission("a", UNLIKE), submission("b", UNLIKE), submission("c", UNLIKE, suite="other"),
    )  # fmt: skip
    assert found["a"].cases == found["b"].cases
    assert found["a"].cases != found["c"].cases


def test_a_judgement_waits_for_no_later_submission_and_serves_its_equals(judge: Judge) -> None:
    known = threading.Event()

    def slowly() -> Iterator[Submission]:
        yield submission("first", UNLIKE)
        assert known.wait(120)
        yield submission("again", UNLIKE)

    found = []
    for one in judge_submissions(slowly(), judge, Limits(), DROP_CODES):
        known.set()
        found.append(one)
    assert [one.id for one in found] == ["first", "again"]
    assert found[0].cases == found[1].cases


@pytest.mark.parametrize("code", [RIGHT, None], ids=["duplicates", "no code"])
def test_submissions_are_taken_no_faster_than_they_are_judged(judge: Judge, code: str | None) -> None:
    taken, given = count(), 0

    def endless() -> Iterator[Submission]:
        for number in taken:
            assert number - given < HELD
            yield submission(str(number), code)

    stream = judge_submissions(endless(), judge, Limits(), DROP_CODES)
    for given, _ in enumerate(stream, 1):
        if given == 3 * HELD:
            break
    stream.close()
    assert next(taken) - given < HELD


def test_a_caller_that_stops_early_ends_the_threads_and_frees_the_judge(judge: Judge) -> None:
    before = set(threading.enumerate())
    stream = judge_submissions(
        (submission(str(number), f"{RIGHT}# {number}") for number in count()), judge, Limits(), DROP_CODES
    )
    assert next(stream).status == "passed"
    stream.close()
    assert threads_end(before)
    assert judge_all(judge, submission("next", RIGHT))["next"].status == "passed"


def test_an_error_of_the_submissions_comes_after_what_was_before_it(judge: Judge) -> None:
    def broken() -> Iterator[Submission]:
        yield submission("a", RIGHT)
        yield submission("b", None)
        raise LookupError("no more")

    before = set(threading.enumerate())
    found: list[str] = []
    with pytest.raises(LookupError, match="no more"):
        found.extend(one.id for one in judge_submissions(broken(), judge, Limits(), DROP_CODES))
    assert sorted(found) == ["a", "b"]
    assert threads_end(before)


def test_an_error_of_the_judge_ends_everything(judge: Judge) -> None:
    before = set(threading.enumerate())
    busy = judge.run([Program(id=str(n), code="", entry_point=None, cases=(), limits=Limits()) for n in range(9)])
    next(busy)
    with pytest.raises(SandboxError, match="already running"):
        list(judge_submissions((submission(str(n), f"{RIGHT}# {n}") for n in count()), judge, Limits(), DROP_CODES))
    assert len(list(busy)) == 8
    assert threads_end(before)


def test_an_error_of_the_checker_ends_everything(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "file"))
    before = set(threading.enumerate())
    with pytest.raises(StaticCheckError):
        list(judge_submissions((submission(str(n), RIGHT) for n in count()), judge, Limits(), DROP_CODES))
    assert threads_end(before)


def test_an_expected_value_that_is_no_literal_is_told(judge: Judge) -> None:
    wrong = (TestCase(kind="call", call="f(1)", expected="f(0)"),)
    with pytest.raises(ValueError, match="literal"):
        judge_all(judge, submission("a", RIGHT, cases=wrong))


def test_samples_of_refused_suites_are_named_one_at_a_time(tmp_path: Path) -> None:
    refused = {"i": RefusedSuite(reason="cannot_fail", detail="x" * 1000)}
    samples = Spool()
    for number in range(10_000):
        samples.append((f"s{number}", "i"))
    tracemalloc.start()
    try:
        count = write_drops(tmp_path / "v.jsonl", samples, refused)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    rows = (tmp_path / "v.dropped.jsonl").read_text().splitlines()
    assert len(rows) == count.reasons["cannot_fail"] == 10_000
