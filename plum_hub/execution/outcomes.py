"""Decide what a program did from a jail's reports of its runs. All comparisons happen here."""

import re
import reprlib
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from plum_hub.execution import wire
from plum_hub.execution.base import (
    Call,
    Case,
    CaseResult,
    Comparison,
    Execution,
    Program,
    Reinterpretation,
    Statement,
    Stdio,
    Steps,
    Value,
)
from plum_hub.execution.cases import Cases, expected
from plum_hub.execution.closeness import Closeness, accepts
from plum_hub.execution.comparisons import agrees
from plum_hub.execution.conditions import MAX_HASHED, Condition, Raised, Raises
from plum_hub.execution.literals import MAX_CHARACTERS, write_literal
from plum_hub.execution.output import OutputComparison, output_agrees
from plum_hub.execution.values import MAX_ALL_BYTES, MAX_BYTES, TooManyElementsError, decode, encode

_DETAIL = 200
_NUMPY = re.compile(rb'\{"[gh]":')
_NO_ROOM = f"values of more than {MAX_ALL_BYTES} bytes together"
_TAIL = 2000

Outcome: TypeAlias = Literal["passed", "wrong", "raised", "timed_out", "not_run"]
Status: TypeAlias = Literal["passed", "failed", "timed_out", "out_of_memory", "crashed", "not_executable"]
_OUT_OF_TIME = (-signal.SIGXCPU, -signal.SIGPROF)
"""Exit codes of a process that exceeded its CPU time, or that of one call (`cases`)."""


@dataclass(frozen=True)
class RunOutcome:
    """One run of a program.

    Attributes:
        report: How it ended.
        tokens: The secret tokens of its statements, in order.
        results: Frames that the program's process wrote; not trustworthy.
        output: What a script printed.
        printed: The end of what else was printed.
    """

    report: wire.RunReport
    tokens: list[bytes]
    results: bytes
    output: bytes
    printed: bytes
    memory_exceeded: bool = False
    """Whether it was killed because its processes together exceeded the memory limit."""

    @classmethod
    def of(cls, header: bytes, body: bytes) -> "RunOutcome":
        """Parse a jail's answer.

        Args:
            header: A packed `wire.RunReport`.
            body: Tokens, results, output and the tail of other output, concatenated.

        Returns:
            The run.
        """
        report = wire.RunReport(*wire.TOLD.unpack(header))
        output = report.tokens + report.results
        printed = output + report.output
        tokens = [body[start : start + wire.TOKEN_BYTES] for start in range(0, report.tokens, wire.TOKEN_BYTES)]
        return cls(report, tokens, body[report.tokens : output], body[output:printed], body[printed:])

    @property
    def timed_out(self) -> bool:
        """Whether a limit of CPU or wall time ended the run."""
        return self.report.stopped in (b"c", b"w") or self.report.exit in _OUT_OF_TIME

    @property
    def killed(self) -> bool:
        """Whether something else than us killed it: itself, or the machine for want of memory."""
        return self.report.stopped == b"-" and self.report.exit == -signal.SIGKILL

    @property
    def first_frame(self) -> tuple[bytes, bytes]:
        """A script's result: kind and content."""
        return next(wire.frames(self.results), (b"", b""))

    @property
    def end(self) -> str:
        """How the process ended, in words."""
        if self.report.stopped in (b"c", b"w"):
            return f"over its limit of {'CPU' if self.report.stopped == b'c' else 'wall'} time"
        code = self.report.exit
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"


