"""Programs, cases, results, and the sandbox interface.

A sandbox runs programs and reports what each did. It knows nothing of labels, suites or run folders.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from plum_hub.execution.output import OutputComparison

Comparison: TypeAlias = Literal["equal", "near", "close", "any_of", "root_of", "as_list"]
"""How a value is compared with the expected one; defined in `comparisons.agrees`."""

MAX_STDIO_BYTES = 32 << 20
"""Input and expected output of one script together: with as much output again, they fit into a scratch folder."""

RealSandboxName: TypeAlias = Literal["jail", "landlock", "docker"]
SandboxName: TypeAlias = Literal["auto", RealSandboxName]
"""What isolates programs; `auto` is the first of the others that works on this machine."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """An expression over the program's names and the value it should have.

    The judge keeps `expected`; the program's process only sees `expression`.

    Attributes:
        expression: A Python expression, for example `f(2)`.
        expected: A Python literal, a closeness or a condition (`closeness.parse_expected`), as source.
        tolerance: Absolute difference that numbers may have; None for exact comparison.
        comparison: See `Comparison`.
    """

    expression: str
    expected: str
    tolerance: float | None = None
    comparison: Comparison = "equal"
    cpu_seconds: float | None = None
    """CPU seconds for this call alone; None for all that the program has left."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """An expression over the program's names whose value is requested.

    The value is returned in `CaseResult.value`; any value that can be encoded passes.
    """

    expression: str


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Statements that raise if the program is wrong; they run in the program's process."""

    source: str


@dataclass(frozen=True, kw_only=True)
class Steps:
    """A statement taken apart: what it does runs in the program's process, what it compares is compared by the judge.

    One case: it passes if every step does.

    Attributes:
        source: The whole statement.
        steps: Statements that decide nothing, and calls, in order. They share the names that they bind.
    """

    source: str
    steps: tuple[Statement | Call, ...]


@dataclass(frozen=True, kw_only=True)
class Stdio:
    """Standard input of a script and the output it should print; the program runs once for each such case."""

    stdin: str
    stdout: str
    comparison: OutputComparison = "contest"
    cpu_seconds: float | None = None
    """CPU seconds for this case alone; None for all that the program has left."""


@dataclass(frozen=True, kw_only=True)
class Reinterpretation:
    """A second comparison, by another rule, of what an earlier call or script produced. Nothing runs for it."""

    case: int
    """Index of the earlier case in the program's cases."""
    comparison: Comparison | OutputComparison
    tolerance: float | None = None


Case: TypeAlias = Call | Value | Statement | Steps | Stdio | Reinterpretation


def described(case: Case) -> tuple[str, dict[str, object]]:
    """Describe a case for digests.

    Args:
        case: The case.

    Returns:
        Its kind and its values. Steps are the statement that they were: how it is taken apart follows from it, and from
        the version of the harness.
    """
    whole = Statement(source=case.source) if isinstance(case, Steps) else case
    return type(whole).__name__, vars(whole)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Resources of one program, all of its cases together.

    CPU time decides, because it does not depend on the machine's load: wall-clock limits fail correct programs on a
    busy machine. The wall-clock limit is a generous backstop.
    """

    cpu_seconds: float = 5.0
    """CPU time, in seconds."""
    wall_seconds: float = 60.0
    """Wall-clock time, in seconds."""
    memory_mb: int = 1024
    """Address space, in MiB."""
    output_kb: int = 1024
    """Printed text, in KiB."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """Source code and the cases to run.

    Attributes:
        id: Returned in `Execution.id`.
        code: Python source.
        entry_point: The name that the program must define; None for a script.
        cases: Run in this order.
        limits: See `Limits`.
    """

    id: str
    code: str
    entry_point: str | None
    cases: tuple[Case, ...]
    limits: Limits
    decisive: bool = False
    """Stop at the first case that does not pass: later cases are neither run nor reported. With `Reinterpretation`,
    stop once both the cases and their reinterpretations have one that did not pass.
    """
    elsewhere: bool = False
    """Run in other surroundings (`Judge` only): another hash seed, state of `random`, working folder, time zone,
    recursion limit and environment. What gives other results there is not decided by the program alone.
    """


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """Result of one case. `detail` is the value or exception seen, at most 200 characters."""

    outcome: Literal["passed", "wrong", "raised", "timed_out", "not_run"]
    detail: str = ""
    judged: Literal["outside", "inside"] = "outside"
    """Where it was decided: `outside`, by the judge from what left the sandbox; `inside`, for a `Statement`, in the
    program's own process.
    """
    value: str | None = None
    """The value of a `Value`, as a literal (`literals.write_literal`)."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What one program did.

    Attributes:
        id: The id of the program.
        status: `passed` if every case passed; otherwise what ended the program or `failed`.
        cases: One result for each case, in order.
        detail: Why it did not pass; empty if it did.
    """

    id: str
    status: Literal["passed", "failed", "timed_out", "out_of_memory", "crashed", "not_executable"]
    cases: tuple[CaseResult, ...]
    detail: str
    output: str
    """The end of what the program printed, at most 2,000 characters."""
    cpu_seconds: float
    peak_memory_mb: float


class Sandbox(Protocol):
    """Runs programs in isolation. Implementations satisfy the contract in tests/contracts/test_sandboxes.py."""

    @property
    def harness_version(self) -> str:
        """Version of the code and interpreter that decide.

        Part of every verdict's id; it changes when a verdict could change.
        """
        ...

    def run(self, programs: Iterable[Program]) -> Iterator[Execution]:
        """Run every program once.

        A program at or near one of its limits is run again alone on a processor core, and only that run counts.

        Args:
            programs: Consumed as workers become free.

        Yields:
            What each program did, as each finishes, in any order.

        Raises:
            SandboxError: This machine could not run programs as promised. It implies nothing about any program.
            ValueError: An expected value is neither a literal nor a closeness (`closeness.parse_expected`).
        """
        ...

    def close(self) -> None:
        """Stop the workers and remove everything they left. Idempotent."""
        ...
