"""Run the corpus in verified sandboxes, and report whether each program was stopped."""

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plum_hub.attacks import Attack, correct, forgeries, machinery, resources
from plum_hub.attacks.escapes import LEFT_BEHIND, LOOK, escapes
from plum_hub.errors import SandboxError
from plum_hub.execution.base import SandboxName
from plum_hub.execution.judge import Judge

GROUPS: dict[str, list[Attack]] = {
    "false passes": [
        *forgeries.ENDS, *forgeries.LIES, *forgeries.PATCHES, *machinery.STOLEN, *machinery.FORGED, *machinery.PATCHED
    ],
    "resources": resources.TAKEN,
    "evasion of limits": resources.EVASIONS,
}  # fmt: skip
"""Attacks that need no target outside the jail. `run_all` adds escapes and what programs leave behind."""


@dataclass(frozen=True, kw_only=True)
class AttackOutcome:
    """The result of one program of the corpus.

    Attributes:
        group: The group of the corpus.
        name: The program.
        about: What it tries.
        wanted: The expected status.
        status: The actual status.
        stopped: Whether it was stopped; for a correct program, whether it passed.
        detail: `Execution.detail`.
        told: It was not stopped, and this sandbox does not promise to stop it.
    """

    group: str
    name: str
    about: str
    wanted: str
    status: str
    stopped: bool
    detail: str
    told: bool = False


def run_all(workers: int | None = None, sandbox: SandboxName = "auto") -> Iterator[AttackOutcome]:
    """Run every program, group by group.

    Args:
        workers: Number of programs that run at a time; None for one for each core.
        sandbox: What isolates them.

    Yields:
        The outcome of each program.

    Raises:
        SandboxError: No sandbox works here, one broke under a program, or an attack got out.
    """
    with Judge(workers, sandbox=sandbox) as judge:
        for group, attacks in GROUPS.items():
            yield from run_group(judge, group, attacks)
        with targets() as (port, secret):
            yield from run_group(judge, "escapes", escapes(port, secret))
        for execution in judge.run(correct.MODULES + correct.SCRIPTS):
            yield AttackOutcome(
                group="right programs", name=execution.id, about="behaves correctly", wanted="passed",
                status=execution.status, stopped=execution.status == "passed", detail=execution.detail,
            )  # fmt: skip
    with Judge(workers=1, sandbox=sandbox) as judge:
        for attack in LEFT_BEHIND:
            (outcome,) = run_group(judge, "left behind", [attack])
            (after,) = run_group(judge, "left behind", [LOOK])
            yield outcome if after.stopped else _found(outcome, after)


def run_group(judge: Judge, group: str, attacks: list[Attack]) -> Iterator[AttackOutcome]:
    """Run attacks, and report whether each was stopped.

    Args:
        judge: Runs them.
        group: Name of the group, for the outcomes.
        attacks: The attacks.

    Yields:
        The outcome of each.
    """
    known = {attack.name: attack for attack in attacks}
    sandbox = judge.harness_version.partition("-")[0]
    for execution in judge.run([attack.program for attack in attacks]):
        attack = known[execution.id]
        yield AttackOutcome(
            group=group, name=attack.name, about=attack.about, wanted=attack.status, status=execution.status,
            stopped=attack.stopped(execution.status), detail=execution.detail,
            told=attack.open_in == sandbox and not attack.stopped(execution.status),
        )  # fmt: skip


def _found(outcome: AttackOutcome, after: AttackOutcome) -> AttackOutcome:
    about = f"{outcome.about} (the next program found: {after.detail})"
    return AttackOutcome(
        group=outcome.group, name=outcome.name, about=about, wanted=outcome.wanted, status=outcome.status,
        stopped=False, detail=outcome.detail,
    )  # fmt: skip


@contextlib.contextmanager
def targets() -> Iterator[tuple[int, str]]:
    """Provide real targets: a loopback port with TCP and UDP listeners, and a file with a secret.

    Yields:
        The port, and the path of the file.

    Raises:
        SandboxError: A program reached a listener or wrote beside the file, whatever it reported itself.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        Path(folder).chmod(0o755)
        secret = Path(folder, "secret")
        secret.write_text("for nobody")
        udp.bind(tcp.getsockname())
        yield tcp.getsockname()[1], str(secret)
        tcp.setblocking(False)
        udp.setblocking(False)
        for reach in (tcp.accept, lambda: udp.recv(1)):
            with contextlib.suppress(BlockingIOError):
                reach()
                raise SandboxError(
                    "an attack reached the network of this machine; run `plum-hub doctor` to see which layer is missing"
                )
        if [path.name for path in Path(folder).iterdir()] != ["secret"]:
            raise SandboxError(
                "an attack wrote to files of this machine; run `plum-hub doctor` to see which layer is missing"
            )