@dataclass
class _ResultTally:
    """The results so far. The first event that ends a program sets `status`."""

    program: Program
    plan: Cases
    cases: dict[int, CaseResult] = field(default_factory=dict)
    raw: dict[int, bytes | RunOutcome] = field(default_factory=dict)
    """The values and runs that reinterpretations read, by case."""
    status: Status | None = None
    detail: str = ""

    failed_readings: set[bool] = field(default_factory=set)
    """For a decisive program: whether the cases themselves (False) and their reinterpretations (True) contain one that
    did not pass.
    """

    def stop(self, status: Status, detail: str) -> None:
        """Set the status unless it is set."""
        if self.status is None:
            self.status, self.detail = status, detail

    def add(self, number: int, result: CaseResult, raw: bytes | RunOutcome | None) -> None:
        """Add a case's result, and what its reinterpretations read. Of the results of its steps, the first failure."""
        if isinstance(case := self.program.cases[number], Steps):
            if number in self.cases and self.cases[number].outcome != "passed":
                return
            result = replace(result, judged=_judged(case))
        self.cases[number] = result
        if raw is not None:
            self.raw[number] = raw
        if self.program.decisive:
            readings = (number, *self.plan.reinterpretations.get(number, ()))
            self.failed_readings |= {
                reading != number for reading in readings if self.result(reading).outcome != "passed"
            }

    @property
    def decided(self) -> bool:
        """Whether no further result can change the verdict."""
        return self.program.decisive and len(self.failed_readings) > bool(self.plan.reinterpretations)

    def result(self, number: int) -> CaseResult:
        """Return the result of a case or a reinterpretation."""
        if number not in self.cases:
            self.cases[number] = self._result(number)
        return self.cases[number]

    def _result(self, number: int) -> CaseResult:
        case = self.program.cases[number]
        if isinstance(case, Steps) and not case.steps and self.status is None:
            return _PASSED
        if not isinstance(case, Reinterpretation):
            return _result(case, "not_run")
        first, raw, read = self.program.cases[case.case], self.raw.get(case.case), case.comparison
        if read == "words" or read == "contest" or read == "livecodebench":
            if isinstance(first, Stdio) and isinstance(raw, RunOutcome):
                return _script_result(first.stdout, read, raw, self.program.limits.output_kb)
        elif isinstance(first, Call) and isinstance(raw, bytes):
            return compare(raw, first.expected, case.tolerance, read)
        return self.result(case.case)


def execution(program: Program, cases: Cases, runs: list[RunOutcome]) -> Execution:
    """Decide what a program did.

    Args:
        program: The program.
        cases: Its cases as the jail received them.
        runs: Its runs, in order.

    Returns:
        Status and results.
    """
    if runs[0].results == cases.passing_results and not runs[0].timed_out:
        return _execution(program, runs, "passed", (_PASSED,) * len(program.cases), "")
    tally = _ResultTally(program, cases)
    rest = iter(runs)
    if cases.module_cases or not cases.scripts:
        _judge_module(next(rest), tally)
    for number, run in zip(cases.scripts, rest, strict=False):
        if tally.status is None and not tally.decided:
            _judge_script(number, run, tally)
    results = tuple(map(tally.result, range(len(program.cases))))
    if tally.status is None:
        wrong = next((result for result in results if result.outcome != "passed"), None)
        tally.stop("failed" if wrong else "passed", wrong.detail if wrong else "")
    assert tally.status is not None
    return _execution(program, runs, tally.status, results, tally.detail)


def failed_readings(program: Program, cases: Cases, number: int, run: RunOutcome) -> set[bool]:
    """Determine what the run of one script of a decisive program has decided.

    Args:
        program: The program.
        cases: Its cases as the jail received them.
        number: Index of the script's case.
        run: Its run.

    Returns:
        False if the case did not pass; True if one of its reinterpretations did not.
    """
    tally = _ResultTally(program, cases)
    _judge_script(number, run, tally)
    return tally.failed_readings


class PartialResults:
    """Results of a decisive program's calls while they are still running.

    Args:
        program: The program.
        cases: Its cases as the jail received them.

    Attributes:
        results: The frames so far.
    """

    def __init__(self, program: Program, cases: Cases) -> None:
        self.results = b""
        self._tally = _ResultTally(program, cases)
        self._parts = iter(cases.parts)
        self._kinds = b""
        self._passing_results = cases.passing_results

    @property
    def decided(self) -> bool:
        """Whether the results so far decide the verdict."""
        return self._tally.decided

    def take(self, part: bytes) -> bool:
        """Add results.

        Args:
            part: Further frames, all complete.

        Returns:
            Whether the results so far decide the verdict.
        """
        seen = len(self.results)
        self.results += part
        if self._passing_results is not None and self._passing_results[seen : len(self.results)] == part:
            return False
        self._read(wire.frames(part if self._passing_results is None else self.results))
        self._passing_results = None
        return self.decided

    def _read(self, frames: Iterable[tuple[bytes, bytes]]) -> None:
        for kind, text in frames:
            if kind in (wire.COMPILED, wire.LOADED):
                continue
            if kind == wire.KINDS:
                self._kinds = text
                continue
            number, part = next(self._parts, (0, None))
            result = None if part is None else _case_result(part, kind, text, self._kinds, proved=False)
            if result is None:
                self._parts = iter(())  # the program has ended; its report follows
            elif not self.decided:
                self._tally.add(number, result, text if kind == wire.VALUE else None)


def _execution(
    program: Program, runs: list[RunOutcome], status: Status, results: tuple[CaseResult, ...], detail: str
) -> Execution:
    return Execution(
        id=program.id,
        status=status,
        cases=results,
        detail=detail,
        output=(runs[-1].output + runs[-1].printed)[-_TAIL:].decode(errors="replace"),
        cpu_seconds=sum(run.report.cpu for run in runs),
        peak_memory_mb=max(run.report.peak_kb for run in runs) / 1024,
    )


