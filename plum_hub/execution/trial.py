"""Turn a program into requests to a jail, one for each run. The answers are evaluated in `outcomes`."""

import math
import signal
from collections.abc import Callable
from dataclasses import replace

from plum_hub.errors import SandboxError
from plum_hub.execution import wire
from plum_hub.execution.base import Execution, Program, Stdio
from plum_hub.execution.cases import cases_of
from plum_hub.execution.outcomes import PartialResults, RunOutcome, execution, failed_readings

_CONTENDED, _CONTENDED_SECONDS = 1.1, 0.05
"""Ratio of wall to CPU time, and seconds on top, above which a core was shared with other processes."""


class ProgramTrial:
    """One program in one jail: requests its runs one by one, within one budget, and collects the reports.

    Args:
        program: The program to run.
        overhead_bytes: Address space of the jail itself.
        time_share: Fraction of the program's time limits for this trial. More than 1 also extends the limits of single
            cases.
        compiled: What `compiler.answer` gave for the program; empty if it was not compiled ahead.

    Raises:
        SandboxError: The program's limits cannot be set for any process.
        ValueError: An expected value is not a literal.
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
        self._pending = [*self.cases.scripts]
        self._module_pending = bool(self.cases.module_cases) or not self._pending
        self._runs: list[RunOutcome] = []
        self._failed_readings: set[bool] = set()
        """`outcomes.failed_readings` of the scripts so far."""
        watched = program.decisive and len(self.cases.parts) > 1 and not self.cases.statements
        self._partial = PartialResults(program, self.cases) if watched else None

    def request(self, cached_cases: str) -> bytes:
        """Build the request for the next run.

        Args:
            cached_cases: Name of the cases that the jail received last (`Cases.name`); they are not sent again.

        Returns:
            A message for the jail.
        """
        limits, program = self._program.limits, self._program
        script = None if self._module_pending else self._case(self._pending[0])
        stdin = b"" if script is None else script.stdin.encode(errors="surrogatepass")
        code = self._compiled or program.code.encode(errors="surrogatepass")
        entry_point = (program.entry_point or "").encode() if self._module_pending else b""
        cases = self.cases.text if self._module_pending and cached_cases != self.cases.name else b""
        cpu = self._cpu_seconds - sum(run.report.cpu for run in self._runs)
        output = limits.output_kb << 10
        if script is not None:
            cpu = min(cpu, (script.cpu_seconds or math.inf) * self._time_share)
            output = max(output, 2 * len(script.stdout.encode(errors="surrogatepass")))
        header = wire.ASKED.pack(
            wire.SCRIPT if script else wire.MODULE,
            bool(self._compiled),
            self._module_pending and self._partial is not None,
            self.cases.statements if self._module_pending else 0,
            cpu,
            self._wall_seconds - sum(run.report.wall for run in self._runs),
            self._memory,
            output,
            len(code),
            len(cases),
            len(entry_point),
            max(1.0, self._time_share),
        )
        return wire.pack(header, b"".join((code, cases, entry_point, stdin)))

    def _case(self, number: int) -> Stdio:
        case = self._program.cases[number]
        assert isinstance(case, Stdio)
        return case

    @property
    def is_last_run(self) -> bool:
        """Whether no run follows the one that was requested."""
        return len(self._pending) <= (not self._module_pending)

    def observe(self, part: bytes) -> bool:
        """Take results of the run in progress.

        Args:
            part: Further frames, all complete.

        Returns:
            Whether they decide the verdict for the first time, so that the run can be stopped.
        """
        return self._partial is not None and not self._partial.decided and self._partial.take(part)

    def take(self, header: bytes, body: bytes, killed_for_memory: Callable[[], bool]) -> bool:
        """Take the report of the run that was requested last.

        Args:
            header: The jail's answer: a packed `wire.RunReport`.
            body: Tokens, results and output.
            killed_for_memory: Whether the kernel killed a process of the run because all together exceeded the memory
                limit.

        Returns:
            Whether this was the last run.
        """
        run = RunOutcome.of(header, body)
        if self._module_pending and self._partial is not None and self._partial.decided:
            run = replace(run, results=self._partial.results)
        if run.report.exit == -signal.SIGKILL and killed_for_memory():
            run = replace(run, memory_exceeded=True)
        self._runs.append(run)
        if self._module_pending:
            self._module_pending = False
        else:
            self._failed_readings |= failed_readings(self._program, self.cases, self._pending.pop(0), run)
            if self._program.decisive and len(self._failed_readings) > bool(self.cases.reinterpretations):
                self._pending.clear()
        return not self._pending or self._runs[-1].report.stopped in (b"c", b"w")

    @property
    def contended(self) -> bool:
        """Whether the program had to share its processor core so far.

        CPU time excludes the time of other processes but grows when they evict the caches: by about 30 % at a load of 7
        on 2 cores.
        """
        wall, cpu = (sum(getattr(run.report, clock) for run in self._runs) for clock in ("wall", "cpu"))
        return bool(wall > _CONTENDED * cpu + _CONTENDED_SECONDS)

    @property
    def killed(self) -> bool:
        """Whether something else than us killed a run."""
        return any(run.killed for run in self._runs)

    @property
    def clean(self) -> bool:
        """Whether the jail can be used again."""
        return self._runs[-1].report.clean

    def execution(self) -> Execution:
        """Return what the program did."""
        return execution(self._program, self.cases, self._runs)
