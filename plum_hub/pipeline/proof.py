"""The proof of a suite: its own reference passes it, twice alike, and stubs that solve nothing fail it (law 3).

The second run has other surroundings (`Program.elsewhere`): another hash seed, folder, time zone, environment, clock
and state of `random`. A suite that notices would label solutions by chance.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

from plum_hub.answers.starter import Stub, make_stub_code
from plum_hub.answers.surroundings import REPEATS, elsewhere, repeats, varying_sources
from plum_hub.execution import Execution, Judge, Limits, Program
from plum_hub.judging.cases import evidence, program
from plum_hub.records import SuiteContent

_STUBS: dict[str, Stub] = {"stub": "none", "stub raises": "raises", "stub echo": "echo"}
_MISSING = re.compile(r"ModuleNotFoundError: No module named '(?P<name>[\w.]+)'")
_ADDRESS = re.compile(r"0x[0-9A-Fa-f]{6,}")
_NAMED = 3  # sources in a detail
_DOES: dict[Stub, str] = {"none": "returns None", "raises": "raises an error", "echo": "returns its argument"}


ProofReason: TypeAlias = Literal["reference_failed", "nondeterministic", "flaky", "missing_module", "stub_passed"]
"""Why a suite is not proved."""


def run_proofs(suites: Mapping[str, SuiteContent], judge: Judge, limits: Limits) -> dict[str, Execution]:
    """Run the programs that prove suites: references and stubs, then what may pass again in other surroundings.

    Args:
        suites: Suites by a name, which `unproved` needs too. Of one without a reference, only the stubs are run.
        judge: Runs the programs.
        limits: Limits of each program.

    Returns:
        The results by the programs' ids.

    Raises:
        SandboxError: Programs cannot be run on this machine.
    """
    first = (one for name, suite in suites.items() for one in _first_programs(name, suite, limits))
    executions = {execution.id: execution for execution in judge.run(first)}
    again = (
        one
        for name, suite in suites.items()
        if (reference := executions.get(f"{name}:reference")) and _may_differ(reference, suite)
        for one in _again_programs(name, suite, limits)
    )
    return executions | {execution.id: execution for execution in judge.run(again)}


def _may_differ(reference: Execution, suite: SuiteContent) -> bool:
    """Whether another run can teach anything: the first passed, or failed by what may be chance."""
    if reference.status == "failed":
        return bool(varying_sources(suite.reference, suite.cases))
    return reference.status == "passed"


def _first_programs(name: str, suite: SuiteContent, limits: Limits) -> Iterator[Program]:
    codes = {"reference": suite.reference} if suite.reference else {}
    codes |= {role: make_stub_code(suite.starter_code, suite.entry_point, stub) for role, stub in _STUBS.items()}
    for role, code in codes.items():
        yield program(f"{name}:{role}", code, suite.entry_point, suite.cases, limits)


def _again_programs(name: str, suite: SuiteContent, limits: Limits) -> Iterator[Program]:
    """Yield the reference in other surroundings, several times if it may pass by chance."""
    for number in range(1 + repeats(suite.reference, suite.cases)):
        code, cases = elsewhere(suite.reference, suite.cases, number + 1)
        again = program(f"{name}:{_again(number)}", code, suite.entry_point, cases, limits)
        yield replace(again, elsewhere=True)


def unproved(name: str, executions: Mapping[str, Execution], suite: SuiteContent) -> tuple[ProofReason | None, str]:
    """Tell why a suite is not proved.

    Args:
        name: As in `run_proofs`.
        executions: What that returned.
        suite: The suite, which is searched for what its results may depend on.

    Returns:
        The reason of its drop and the evidence; None and an empty text if it is proved.
    """
    reference = executions.get(f"{name}:reference")
    others = [one for number in range(1 + REPEATS) if (one := executions.get(f"{name}:{_again(number)}"))]
    if reference is not None:
        runs = [reference, *others]
        failed = next((run for run in runs if run.status != "passed"), None)
        if failed is not None:
            if (module := _MISSING.search(evidence(failed))) is not None:
                return "missing_module", _why_missing(module["name"])
            sources = varying_sources(suite.reference, suite.cases)
            if sources and any(_result(run) != _result(reference) for run in others):
                return "nondeterministic", f"{', '.join(sources[:_NAMED])}: {_line(failed)}"
            return "reference_failed" if failed is reference else "flaky", _line(failed)
    for role, stub in _STUBS.items():
        if executions[f"{name}:{role}"].status == "passed":
            return "stub_passed", f"a stub that {_DOES[stub]} passes every case"
    return None, ""


def _again(number: int) -> str:
    return f"again {number}" if number else "again"


def _result(execution: Execution) -> object:
    """Return what two runs of a program that depends on nothing else have in common."""
    return execution.status, [(case.outcome, _ADDRESS.sub("", case.detail)) for case in execution.cases]


def _line(execution: Execution) -> str:
    return " ".join(evidence(execution).split())


def _why_missing(name: str) -> str:
    """Say why a module is missing in the sandbox, and what gives it where something does."""
    if (top := name.partition(".")[0]) in ("numpy", "pandas"):
        return f"{top} is not in the sandbox: `--set verdicts.{top}=true` gives it"
    if name.partition(".")[0] in sys.stdlib_module_names:
        return f"{name} is hidden in the sandbox: programs could read memory with it"
    return f"{name} is not in the sandbox, which has the standard library only"