def _judge_module(run: RunOutcome, tally: _ResultTally) -> None:
    frames = iter([*wire.frames(run.results)][1:])
    kind, text = next(frames, (b"", b""))
    if kind == wire.OUT_OF_MEMORY:
        tally.stop("out_of_memory", "MemoryError while loading")
    elif kind == wire.NOT_LOADED:
        tally.stop("not_executable", _text(text))
    elif kind != wire.LOADED:
        status: Status = "timed_out" if run.timed_out else "out_of_memory" if run.memory_exceeded else "not_executable"
        tally.stop(status, f"{run.end} while loading")
    if tally.status is not None:
        return
    tokens = iter(run.tokens)
    for number, case in tally.plan.parts:
        token = next(tokens) if isinstance(case, Statement) else b""
        kind, text = next(frames, (b"", b""))
        before = {wire.TOKEN: b"", wire.KINDS: b""}
        while kind in before:
            before[kind] = text
            kind, text = next(frames, (b"", b""))
        if isinstance(case, Call) and (detail := _why_not_judged(case.expected, kind, text)):
            tally.add(number, _result(case, "raised", detail), None)
            tally.stop("out_of_memory", detail)
            return
        result = _case_result(case, kind, text, before[wire.KINDS], proved=before[wire.TOKEN] == token)
        if result is None:
            _judge_end(case, number, kind, run, tally)
            return
        tally.add(number, result, text if kind == wire.VALUE else None)
        if tally.decided:
            return
    if run.timed_out:
        tally.stop("timed_out", run.end)


def _is_far_smaller(source: str) -> bool:
    """Tell whether an expected value is so short that none which is too long by itself can be equal to it."""
    value = expected(source)[0]
    if isinstance(value, Condition | Raises):
        return isinstance(value, Raises)
    try:
        return len(encode(value.expected if isinstance(value, Closeness) else value)) < MAX_BYTES // 16
    except ValueError:
        return False


def _why_not_judged(source: str, kind: bytes, text: bytes) -> str:
    """Explain why a value is too large to be judged: it may be correct, so it does not count as wrong; "" if it is not.

    Conditions are not decided on large sets and dictionaries, since no expected value bounds what is rebuilt.
    """
    if kind == wire.NO_ROOM and not isinstance(expected(source)[0], Raises):
        return f"{_NO_ROOM}, which is not carried out of the sandbox"
    if kind == wire.TOO_LARGE and not _is_far_smaller(source):
        return f"{_text(text).partition(': ')[2]}, which is not carried out of the sandbox"
    if kind != wire.VALUE or len(text) <= MAX_HASHED or not isinstance(expected(source)[0], Condition):
        return ""
    try:
        decode(text, max_hashed=MAX_HASHED)
    except TooManyElementsError:
        return f"a set or dictionary of more than {MAX_HASHED} elements, which is not rebuilt outside the sandbox"
    except ValueError:
        return ""
    return ""


def _judge_end(case: Case, number: int, kind: bytes, run: RunOutcome, tally: _ResultTally) -> None:
    """Add the case in which the process ended, and the program's status: failed, if a step of the case had before."""
    if number in tally.cases and tally.cases[number].outcome != "passed":
        tally.stop("failed", tally.cases[number].detail)
        return
    status: Status = "timed_out" if run.timed_out else "out_of_memory" if run.memory_exceeded else "crashed"
    detail = run.end
    if kind == wire.OUT_OF_MEMORY:
        status, detail = "out_of_memory", "MemoryError"
    tally.add(number, _result(case, "timed_out" if status == "timed_out" else "raised", detail), None)
    tally.stop(status, detail)


_PASSED = CaseResult(outcome="passed")


def _result(case: Case, outcome: Outcome, detail: str = "") -> CaseResult:
    return CaseResult(outcome=outcome, detail=detail, judged=_judged(case))


def _judged(case: Case) -> Literal["outside", "inside"]:
    return "inside" if isinstance(case, Statement) else "outside"


def _case_result(case: Case, kind: bytes, text: bytes, kinds: bytes, *, proved: bool) -> CaseResult | None:
    """Return the result that a frame reports, or None if this case cannot have such a frame."""
    if isinstance(case, Call) and isinstance(wanted := expected(case.expected)[0], Raises):
        return _raise_result(wanted, kind, text, kinds)
    if kind == wire.RAISED:
        return _result(case, "raised", _text(text))
    if isinstance(case, Statement):
        return _result(case, "passed") if kind == wire.DONE and proved else None
    if kind == wire.UNSUPPORTED:
        return _result(case, "wrong", "not plain: " + _text(text).partition(": ")[2])
    if kind == wire.TOO_LARGE and isinstance(case, Call | Value):
        return _result(case, "wrong", _text(text).partition(": ")[2])
    if kind == wire.NO_ROOM and isinstance(case, Value):
        return _result(case, "wrong", _NO_ROOM)
    if kind == wire.VALUE and isinstance(case, Call):
        return compare(text, case.expected, case.tolerance, case.comparison)
    if kind == wire.VALUE and isinstance(case, Value):
        return _literal_result(text)
    return None


