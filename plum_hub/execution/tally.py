"""From a program to a request, and from a jail's answer to what the program did. All comparing happens here."""

import functools
import hashlib
import json
import math
import reprlib
import signal
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from plum_hub.errors import SandboxError
from plum_hub.execution import wire
from plum_hub.execution.base import Call, Case, CaseResult, Execution, Program, Statement, Stdio, Value
from plum_hub.execution.comparisons import agrees
from plum_hub.execution.literals import largest_hashed, parse_literal, write_literal
from plum_hub.execution.printed import printed_agrees
from plum_hub.execution.values import UnsupportedValueError, decode, encode

_DETAIL = 200
_TAIL = 2000

Outcome: TypeAlias = Literal["passed", "wrong", "raised", "timed_out", "not_run"]
Status: TypeAlias = Literal["passed", "failed", "timed_out", "out_of_memory", "crashed", "not_executable"]


@dataclass(frozen=True)
class Cases:
    """What a jail is told of a program's cases: never an expected value, never what should be printed. A jail that has
    met `name` keeps `text`."""

    name: str
    text: bytes
    statements: int
    right: bytes | None
    """See `_right`: most programs that pass are seen to at a glance."""
    inside: tuple[int, ...]
    """The numbers of the cases that all run in one process, and of those (`scripts`) with one each."""
    scripts: tuple[int, ...]


_CASES: OrderedDict[int, tuple[tuple[Case, ...], Cases]] = OrderedDict()
"""By identity: the samples of a suite share its cases, and to compare a thousand takes longer than many programs."""
_SUITES_KEPT = 1024


def cases_of(program: Program) -> Cases:
    """The program's cases as a jail is told them.

    Raises:
        ValueError: an expected value is not a literal.
    """
    cases = program.cases
    known = _CASES.get(id(cases))
    if known is not None and known[0] is cases:
        _CASES.move_to_end(id(cases))
        return known[1]
    told: list[tuple[str, str]] = []
    for case in cases:
        if isinstance(case, Call):
            _expected(case.expected)
        if isinstance(case, Call | Value):
            told.append(("call", case.expression))
        elif isinstance(case, Statement):
            told.append(("statement", case.source))
    text = json.dumps(told).encode()
    scripts = tuple(number for number, case in enumerate(cases) if isinstance(case, Stdio))
    inside = tuple(number for number in range(len(cases)) if number not in set(scripts))
    statements = sum(kind == "statement" for kind, _ in told)
    name = hashlib.blake2b(text, digest_size=16).hexdigest()
    found = Cases(name, text, statements, _right(cases), inside, scripts)
    _CASES[id(cases)] = (cases, found)
    if len(_CASES) > _SUITES_KEPT:
        _CASES.popitem(last=False)
    return found


def _right(cases: tuple[Case, ...]) -> bytes | None:
    """The results of a program that gives every call its value, to the letter; None where there are other cases."""
    frames = [wire.FRAME.pack(wire.COMPILED, 0), wire.FRAME.pack(wire.LOADED, 0)]
    for case in cases:
        if not isinstance(case, Call) or case.comparison not in ("equal", "near", "close", "as_list"):
            return None
        try:
            text = encode(_expected(case.expected)[0])
        except UnsupportedValueError:
            return None
        frames.append(wire.framed(wire.VALUE, text))
    return b"".join(frames)


