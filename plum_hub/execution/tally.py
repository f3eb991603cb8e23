"""From a program to a request, and from a jail's answer to what the program did. All comparing happens here."""

import functools
import json
import reprlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from plum_hub.execution.base import Call, Case, CaseResult, Execution, Program, Statement, Stdio
from plum_hub.execution.literals import equal, parse_literal
from plum_hub.execution.values import decode
from plum_hub.execution.wire import FRAME, pack

_DETAIL = 200

Status: TypeAlias = Literal["passed", "failed", "timed_out", "out_of_memory", "crashed", "not_executable"]


def request(program: Program, overhead_bytes: int) -> bytes:
    """What a jail is told of a program: never an expected value, never what it should print.

    Raises:
        ValueError: an expected value is not a literal.
    """
    limits = program.limits
    inside = [case for case in program.cases if not isinstance(case, Stdio)]
    runs: list[dict[str, Any]] = [
        {"kind": "script", "steps": 1, "stdin": case.stdin} for case in program.cases if isinstance(case, Stdio)
    ]
    if inside or not runs:
        runs.insert(0, {"kind": "module", "steps": 1 + len(inside), "stdin": None})
    budget = {
        "cpu": limits.cpu_seconds,
        "wall": limits.wall_seconds,
        "memory": overhead_bytes + (limits.memory_mb << 20),
        "output": limits.output_kb << 10,
    }
    for case in inside:
        if isinstance(case, Call):
            _expected(case.expected)
    cases = [("call", case.expression) if isinstance(case, Call) else ("statement", case.source) for case in inside]
    body = {"code": program.code, "entry_point": program.entry_point, "cases": cases}
    return pack({"limits": budget, "runs": runs}, json.dumps(body).encode())


@dataclass(frozen=True)
class _Run:
    """One run's report, its results in order, and what it printed."""

    report: dict[str, Any]
    frames: list[tuple[bytes, bytes]]
    output: bytes

    @property
    def timed_out(self) -> bool:
        return self.report["stopped"] in ("cpu", "wall") or self.report["exit"] == -signal.SIGXCPU

    @property
    def end(self) -> str:
        """How the process ended, in words."""
        if self.report["stopped"] in ("cpu", "wall"):
            return f"over its limit of {'CPU' if self.report['stopped'] == 'cpu' else 'wall'} time"
        code = self.report["exit"]
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"


@dataclass
class _Tally:
    """The results so far; `status` is set by the first thing that ends a program."""

    cases: dict[int, CaseResult]
    status: Status | None = None
    detail: str = ""

    def stop(self, status: Status, detail: str) -> None:
        if self.status is None:
            self.status, self.detail = status, detail


def execution(program: Program, header: dict[str, Any], body: bytes) -> Execution:
    """What a jail's answer says of a program."""
    runs = list(_split(header["runs"], body))
    tally = _Tally(cases={})
    inside = [number for number, case in enumerate(program.cases) if not isinstance(case, Stdio)]
    scripts = [number for number, case in enumerate(program.cases) if isinstance(case, Stdio)]
    if inside or not scripts:
        _judge_module(program, inside, runs[0], tally)
    for number, run in zip(scripts, runs[1:] if inside else runs, strict=False):
        if tally.status is None:
            _judge_script(program, number, run, tally)
    cases = tuple(tally.cases.get(number, CaseResult(outcome="not_run")) for number in range(len(program.cases)))
    if tally.status is None:
        wrong = next((case for case in cases if case.outcome != "passed"), None)
        tally.stop("failed" if wrong else "passed", wrong.detail if wrong else "")
    assert tally.status is not None
    return Execution(
        id=program.id,
        status=tally.status,
        cases=cases,
        detail=tally.detail,
        cpu_seconds=sum(run.report["cpu"] for run in runs),
        peak_memory_mb=max(run.report["peak_kb"] for run in runs) / 1024,
    )


def _split(reports: list[dict[str, Any]], body: bytes) -> Iterator[_Run]:
    place = 0
    for report in reports:
        end = place + report["frames"]
        frames = list(_frames(body[place:end]))
        place = end + report["output"]
        yield _Run(report, frames, body[end:place])


