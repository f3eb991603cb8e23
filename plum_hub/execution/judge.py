"""The judge: the public interface of this package."""

import functools
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from plum_hub.errors import SandboxError
from plum_hub.execution.base import Execution, Program, RealSandboxName, Sandbox, SandboxName
from plum_hub.execution.docker import DockerSandbox
from plum_hub.execution.jail import JailSandbox
from plum_hub.execution.landlock import LandlockSandbox
from plum_hub.execution.redefined import with_redefined_names
from plum_hub.execution.worker import BrokenWorkerError, Worker

SANDBOXES: dict[RealSandboxName, type[JailSandbox]] = {
    "jail": JailSandbox,
    "landlock": LandlockSandbox,
    "docker": DockerSandbox,
}
"""The sandboxes by name, in the order that `auto` tries."""
_NOT_ISOLATED = "programs cannot be isolated on this machine"


class Judge:
    """Runs programs in isolation and reports what each did.

        with Judge() as judge:
            for execution in judge.run(programs):
                print(execution.id, execution.status)

    Args:
        workers: Number of programs that run at a time; None for one for each core that affinity and quota leave us.
        sandbox: What isolates programs: `jail` (Linux namespaces), `landlock` (where namespaces are refused), `docker`,
            or `auto` for the first of these that works here, determined when programs first run (`choose`).
        numpy: Whether programs may use numpy, and cases may expect its arrays.
        pandas: Whether programs may use pandas and numpy, and cases may expect their values.

    Raises:
        SandboxError: `docker` with `numpy` or `pandas`, which its containers do not have.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        sandbox: SandboxName = "auto",
        numpy: bool = False,
        pandas: bool = False,
    ) -> None:
        if sandbox == "docker" and (numpy or pandas):
            missing = "pandas" if pandas else "numpy"
            raise SandboxError(f"the docker sandbox has no {missing}; use the jail or landlock sandbox")
        self._workers, self._name, self._numpy, self._pandas = workers, sandbox, numpy or pandas, pandas
        self._open_sandbox: Sandbox | None = None
        self._elsewhere: Sandbox | None = None

    @property
    def _sandbox(self) -> Sandbox:
        if self._open_sandbox is None:
            self._open_sandbox = self._start(elsewhere=False)
        return self._open_sandbox

    def _start(self, *, elsewhere: bool) -> Sandbox:
        kind = SANDBOXES[choose(numpy=self._numpy) if self._name == "auto" else self._name]
        if issubclass(kind, DockerSandbox):
            return kind(self._workers, elsewhere=elsewhere)
        return kind(self._workers, numpy=self._numpy, pandas=self._pandas, elsewhere=elsewhere)

    @property
    def harness_version(self) -> str:
        """Version of the code and interpreter that decide; part of every verdict's id.

        Raises:
            SandboxError: With `auto`, no sandbox works on this machine.
        """
        return self._sandbox.harness_version

    def run(self, programs: Iterable[Program]) -> Iterator[Execution]:
        """Run every program once.

        Args:
            programs: Consumed as workers become free. Those that run elsewhere (`Program.elsewhere`) are kept until the
                others have ended.

        Returns:
            An iterator over what each program did, as each finishes, in any order.

        Raises:
            SandboxError: This machine could not run programs as promised. It implies nothing about any program.
            ValueError: An expected value is neither a literal nor a closeness.
        """
        return self._run(self._sandbox, programs)

    def _run(self, sandbox: Sandbox, programs: Iterable[Program]) -> Iterator[Execution]:
        kept: list[Program] = []

        def here() -> Iterator[Program]:
            for program in programs:
                if program.elsewhere:
                    kept.append(program)
                else:
                    yield with_redefined_names(program)

        yield from sandbox.run(here())
        if kept:
            self._elsewhere = self._elsewhere or self._start(elsewhere=True)
            yield from self._elsewhere.run(map(with_redefined_names, kept))

    def close(self) -> None:
        """Stop the workers and remove everything they left. Idempotent."""
        for sandbox in (self._open_sandbox, self._elsewhere):
            if sandbox is not None:
                sandbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@functools.cache
def choose(*, numpy: bool = False) -> RealSandboxName:
    """Choose the first sandbox that works on this machine: jail, landlock, docker.

    Each is started and verified, so the result is cached.

    Args:
        numpy: Whether programs may use numpy (and perhaps pandas), which docker's containers do not have.

    Returns:
        The sandbox's name.

    Raises:
        SandboxError: None works; the message says what each lacks.
    """
    refusals_by_name: dict[str, str] = {}
    for name in SANDBOXES:
        refusals_by_name[name] = "its containers do not have numpy" if numpy and name == "docker" else _refusal(name)
        if not refusals_by_name[name]:
            return name
    reasons = "; ".join(f"{name}: {reason}" for name, reason in refusals_by_name.items())
    raise SandboxError(
        f"{_NOT_ISOLATED} ({reasons}); use a machine that allows user namespaces, has Landlock "
        "(Linux 5.13 or newer, seccomp filters allowed) or runs docker; run `plum-hub doctor` for details"
    )


def refusals() -> dict[RealSandboxName, str]:
    """Start and verify each sandbox.

    Returns:
        Why this machine refuses it, by name; empty where the sandbox works.
    """
    return {name: _refusal(name) for name in SANDBOXES}


def _refusal(name: RealSandboxName) -> str:
    """Return why a sandbox does not work here; empty if it does."""
    kind, attempts = SANDBOXES[name], 2  # the first may have timed out on a busy machine
    while True:
        attempts -= 1
        try:
            if issubclass(kind, DockerSandbox):
                _ = kind(1).harness_version  # asks docker; no assertion, which -O would remove
            else:
                Worker(kind.enclosure).close()
        except (BrokenWorkerError, SandboxError) as error:
            if attempts and isinstance(error, BrokenWorkerError):
                continue
            reason = str(error).partition(";")[0]
            shell = f"{_NOT_ISOLATED} ("
            return reason.removeprefix(shell).removesuffix(")") if reason.startswith(shell) else reason
        return ""