class Trial:
    """One program in one jail: asks for its runs one by one, within one budget, and takes what is told of each.

    Args:
        program: what to run.
        overhead_bytes: the address space that the jail itself needs.
        time_share: of the program's time limits, what this trial may use.
        compiled: the program as `scribe.Scribe` has compiled it; empty if it has not.

    Raises:
        SandboxError: no process can have the program's limits.
        ValueError: an expected value is not a literal.
    """

    def __init__(self, program: Program, overhead_bytes: int, time_share: float, compiled: bytes = b"") -> None:
        self.cases = cases_of(program)
        self._time_share = time_share
        self._cpu_seconds = program.limits.cpu_seconds * time_share
        self._wall_seconds = program.limits.wall_seconds * time_share
        self._program, self._compiled = program, compiled
        self._memory = overhead_bytes + (program.limits.memory_mb << 20)
        if self._memory >= 1 << 63 or not math.isfinite(program.limits.cpu_seconds):
            raise SandboxError(f"program {program.id!r}: its limits (cpu_seconds, memory_mb) cannot be set: too large")
        self._left = [*self.cases.scripts]
        self._module = bool(self.cases.inside) or not self._left
        self._runs: list[_Run] = []

    def request(self, met: str) -> bytes:
        """The message that has a jail do the next run. `met` names the cases that it had last."""
        limits, program = self._program.limits, self._program
        script = None if self._module else self._script()
        stdin = b"" if script is None else script.stdin.encode(errors="surrogatepass")
        code = self._compiled or program.code.encode(errors="surrogatepass")
        entry_point = (program.entry_point or "").encode() if self._module else b""
        cases = self.cases.text if self._module and met != self.cases.name else b""
        cpu = self._cpu_seconds - sum(run.told.cpu for run in self._runs)
        output = limits.output_kb << 10
        if script is not None:
            cpu = min(cpu, (script.cpu_seconds or math.inf) * self._time_share)
            output = max(output, 2 * len(script.stdout))
        header = wire.ASKED.pack(
            wire.SCRIPT if script else wire.MODULE,
            bool(self._compiled),
            self.cases.statements if self._module else 0,
            cpu,
            self._wall_seconds - sum(run.told.wall for run in self._runs),
            self._memory,
            output,
            len(code),
            len(cases),
            len(entry_point),
        )
        return wire.pack(header, b"".join((code, cases, entry_point, stdin)))

    def _script(self) -> Stdio:
        case = self._program.cases[self._left[0]]
        assert isinstance(case, Stdio)
        return case

    @property
    def is_in_its_last_run(self) -> bool:
        """Whether there is no run to ask for behind the one that is asked for."""
        return len(self._left) <= (not self._module)

    def take(self, header: bytes, body: bytes, killed_for_memory: Callable[[], bool]) -> bool:
        """Take what is told of the run that was asked for last; False when there are more to do.

        Args:
            header, body: the jail's answer.
            killed_for_memory: whether the kernel stopped a process of the run because all together had too much.
        """
        run = _Run.of(header, body)
        if run.told.exit == -signal.SIGKILL and killed_for_memory():
            run = replace(run, had_too_much=True)
        self._runs.append(run)
        if self._module:
            self._module = False
        else:
            del self._left[0]
        return not self._left or self._runs[-1].told.stopped in (b"c", b"w")

    @property
    def clean(self) -> bool:
        """Whether the jail may be used again."""
        return self._runs[-1].told.clean

    def execution(self) -> Execution:
        """What the program did."""
        return execution(self._program, self.cases, self._runs)


@dataclass(frozen=True)
class _Run:
    """One run: how it ended, the tokens of its statements, its results, what a script printed, and the end of what else
    was printed."""

    told: wire.Told
    tokens: list[bytes]
    results: bytes
    output: bytes
    printed: bytes
    had_too_much: bool = False
    """Whether it was killed because its processes had more memory together than one program may."""

    @classmethod
    def of(cls, header: bytes, body: bytes) -> "_Run":
        told = wire.Told(*wire.TOLD.unpack(header))
        output = told.tokens + told.results
        printed = output + told.output
        tokens = [body[start : start + wire.TOKEN_BYTES] for start in range(0, told.tokens, wire.TOKEN_BYTES)]
        return cls(told, tokens, body[told.tokens : output], body[output:printed], body[printed:])

    @property
    def timed_out(self) -> bool:
        return self.told.stopped in (b"c", b"w") or self.told.exit == -signal.SIGXCPU

    @property
    def end(self) -> str:
        """How the process ended, in words."""
        if self.told.stopped in (b"c", b"w"):
            return f"over its limit of {'CPU' if self.told.stopped == b'c' else 'wall'} time"
        code = self.told.exit
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


def execution(program: Program, cases: Cases, runs: list[_Run]) -> Execution:
    """What the runs say of a program."""
    if runs[0].results == cases.right and not runs[0].timed_out:
        return _execution(program, runs, "passed", (_PASSED,) * len(program.cases), "")
    tally = _Tally(cases={})
    rest = iter(runs)
    if cases.inside or not cases.scripts:
        _judge_module(program, cases.inside, next(rest), tally)
    for number, run in zip(cases.scripts, rest, strict=False):
        if tally.status is None:
            _judge_script(program, number, run, tally)
    results = tuple(tally.cases.get(number) or _result(case, "not_run") for number, case in enumerate(program.cases))
    if tally.status is None:
        wrong = next((result for result in results if result.outcome != "passed"), None)
        tally.stop("failed" if wrong else "passed", wrong.detail if wrong else "")
    assert tally.status is not None
    return _execution(program, runs, tally.status, results, tally.detail)


def _execution(
    program: Program, runs: list[_Run], status: Status, results: tuple[CaseResult, ...], detail: str
) -> Execution:
    return Execution(
        id=program.id,
        status=status,
        cases=results,
        detail=detail,
        output=(runs[-1].output + runs[-1].printed)[-_TAIL:].decode(errors="replace"),
        cpu_seconds=sum(run.told.cpu for run in runs),
        peak_memory_mb=max(run.told.peak_kb for run in runs) / 1024,
    )