def _frames(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + FRAME.size <= len(text):
        kind, length = FRAME.unpack_from(text, place)
        place += FRAME.size + length
        yield kind, text[place - length : place]


def _judge_module(program: Program, numbers: list[int], run: _Run, tally: _Tally) -> None:
    kind, text = run.frames[0] if run.frames else (b"", b"")
    if kind == b"M":
        tally.stop("out_of_memory", "MemoryError while loading")
    elif kind == b"N":
        tally.stop("not_executable", _words(text))
    elif kind != b"L":
        tally.stop("timed_out" if run.timed_out else "not_executable", f"{run.end} while loading")
    if tally.status is not None:
        return
    results = iter(run.frames[1:])
    for number in numbers:
        kind, text = next(results, (b"", b""))
        result = _case_result(program.cases[number], kind, text)
        if result is None:
            _judge_end(number, kind, run, tally)
            return
        tally.cases[number] = result
    if run.timed_out:
        tally.stop("timed_out", run.end)


def _judge_end(number: int, kind: bytes, run: _Run, tally: _Tally) -> None:
    """The case in which the process ended."""
    if kind == b"M":
        tally.cases[number] = CaseResult(outcome="raised", detail="MemoryError")
        tally.stop("out_of_memory", "MemoryError")
    elif run.timed_out:
        tally.cases[number] = CaseResult(outcome="timed_out", detail=run.end)
        tally.stop("timed_out", run.end)
    else:
        tally.cases[number] = CaseResult(outcome="raised", detail=run.end)
        tally.stop("crashed", run.end)


def _case_result(case: Case, kind: bytes, text: bytes) -> CaseResult | None:
    """The result that a frame tells, or None when the frame is not one that this case can have."""
    if kind == b"R":
        return CaseResult(outcome="raised", detail=_words(text))
    if isinstance(case, Statement) and kind == b"S":
        return CaseResult(outcome="passed")
    if isinstance(case, Call) and kind == b"U":
        return CaseResult(outcome="wrong", detail="not plain: " + _words(text).partition(": ")[2])
    if isinstance(case, Call) and kind == b"V":
        return _compare(case, text)
    return None


@functools.lru_cache(maxsize=4096)
def _expected(source: str) -> Any:
    return parse_literal(source)


def _compare(case: Call, text: bytes) -> CaseResult:
    try:
        actual = decode(text, max_hashed=len(case.expected))
    except ValueError as error:
        return CaseResult(outcome="wrong", detail=str(error)[:_DETAIL])
    if equal(actual, _expected(case.expected), case.tolerance):
        return CaseResult(outcome="passed")
    return CaseResult(outcome="wrong", detail=_show(actual))


def _show(value: Any) -> str:
    try:
        return reprlib.repr(value)[:_DETAIL]
    except ValueError:  # Python prints no int of more than some thousand digits
        return "an int too long to print"


def _judge_script(program: Program, number: int, run: _Run, tally: _Tally) -> None:
    case = program.cases[number]
    assert isinstance(case, Stdio)
    kind, text = run.frames[0] if run.frames else (b"", b"")
    if kind == b"N":
        tally.stop("not_executable", _words(text))
    elif kind == b"M" or run.timed_out:
        _judge_end(number, kind, run, tally)
    elif run.report["stopped"] == "output":
        limit = program.limits.output_kb
        tally.cases[number] = CaseResult(outcome="wrong", detail=f"printed more than {limit} KB")
    elif kind == b"R":
        tally.cases[number] = CaseResult(outcome="raised", detail=_words(text))
    elif run.report["exit"] < 0:
        _judge_end(number, kind, run, tally)
    elif run.report["exit"] > 0:
        tally.cases[number] = CaseResult(outcome="raised", detail=run.end)
    else:
        printed = run.output.decode(errors="replace")
        same = _lines(printed) == _lines(case.stdout)
        tally.cases[number] = (
            CaseResult(outcome="passed") if same else CaseResult(outcome="wrong", detail=printed[:_DETAIL])
        )


def _lines(text: str) -> list[list[str]]:
    """The words of each line, without the empty lines at the end."""
    lines = [line.split() for line in text.rstrip().split("\n")]
    return lines if lines != [[]] else []


def _words(text: bytes) -> str:
    return text.decode(errors="replace")[:_DETAIL]
