"""What a sandbox promises.

A sandbox runs programs and says what each did. It has never heard of a label, a suite or a run folder.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from plum_hub.execution.output import OutputComparison

Comparison: TypeAlias = Literal["equal", "near", "close", "any_of", "root_of", "as_list"]
"""How a value is held against what is expected: `comparisons.agrees` says what each means."""

SandboxName: TypeAlias = Literal["auto", "jail", "landlock", "docker"]
"""What isolates programs; `auto` is the first of the others that can be had on this machine."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """An expression over the program's names, and the literal (Python source) or the closeness
    (`closeness.parse_expected`) that it should give.

    `expected` stays in the judge's process; the program's process sees `expression` only."""

    expression: str
    expected: str
    tolerance: float | None = None
    comparison: Comparison = "equal"
    cpu_seconds: float | None = None
    """What this call alone may use; a program that uses more is over its limit. None for all that is left."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """An expression over the program's names whose value is asked for: it comes back as `CaseResult.value`, and
    whatever it is, the case has passed."""

    expression: str


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Statements that raise when the program is wrong; they run in the program's process."""

    source: str


@dataclass(frozen=True, kw_only=True)
class Stdio:
    """What the program reads, and what it should print; a program runs once for each such case."""

    stdin: str
    stdout: str
    comparison: OutputComparison = "words"
    cpu_seconds: float | None = None
    """What this case alone may use of the program's time; None for all that is left."""


@dataclass(frozen=True, kw_only=True)
class Reinterpretation:
    """Another reading of what an earlier call or script gave, by a rule of its own. Nothing runs for it."""

    case: int
    """That one's position in the program's cases."""
    comparison: Comparison | OutputComparison
    tolerance: float | None = None


Case: TypeAlias = Call | Value | Statement | Stdio | Reinterpretation


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one program may use. CPU time decides, because it does not depend on the machine's load (wall-clock limits
    fail right programs on a busy machine); wall time is the generous stop behind it. For a whole program, all
    its cases together."""

    cpu_seconds: float = 5.0
    wall_seconds: float = 60.0
    memory_mb: int = 1024
    output_kb: int = 1024


@dataclass(frozen=True, kw_only=True)
class Program:
    """Source code, the name it must define (None for a script) and the cases to run, in order."""

    id: str
    code: str
    entry_point: str | None
    cases: tuple[Case, ...]
    limits: Limits
    decisive: bool = False
    """Whether the first case that is not passed decides: no case behind it is run or told of. Where there is
    `Reinterpretation`, both the cases and these readings of them have to have one."""


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """What happened in one case. `detail`: the value or exception seen, at most 200 characters."""

    outcome: Literal["passed", "wrong", "raised", "timed_out", "not_run"]
    detail: str = ""
    judged: Literal["outside", "inside"] = "outside"
    """Where it was decided: outside, from a value or a text that came out; or, for a statement, inside the program's
    own process."""
    value: str | None = None
    """What a `Value` gave, as a literal (`literals.write_literal`)."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What one program did. `cases` has one result for each case, in order; times in CPU seconds."""

    id: str
    status: Literal["passed", "failed", "timed_out", "out_of_memory", "crashed", "not_executable"]
    cases: tuple[CaseResult, ...]
    detail: str
    output: str
    """The end of what the program printed, at most 2,000 characters."""
    cpu_seconds: float
    peak_memory_mb: float


class Sandbox(Protocol):
    """Runs programs in isolation. Members hold the contract in tests/contracts/test_sandboxes.py."""

    @property
    def harness_version(self) -> str:
        """Names the code and interpreter that decide; part of every verdict's id. Changes when a verdict could."""
        ...

    def run(self, programs: Iterable[Program]) -> Iterator[Execution]:
        """Run every program once and yield what each did, as each finishes, in any order.

        A program over a limit, or near one, is run again alone on a processor core, and only that run counts.

        Raises:
            SandboxError: this machine could not run programs as promised. Says nothing about any program (law 1).
            ValueError: an expected value is neither a literal nor a closeness (`closeness.parse_expected`).
        """
        ...

    def close(self) -> None:
        """Stop the workers, leaving nothing behind. Idempotent."""
        ...
