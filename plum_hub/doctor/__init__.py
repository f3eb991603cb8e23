"""What this machine can do; the library behind `plum-hub doctor`."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plum_hub.doctor.diagnosis import Diagnosis
from plum_hub.errors import EngineError, HubError, MachineError, PlumError, SandboxError
from plum_hub.execution.base import SandboxName

if TYPE_CHECKING:
    from plum_hub.attacks.runner import AttackOutcome
    from plum_hub.execution.layers import Layer

_ERRORS: dict[str, type[PlumError]] = {"sandbox": SandboxError, "hub": HubError, "engine": EngineError}


@dataclass(frozen=True, kw_only=True)
class MachineReport:
    """What `examine` found.

    Attributes:
        diagnoses: All findings, in the order in which they are shown.
        findings: The main ones in one line each, by name.
        layers: The layers of the sandboxes.
        refusal: Why no sandbox works here; None if one does.
    """

    diagnoses: list[Diagnosis]
    findings: dict[str, str]
    layers: "list[Layer]"
    refusal: SandboxError | None

    @property
    def faults(self) -> list[Diagnosis]:
        """The findings with which a build, a training or a publication would fail."""
        return [one for one in self.diagnoses if one.state == "fault"]

    def error(self) -> PlumError | None:
        """Return the error that the first fault stands for, None without a fault; a missing sandbox comes first."""
        if self.refusal is not None:
            return self.refusal
        if not self.faults:
            return None
        first, more = self.faults[0], len(self.faults) - 1
        others = f" (and {more} more: plum-hub doctor)" if more else ""
        return _ERRORS.get(first.group, MachineError)(f"{first.name}: {first.says}; {first.mend}{others}")


def examine(engines: tuple[str, ...] = (), hub: str = "auto", address: str | None = None) -> MachineReport:
    """Examine this machine, and what it reaches. One harmless program runs in a verified sandbox; nothing is changed.

    Whatever needs the network is asked at the same time as the rest, and given up after `reach.SECONDS`.

    Args:
        engines: Engines to reach, in the command line's form, such as `openai:NAME@URL`; OpenAI itself as well where
            there is a key.
        hub: The Hub to reach, as `--hub` names it.
        address: A Ray cluster, HOST:PORT; None for `RAY_ADDRESS` or the one that runs on this machine.

    Returns:
        Versions, memory, disk, GPU, isolation, Hub, engines and Ray.

    Raises:
        EngineError: An engine has no such form.
        HubError: A Hub has no such form.
    """
    from plum_hub.doctor import isolation, machine, reach, versions
    from plum_hub.hubs.client import choose_target

    target, servers = choose_target(hub), reach.servers(engines)
    with ThreadPoolExecutor() as pool:
        probed = [pool.submit(reach.hub, target), *(pool.submit(reach.engine, server) for server in servers)]
        cluster, gpu = pool.submit(reach.ray, address), pool.submit(machine.gpu)
        isolated = isolation.examine()
        python = machine.python()
        here = [*versions.examine(), python, machine.memory(), *machine.disks(), *gpu.result()]
        reached = [one for job in probed for one in job.result()]
        diagnoses = [*here, *isolated.diagnoses, *reached, *cluster.result()]
    return MachineReport(
        diagnoses=diagnoses,
        findings={"python": python.says} | isolated.findings | versions.engines() | {"hub": reach.describe(target)},
        layers=isolated.layers,
        refusal=isolated.refusal,
    )


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