def _judge_module(program: Program, numbers: tuple[int, ...], run: _Run, tally: _Tally) -> None:
    frames = iter([*wire.frames(run.results)][1:])
    kind, text = next(frames, (b"", b""))
    if kind == wire.OUT_OF_MEMORY:
        tally.stop("out_of_memory", "MemoryError while loading")
    elif kind == wire.NOT_LOADED:
        tally.stop("not_executable", _words(text))
    elif kind != wire.LOADED:
        status: Status = "timed_out" if run.timed_out else "out_of_memory" if run.had_too_much else "not_executable"
        tally.stop(status, f"{run.end} while loading")
    if tally.status is not None:
        return
    tokens = iter(run.tokens)
    for number in numbers:
        case = program.cases[number]
        token = next(tokens) if isinstance(case, Statement) else b""
        kind, text = next(frames, (b"", b""))
        proof = b""
        while kind == wire.TOKEN:
            proof, (kind, text) = text, next(frames, (b"", b""))
        result = _case_result(case, kind, text, proved=proof == token)
        if result is None:
            _judge_end(case, number, kind, run, tally)
            return
        tally.cases[number] = result
    if run.timed_out:
        tally.stop("timed_out", run.end)


def _judge_end(case: Case, number: int, kind: bytes, run: _Run, tally: _Tally) -> None:
    """The case in which the process ended."""
    status: Status = "timed_out" if run.timed_out else "out_of_memory" if run.had_too_much else "crashed"
    detail = run.end
    if kind == wire.OUT_OF_MEMORY:
        status, detail = "out_of_memory", "MemoryError"
    tally.cases[number] = _result(case, "timed_out" if status == "timed_out" else "raised", detail)
    tally.stop(status, detail)


_PASSED = CaseResult(outcome="passed")


def _result(case: Case, outcome: Outcome, detail: str = "") -> CaseResult:
    return CaseResult(outcome=outcome, detail=detail, judged="inside" if isinstance(case, Statement) else "outside")


def _case_result(case: Case, kind: bytes, text: bytes, *, proved: bool) -> CaseResult | None:
    """The result that a frame tells, or None when the frame is not one that this case can have."""
    if kind == wire.RAISED:
        return _result(case, "raised", _words(text))
    if isinstance(case, Statement):
        return _result(case, "passed") if kind == wire.DONE and proved else None
    if kind == wire.UNSUPPORTED:
        return _result(case, "wrong", "not plain: " + _words(text).partition(": ")[2])
    if kind == wire.VALUE and isinstance(case, Call):
        return _compare(case, text)
    if kind == wire.VALUE and isinstance(case, Value):
        return _given(text)
    return None


@functools.lru_cache(maxsize=4096)
def _expected(source: str) -> tuple[Any, int]:
    """An expected value, and how large a set or dictionary in a right answer can be."""
    value = parse_literal(source)
    return value, largest_hashed(value)


def _compare(case: Call, text: bytes) -> CaseResult:
    expected, largest = _expected(case.expected)
    try:
        actual = decode(text, max_hashed=largest)
    except ValueError as error:
        return CaseResult(outcome="wrong", detail=str(error)[:_DETAIL])
    if agrees(actual, expected, case.tolerance, case.comparison):
        return CaseResult(outcome="passed")
    return CaseResult(outcome="wrong", detail=_show(actual))


def _given(text: bytes) -> CaseResult:
    """What a `Value` gave. Sets of any size are built: it is asked of programs that are trusted to be right."""
    try:
        return CaseResult(outcome="passed", value=write_literal(decode(text, max_hashed=len(text))))
    except ValueError as error:
        return CaseResult(outcome="wrong", detail=str(error)[:_DETAIL])


def _show(value: Any) -> str:
    try:
        return reprlib.repr(value)[:_DETAIL]
    except ValueError:  # Python prints no int of more than some thousand digits
        return "an int too long to print"


def _judge_script(program: Program, number: int, run: _Run, tally: _Tally) -> None:
    case = program.cases[number]
    assert isinstance(case, Stdio)
    kind, text = next(wire.frames(run.results), (b"", b""))
    if kind == wire.NOT_LOADED:
        tally.stop("not_executable", _words(text))
    elif kind == wire.OUT_OF_MEMORY or run.timed_out:
        _judge_end(case, number, kind, run, tally)
    elif run.told.stopped == b"o":
        limit = program.limits.output_kb
        tally.cases[number] = CaseResult(outcome="wrong", detail=f"printed more than {limit} KB")
    elif kind == wire.RAISED and not (case.comparison == "livecodebench" and text.startswith(b"SystemExit")):
        tally.cases[number] = CaseResult(outcome="raised", detail=_words(text))
    elif run.told.exit < 0:
        _judge_end(case, number, kind, run, tally)
    elif run.told.exit > 0:
        tally.cases[number] = CaseResult(outcome="raised", detail=run.end)
    else:
        printed = run.output.decode(errors="replace")
        same = printed_agrees(printed, case.stdout, case.comparison)
        tally.cases[number] = (
            CaseResult(outcome="passed") if same else CaseResult(outcome="wrong", detail=printed[:_DETAIL])
        )


def _words(text: bytes) -> str:
    return text.decode(errors="replace")[:_DETAIL]
