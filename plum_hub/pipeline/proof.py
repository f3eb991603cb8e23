"""The proof of a suite: its own reference passes it, twice alike, and stubs that solve nothing fail it (law 3)."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from plum_hub.answers.starter import Stub, make_stub_code
from plum_hub.execution import Execution, Limits, Program
from plum_hub.judging.cases import evidence, program
from plum_hub.records import TestCase

_STUBS: dict[str, Stub] = {"stub": "none", "stub raises": "raises", "stub echo": "echo"}
_DOES: dict[Stub, str] = {"none": "returns None", "raises": "raises an error", "echo": "returns its argument"}


class UnprovedSuite(Protocol):
    """What a proof needs of a suite. Without a reference, only the stubs are run."""

    @property
    def entry_point(self) -> str:
        """Name of the function or class under test; empty for a script."""

    @property
    def starter_code(self) -> str:
        """What a solver is given; stubs are made of it."""

    @property
    def reference(self) -> str:
        """The reference solution; empty if there is none."""

    @property
    def cases(self) -> tuple[TestCase, ...]:
        """The test cases."""


def proof_programs(name: str, suite: UnprovedSuite, limits: Limits) -> Iterator[Program]:
    """Make the programs that prove a suite.

    Args:
        name: Names the suite in the ids of the programs.
        suite: The suite.
        limits: Limits of each program.

    Yields:
        The reference twice, and the stubs.
    """
    codes = {"reference": suite.reference, "again": suite.reference} if suite.reference else {}
    codes |= {role: make_stub_code(suite.starter_code, suite.entry_point, stub) for role, stub in _STUBS.items()}
    for role, code in codes.items():
        yield program(f"{name}:{role}", code, suite.entry_point, suite.cases, limits)


def unproved(name: str, executions: Mapping[str, Execution]) -> tuple[str | None, str]:
    """Tell why a suite is not proved.

    Args:
        name: As in `proof_programs`.
        executions: The results of its programs, by id.

    Returns:
        The reason of its drop and the evidence; None and an empty text if it is proved.
    """
    reference, again = executions.get(f"{name}:reference"), executions.get(f"{name}:again")
    if reference is not None and reference.status != "passed":
        return "reference_failed", evidence(reference)
    if again is not None and again.status != "passed":
        return "flaky", evidence(again)
    for role, stub in _STUBS.items():
        if executions[f"{name}:{role}"].status == "passed":
            return "stub_passed", f"a stub that {_DOES[stub]} passes every case"
    return None, ""
