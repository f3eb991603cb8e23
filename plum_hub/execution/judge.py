"""The judge: the public face of this room."""

import functools
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Literal, Self, TypeAlias

from plum_hub.errors import SandboxError
from plum_hub.execution.base import Execution, Program, Sandbox, SandboxName
from plum_hub.execution.docker import DockerSandbox
from plum_hub.execution.jail import JailSandbox
from plum_hub.execution.landlock import LandlockSandbox, LandlockWorker
from plum_hub.execution.worker import BrokenWorkerError, Jail, Worker

RealSandboxName: TypeAlias = Literal["jail", "landlock", "docker"]

_SANDBOXES: tuple[RealSandboxName, ...] = ("jail", "landlock", "docker")
_ENCLOSURES: dict[str, type[Jail]] = {"jail": Jail, "landlock": LandlockWorker}
_NOT_ISOLATED = "programs cannot be isolated on this machine"


class Judge:
    """Runs programs in isolation and says what each did.

        with Judge() as judge:
            for execution in judge.run(programs):
                print(execution.id, execution.status)

    Args:
        workers: how many programs run at a time; None for one on each core.
        sandbox: what isolates them: `jail` (Linux namespaces), `landlock` (where those are refused), `docker`, or
            `auto` for the first of these that can be had, found out when programs are run first (`choose`).
        numpy: whether programs may use it, and cases may expect its arrays.

    Raises:
        SandboxError: `docker` with `numpy`, which its containers do not have.
    """

    def __init__(self, workers: int | None = None, *, sandbox: SandboxName = "auto", numpy: bool = False) -> None:
        if sandbox == "docker" and numpy:
            raise SandboxError("programs have no numpy in the docker sandbox; judge them in jail or landlock")
        self._workers, self._name, self._numpy = workers, sandbox, numpy
        self._open_sandbox: Sandbox | None = None

    @property
    def _sandbox(self) -> Sandbox:
        if self._open_sandbox is None:
            name = choose(numpy=self._numpy) if self._name == "auto" else self._name
            if name == "docker":
                self._open_sandbox = DockerSandbox(self._workers)
            else:
                kind = JailSandbox if name == "jail" else LandlockSandbox
                self._open_sandbox = kind(self._workers, numpy=self._numpy)
        return self._open_sandbox

    @property
    def harness_version(self) -> str:
        """Names the code and interpreter that decide; part of every verdict's id.

        Raises:
            SandboxError: `auto`, and there is no sandbox on this machine.
        """
        return self._sandbox.harness_version

    def run(self, programs: Iterable[Program]) -> Iterator[Execution]:
        """Run every program once and yield what each did, as each finishes, in any order.

        Raises:
            SandboxError: this machine could not run programs as promised. Says nothing about any program.
            ValueError: an expected value is not a literal.
        """
        return self._sandbox.run(programs)

    def close(self) -> None:
        """Stop the workers, leaving nothing behind. Idempotent."""
        if self._open_sandbox is not None:
            self._open_sandbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@functools.cache
def choose(*, numpy: bool = False) -> RealSandboxName:
    """The first sandbox that can be had on this machine, each really tried: jail, landlock, docker.

    Args:
        numpy: whether programs may use it, which docker's containers do not have.

    Raises:
        SandboxError: there is none; says of each what is missing.
    """
    refusals_by_name: dict[str, str] = {}
    for name in _SANDBOXES:
        refusals_by_name[name] = "its containers have no numpy" if numpy and name == "docker" else _refusal(name)
        if not refusals_by_name[name]:
            return name
    reasons = "; ".join(f"{name}: {reason}" for name, reason in refusals_by_name.items())
    raise SandboxError(
        f"{_NOT_ISOLATED} ({reasons}); use one that allows user namespaces, has Landlock "
        "(Linux 5.13 or newer, seccomp filters allowed) or runs docker; `plum-hub doctor` says more"
    )


def refusals() -> dict[RealSandboxName, str]:
    """Of each sandbox, why this machine refuses it; "" where it can be started and proves itself."""
    return {name: _refusal(name) for name in _SANDBOXES}


def _refusal(name: RealSandboxName) -> str:
    attempts = 2  # a machine that is busy may have been too slow
    while True:
        attempts -= 1
        try:
            if name == "docker":
                assert DockerSandbox(1).harness_version
            else:
                Worker(_ENCLOSURES[name]).close()
        except (BrokenWorkerError, SandboxError) as error:
            if attempts and isinstance(error, BrokenWorkerError):
                continue
            return str(error).partition(";")[0].removeprefix(f"{_NOT_ISOLATED} (").removesuffix(")")
        return ""