def _raise_result(wanted: Raises, kind: bytes, text: bytes, kinds: bytes) -> CaseResult | None:
    """Return the result of a call that has to raise."""
    if kind == wire.RAISED:
        return _PASSED if accepts(wanted, Raised.of(kinds)) else CaseResult(outcome="raised", detail=_text(text))
    if kind in (wire.VALUE, wire.UNSUPPORTED, wire.TOO_LARGE, wire.NO_ROOM):
        return CaseResult(outcome="wrong", detail=f"{' or '.join(wanted.expected)} was not raised")
    return None


def compare(text: bytes, source: str, tolerance: float | None, comparison: Comparison) -> CaseResult:
    """Compare a value with the expected one.

    Args:
        text: The value as it left the sandbox.
        source: The expected value, as source.
        tolerance: See `Call`.
        comparison: See `Call`.

    Returns:
        `passed` or `wrong`.

    Raises:
        ValueError: The expected value is neither a literal nor a closeness.
    """
    expected_value, largest = expected(source)
    try:
        actual = decode(text, max_hashed=largest)
    except ValueError as error:
        return CaseResult(outcome="wrong", detail=str(error)[:_DETAIL])
    if agrees(actual, expected_value, tolerance, comparison):
        return _PASSED
    if _NUMPY.search(text) and agrees(decode(text, largest, scalars=True), expected_value, tolerance, comparison):
        return _PASSED
    return CaseResult(outcome="wrong", detail=_show(actual))


def _literal_result(text: bytes) -> CaseResult:
    """Return the result of a `Value` as a literal that can be parsed again.

    Sets of any size are built, since values are only requested from trusted programs.
    """
    if len(text) > MAX_CHARACTERS:
        return CaseResult(outcome="wrong", detail=f"a value of more than {MAX_CHARACTERS} characters")
    try:
        return CaseResult(outcome="passed", value=write_literal(decode(text, max_hashed=len(text))))
    except ValueError as error:
        return CaseResult(outcome="wrong", detail=str(error)[:_DETAIL])


def _show(value: Any) -> str:
    try:
        return reprlib.repr(value)[:_DETAIL]
    except ValueError:  # Python limits the digits of an int that it prints
        return "an int too long to print"


def _judge_script(number: int, run: RunOutcome, tally: _ResultTally) -> None:
    case = tally.program.cases[number]
    assert isinstance(case, Stdio)
    kind, text = run.first_frame
    if kind == wire.NOT_LOADED:
        tally.stop("not_executable", _text(text))
    elif kind == wire.OUT_OF_MEMORY or run.timed_out or _was_killed(run, case.comparison):
        _judge_end(case, number, kind, run, tally)
    else:
        result = _script_result(case.stdout, case.comparison, run, tally.program.limits.output_kb)
        tally.add(number, result, run)


def _was_killed(run: RunOutcome, comparison: OutputComparison) -> bool:
    kind, text = run.first_frame
    return run.report.exit < 0 and run.report.stopped != b"o" and (kind != wire.RAISED or _is_exit(text, comparison))


def _is_exit(text: bytes, comparison: OutputComparison) -> bool:
    """Return whether the exception is an exit that does not count as a failure."""
    return comparison == "livecodebench" and text.startswith(b"SystemExit")


def _script_result(stdout: str, comparison: OutputComparison, run: RunOutcome, max_kb: int) -> CaseResult:
    """Return the result of a script that ended by itself."""
    kind, text = run.first_frame
    if run.report.stopped == b"o":
        return CaseResult(outcome="wrong", detail=f"printed more than {max_kb} KB")
    if kind == wire.RAISED and not _is_exit(text, comparison):
        return CaseResult(outcome="raised", detail=_text(text))
    if run.report.exit > 0:
        return CaseResult(outcome="raised", detail=run.end)
    printed = run.output.decode(errors="replace")
    matches = output_agrees(printed, stdout, comparison)
    return _PASSED if matches else CaseResult(outcome="wrong", detail=printed[:_DETAIL])


def _text(text: bytes) -> str:
    return text.decode(errors="replace")[:_DETAIL]
