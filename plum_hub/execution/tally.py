"""From a program to what a jail is asked, run by run. What the answers come to is in `outcomes`."""

import hashlib
import json
import math
import signal
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from plum_hub.errors import SandboxError
from plum_hub.execution import wire
from plum_hub.execution.base import Again, Call, Case, Execution, Program, Statement, Stdio, Value
from plum_hub.execution.outcomes import Run, execution, expected, passes
from plum_hub.execution.values import UnsupportedValueError, encode

_TIMED = "(__import__('signal').setitimer(2, {}), {})[1]"
"""An expression with a limit of CPU time of its own: behind it a signal ends the process. Who takes the limit away has
all that is left to the program, as without."""
_READ_ALIKE = ("equal", "near", "close", "as_list")
"""Comparisons that the expected value itself passes."""


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
    """The numbers of the cases that all run in one process, and of those (`scripts`) with one each. Other readings are
    among neither."""
    scripts: tuple[int, ...]


_CASES: OrderedDict[int, tuple[tuple[Case, ...], Cases]] = OrderedDict()
"""By identity: the samples of a suite share its cases, and to compare a thousand takes longer than many programs."""
_SUITES_KEPT = 1024


def cases_of(program: Program) -> Cases:
    """The program's cases as a jail is told them.

    Raises:
        ValueError: an expected value is not a literal, or what is to be read again is no earlier call or script.
    """
    cases = program.cases
    known = _CASES.get(id(cases))
    if known is not None and known[0] is cases:
        _CASES.move_to_end(id(cases))
        return known[1]
    told: list[tuple[str, str]] = []
    for number, case in enumerate(cases):
        if isinstance(case, Again) and not (0 <= case.case < number and isinstance(cases[case.case], Call | Stdio)):
            raise ValueError(f"case {number} reads case {case.case} again, which is no earlier call or script")
        if isinstance(case, Call):
            expected(case.expected)
            timed = _TIMED.format(case.cpu_seconds, case.expression) if case.cpu_seconds else case.expression
            told.append(("call", timed))
        elif isinstance(case, Value):
            told.append(("call", case.expression))
        elif isinstance(case, Statement):
            told.append(("statement", case.source))
    text = json.dumps(told).encode()
    scripts = tuple(number for number, case in enumerate(cases) if isinstance(case, Stdio))
    inside = tuple(number for number, case in enumerate(cases) if not isinstance(case, Stdio | Again))
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
        if not isinstance(case, Call | Again) or case.comparison not in _READ_ALIKE:
            return None
        if isinstance(case, Again):
            continue
        try:
            text = encode(expected(case.expected)[0])
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
        self._runs: list[Run] = []

    def request(self, met: str) -> bytes:
        """The message that has a jail do the next run. `met` names the cases that it had last."""
        limits, program = self._program.limits, self._program
        script = None if self._module else self._case(self._left[0])
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

    def _case(self, number: int) -> Stdio:
        case = self._program.cases[number]
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
        run = Run.of(header, body)
        if run.told.exit == -signal.SIGKILL and killed_for_memory():
            run = replace(run, had_too_much=True)
        self._runs.append(run)
        if self._module:
            self._module = False
        else:
            number = self._left.pop(0)
            if self._case(number).decisive and not passes(self._program, number, run):
                self._left.clear()
        return not self._left or self._runs[-1].told.stopped in (b"c", b"w")

    @property
    def clean(self) -> bool:
        """Whether the jail may be used again."""
        return self._runs[-1].told.clean

    def execution(self) -> Execution:
        """What the program did."""
        return execution(self._program, self.cases.inside, self.cases.scripts, self._runs, self.cases.right)
