"""Runs the whole corpus in jails that have proved themselves, and says of each program whether it was stopped."""

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
"""What needs nothing outside the jail. Escapes, and what programs leave behind, come on top (`run_all`)."""


@dataclass(frozen=True, kw_only=True)
class AttackOutcome:
    """One program of the corpus: what it tries, the status it should get, the one it got, and whether it was stopped
    (for a right program: whether it was left alone). `told`: it was not, and that sandbox
    does not promise to."""

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
        workers: how many run at a time; None for one on each core.
        sandbox: what isolates them.

    Raises:
        SandboxError: no jail can be had here, or one broke under a program.
    """
    with Judge(workers, sandbox=sandbox) as judge:
        for group, attacks in GROUPS.items():
            yield from run_group(judge, group, attacks)
        with targets() as (port, secret):
            yield from run_group(judge, "escapes", escapes(port, secret))
        for execution in judge.run(correct.MODULES + correct.SCRIPTS):
            yield AttackOutcome(
                group="right programs", name=execution.id, about="does what it should", wanted="passed",
                status=execution.status, stopped=execution.status == "passed", detail=execution.detail,
            )  # fmt: skip
    with Judge(workers=1, sandbox=sandbox) as judge:
        for attack in LEFT_BEHIND:
            (outcome,) = run_group(judge, "left behind", [attack])
            (after,) = run_group(judge, "left behind", [LOOK])
            yield outcome if after.stopped else _found(outcome, after)


def run_group(judge: Judge, group: str, attacks: list[Attack]) -> Iterator[AttackOutcome]:
    """Run these attacks, and say of each whether it was stopped."""
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
    """Something real to get at: a loopback port with a TCP and a UDP listener, and the path of a file with a secret.

    Raises:
        SandboxError: something from inside reached a listener, or wrote beside the file, whatever it said itself.
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
                raise SandboxError("an attack reached this machine's network; `plum-hub doctor` names what is missing")
        if [path.name for path in Path(folder).iterdir()] != ["secret"]:
            raise SandboxError("an attack wrote to this machine's files; `plum-hub doctor` names what is missing")
