"""Which sandboxes work on this machine, layer by layer."""

from typing import TYPE_CHECKING, NamedTuple

from plum_hub.doctor.diagnosis import Diagnosis, State
from plum_hub.errors import SandboxError

if TYPE_CHECKING:
    from plum_hub.execution.layers import Layer

_NAMESPACES = (
    "run  sysctl -w kernel.apparmor_restrict_unprivileged_userns=0  as root (Ubuntu), or start the container with "
    "--cap-add SYS_ADMIN --security-opt apparmor=unconfined; without it the landlock sandbox serves"
)
_MENDS = {
    "Landlock": "use Linux 5.13 or newer with landlock among the modules of the boot parameter lsm=",
    "seccomp": "allow seccomp filters in the container: --security-opt seccomp=unconfined",
    "/proc": "start the container with --security-opt systempaths=unconfined",
    "cgroup memory": "run as root, or with a delegated control group:  systemd-run --user --scope -p Delegate=yes CMD",
    "cgroup pids": "run as root, or with a delegated control group:  systemd-run --user --scope -p Delegate=yes CMD",
    "docker": "install docker, and start its daemon:  systemctl start docker",
}
"""How to get a layer that is missing; all others come with namespaces."""


class Isolation(NamedTuple):
    """What was found of the sandboxes.

    Attributes:
        diagnoses: A finding for each sandbox and each layer.
        findings: A line for each sandbox, by name.
        layers: The layers.
        refusal: Why no sandbox works; None if one does.
    """

    diagnoses: list[Diagnosis]
    findings: dict[str, str]
    layers: "list[Layer]"
    refusal: SandboxError | None


def examine() -> Isolation:
    """Probe every layer, and run one harmless program in a verified sandbox.

    Returns:
        What works here.
    """
    from plum_hub.execution.judge import refusals
    from plum_hub.execution.layers import survey

    layers, refusal = survey(), None
    try:
        verified = _verify()
    except SandboxError as error:
        verified, refusal = f"none: {error}", error
    refused = refusals()
    state: State = "fault" if refusal else "ok"
    mend = "" if refusal is None else _of_shell(str(refusal)) or "change one of the layers below"
    diagnoses = [Diagnosis(group="sandbox", name="isolation", state=state, says=verified, mend=mend)]
    diagnoses += [_sandbox(name, reason) for name, reason in refused.items()]
    diagnoses += [_layer(layer) for layer in layers]
    findings = {"isolation": verified, **{f"sandbox {name}": _say(name, reason) for name, reason in refused.items()}}
    return Isolation(diagnoses, findings, layers, refusal)


def _sandbox(name: str, refusal: str) -> Diagnosis:
    return Diagnosis(
        group="sandbox", name=f"sandbox {name}", state="note" if refusal else "ok", says=_say(name, refusal),
        mend=refusal and (_of_shell(refusal) or _MENDS.get(name.replace("landlock", "Landlock"), _NAMESPACES)),
    )  # fmt: skip


def _of_shell(refusal: str) -> str:
    """Return what mends limits of this shell or job, which no layer can; empty if these are not why."""
    return "raise them before this command:  ulimit -v unlimited; ulimit -t unlimited" if "ulimit" in refusal else ""


def _say(name: str, refusal: str) -> str:
    """Describe a sandbox in one line: whether it works, and what it leaves open."""
    from plum_hub.execution.landlock import differences

    if refusal:
        return f"no: {refusal}"
    return f"yes; {differences()}" if name == "landlock" else "yes"


def _layer(layer: "Layer") -> Diagnosis:
    says = f" ({layer.says})" if layer.says else ""
    if layer.present:
        return Diagnosis(group="sandbox", name=layer.name, state="ok", says=f"yes{says}")
    return Diagnosis(
        group="sandbox", name=layer.name, state="note", says=f"no{says}: {layer.without}",
        mend=_MENDS.get(layer.name, _NAMESPACES),
    )  # fmt: skip


def _verify() -> str:
    from plum_hub.execution import Call, Judge, Limits, Program

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
