"""The judge's side of one zygote: start and verify it, send it work, receive its answers."""

import contextlib
import itertools
import json
import os
import select
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from plum_hub.errors import SandboxError
from plum_hub.execution import cgroups
from plum_hub.execution.wire import (
    ASKED,
    FRAME,
    PART,
    PROBE,
    TOLD,
    RunReport,
    RunRequest,
    holds_message,
    pack,
    stop,
    unpack,
)

_START_SECONDS = 60
SCRATCH_MB = 64
NO_CAPABILITY = "0" * 16
_REQUIRED_STATUS = {"NoNewPrivs": "1", "Seccomp": "2"} | dict.fromkeys(
    ("CapInh", "CapPrm", "CapEff", "CapAmb"), NO_CAPABILITY
)
_NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "user")
_GROUP_SPARE_BYTES, _GROUP_PROCESSES = 512 << 20, 96
"""Memory of a jail's control group on top of one program's, for the zygote, scratch and results; and the number of its
processes and threads.
"""
_NUMBERS = itertools.count()
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from plum_hub.execution.{} import main; main(sys.argv[2])"


class BrokenWorkerError(Exception):
    """This zygote cannot be used any more; a new one may work."""


class Enclosure(Protocol):
    """What isolates a zygote.

    It is started with the zygote's end of a socket, which the caller closes afterwards, and with the processor core to
    stay on, if any.
    """

    name: str
    hint: str
    """What a refusal advises."""
    startup_messages: bytes
    """What the judge sends first."""
    startup_keys: frozenset[str]
    """The keys that the enclosure and its zygote then send to the judge."""
    probe_targets: dict[str, Any]
    """Further targets for the probe (`probe.py`), besides a port and a file of this machine."""
    bounding_set: str
    """What must be the zygote's CapBnd in /proc/PID/status."""

    def verify(self, greeting: dict[str, Any]) -> str:
        """Verify the enclosure, and the user that it runs as, by means that no program can influence.

        Args:
            greeting: What was sent under `startup_keys`.

        Returns:
            The zygote's /proc/PID/status.

        Raises:
            SandboxError: It is not sealed.
        """
        ...

    def allow(self, memory_bytes: int) -> None:
        """Set the memory limit of all its processes together, where that is possible.

        Args:
            memory_bytes: The limit, without the enclosure's own overhead.
        """
        ...

    def memory_kills(self) -> int:
        """Return how many of its processes the kernel has killed so far because of that limit."""
        ...

    def exit_reason(self) -> str:
        """Return why it ended, if known, in parentheses; else an empty string."""
        ...

    def close(self) -> None:
        """Ensure that nothing of it is left, after the socket was closed."""
        ...


class Jail:
    """A zygote in namespaces of its own (`boot.py`).

    Args:
        theirs: The zygote's end of a socket.
        core: Processor core to stay on; None for any.
        packages: Paths of the packages that programs may use (`packages.Packages`).
        extra_settings: Further keys of the argument of `boot`.
        workers: Number of zygotes that run at a time.
        elsewhere: Whether programs get other surroundings.

    Raises:
        SandboxError: No process could be started.
    """

    name = "jail"
    hint = (
        "`--set verdicts.sandbox=auto` (`plum-hub judge --sandbox auto`) uses another sandbox where one is available "
        "(for a run started with this one, together with `--run NEW --carry-over OLD`); "
        "`plum-hub doctor` lists what this machine lacks"
    )
    startup_messages = b""
    startup_keys = frozenset({"init", "ready"})
    boot = "boot"
    """The module that isolates the zygote."""
    bounding_set = NO_CAPABILITY

    def __init__(
        self,
        theirs: socket.socket,
        core: int | None,
        packages: Sequence[str] = (),
        extra_settings: dict[str, Any] | None = None,
        *,
        workers: int = 1,  # noqa: ARG002  for sandboxes that share a file system
        elsewhere: bool = False,
    ) -> None:
        self.probe_targets: dict[str, Any] = {}
        python = os.path.realpath(sys.executable)
        source = Path(__file__).parent
        groups = self._group = cgroups.create(f"{os.getpid()}-{next(_NUMBERS)}", _GROUP_SPARE_BYTES, _GROUP_PROCESSES)
        settings = {
            "socket": theirs.fileno(), "python": python, "prefix": os.path.realpath(sys.base_prefix),
            "library": os.path.realpath(sysconfig.get_path("stdlib")), "source": str(source), "scratch_mb": SCRATCH_MB,
            "packages": list(packages), "core": core, "elsewhere": elsewhere,
            "cgroups": [str(folder) for folder in groups.folders] if groups else [],
            **(extra_settings or {}),
        }  # fmt: skip
        try:
            self._process = subprocess.Popen(
                [python, "-I", "-S", "-B", "-c", _BOOT.format(self.boot), str(source.parents[1]), json.dumps(settings)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={}, cwd="/", pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise SandboxError(
                f"the process of a {self.name} sandbox could not be started ({error}); {self.hint}"
            ) from error

    def verify(self, greeting: dict[str, Any]) -> str:
        """Check the zygote's namespaces and user from outside. The kernel reports, so nothing inside can lie.

        Args:
            greeting: What the boot process sent; `init` is the zygote's pid.

        Returns:
            The zygote's /proc/PID/status.

        Raises:
            SandboxError: It shares a namespace with this process, or runs as the wrong user.
            BrokenWorkerError: The process outside is dead, so nothing would kill what is inside.
        """
        init = int(greeting["init"])
        for name in _NAMESPACES:
            if os.readlink(f"/proc/{init}/ns/{name}") == os.readlink(f"/proc/self/ns/{name}"):  # noqa: PTH115
                raise SandboxError(
                    f"the jail shares the {name} namespace of this machine ({name} namespace); {self.hint}"
                )
        return self.admit(init)

    def admit(self, zygote: int) -> str:
        """Move a zygote into the control group, if there is one, and check its user.

        Args:
            zygote: Its pid.

        Returns:
            Its /proc/PID/status.

        Raises:
            SandboxError: It runs as the wrong user.
            BrokenWorkerError: The process outside is dead, so nothing would kill what is inside.
        """
        # A zygote asks to die with its parent before it reports itself ready, so a parent alive now is enough.
        if self._process.poll() is not None:
            raise BrokenWorkerError("the process outside its jail died")
        if self._group is not None:
            self._group.add(zygote)
        text = Path(f"/proc/{zygote}/status").read_text()
        if not self._runs_as(user_of(text)):
            raise SandboxError(f"the {self.name} sandbox runs as the wrong user (user); {self.hint}")
        return text

    def _runs_as(self, users: set[str]) -> bool:
        return "0" not in users

    def allow(self, memory_bytes: int) -> None:
        """Set the memory limit of all processes together; each process has its own limit too.

        Args:
            memory_bytes: The limit of a program.
        """
        if self._group is not None:
            self._group.limit(memory_bytes + _GROUP_SPARE_BYTES)

    def memory_kills(self) -> int:
        """Return how many of its processes the kernel has killed so far because of the memory limit."""
        return self._group.oom_kills() if self._group is not None else 0

    def exit_reason(self) -> str:
        """Return an empty string: a jail leaves no message."""
        return ""

    def close(self) -> None:
        """Wait for the process outside, and remove the control group.

        That process sees the socket close and kills what is inside.
        """
        self._process.wait()
        if self._group is not None:
            self._group.remove()


def user_of(status: str) -> set[str]:
    """Parse the user ids of a process.

    Args:
        status: Its /proc/PID/status.

    Returns:
        The real, effective, saved and file system user ids.
    """
    return {user for line in status.splitlines() if line.startswith("Uid:") for user in line.split()[1:]}


class Worker:
    """One zygote, verified before it is used.

    Args:
        enclose: Starts an enclosure from the zygote's end of a socket and the core to stay on.
        core: Processor core to stay on; None for any.

    Attributes:
        overhead_bytes: Address space of the zygote, which every program's process starts with.

    Raises:
        SandboxError: The enclosure is refused on this machine, or is not sealed.
        BrokenWorkerError: It did not start; another attempt may succeed.
    """

    def __init__(
        self, enclose: Callable[[socket.socket, int | None], Enclosure] = Jail, core: int | None = None
    ) -> None:
        self.core = core
        self.cached_cases = ""
        """Name of the cases that the zygote received last (`cases.Cases.name`)."""
        self._memory_kills = 0
        self._run = 2
        """Number of the run that is answered next; the first is the probe."""
        self._received = bytearray()
        self._unsent = bytearray()
        self.socket, theirs = socket.socketpair()
        try:
            with theirs:
                self._enclosure = enclose(theirs, core)
        except BaseException:
            self.socket.close()
            raise
        try:
            self.socket.settimeout(_START_SECONDS)
            self.socket.sendall(self._enclosure.startup_messages)
            self.overhead_bytes = self._address_space(self._enclosure.verify(self._receive_greeting()))
            self._probe()
        except OSError as error:
            why = f"{error}{self._enclosure.exit_reason()}"
            self.close()
            raise BrokenWorkerError(why) from error
        except BaseException:
            self.close()
            raise
        self.socket.setblocking(False)

    def _receive_greeting(self) -> dict[str, Any]:
        greeting: dict[str, Any] = {}
        while not self._enclosure.startup_keys <= greeting.keys():
            greeting |= json.loads(self._receive_message()[0])
            if "failed" in greeting:
                failed, reason = greeting["failed"], greeting["reason"]
                raise self._refusal(f"programs cannot be isolated on this machine ({failed}: {reason})")
        return greeting

    def _address_space(self, text: str) -> int:
        """Check the zygote's /proc/PID/status, and return the size of its address space in bytes."""
        status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        if "VmSize" not in status:
            raise BrokenWorkerError("its zygote died")
        for name, required in (_REQUIRED_STATUS | {"CapBnd": self._enclosure.bounding_set}).items():
            if status.get(name, "").strip() != required:
                raise self._refusal(
                    f"the {self._enclosure.name} has {name} {status.get(name)} instead of {required} ({name})"
                )
        return int(status["VmSize"].split()[0]) * 1024

    def _refusal(self, reason: str) -> SandboxError:
        return SandboxError(f"{reason}; {self._enclosure.hint}")

    def _probe(self) -> None:
        """Let a child like any program's try to escape, with real targets outside."""
        with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
            Path(folder).chmod(0o755)
            canary = Path(folder, "canary")
            canary.write_text("a jail in which this can be read is not sealed")
            before = canary.stat()
            outside = {"port": listener.getsockname()[1], "canary": str(canary), **self._enclosure.probe_targets}
            probe, memory = json.dumps(outside).encode(), self.overhead_bytes + (1 << 30)
            request = RunRequest(PROBE, cpu=10.0, wall=_START_SECONDS, memory=memory, code=len(probe))
            self.socket.sendall(pack(ASKED.pack(*request), probe))
            header, body = self._receive_message()
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                listener.accept()
                raise self._refusal(f"the {self._enclosure.name} can reach the network of this machine (network)")
            if Path(folder, "canary.written").exists():
                raise self._refusal(f"the {self._enclosure.name} can write outside its scratch folder (mounts)")
            if (after := canary.stat())[:8] != before[:8] or after.st_mtime_ns != before.st_mtime_ns:
                raise self._refusal(f"the {self._enclosure.name} can change a file outside its scratch folder (mounts)")
        if header[:1] == b"{":
            raise BrokenWorkerError(json.loads(header)["fault"])
        report = RunReport(*TOLD.unpack(header))
        if report.exit or not report.results:
            raise BrokenWorkerError(f"the process that examines it ended with status {report.exit}")
        if holes := json.loads(body[FRAME.size : report.results]):
            raise self._refusal(f"the {self._enclosure.name} is not sealed on this machine ({'; '.join(holes)})")

    def _receive_message(self) -> tuple[bytes, bytes]:
        deadline = time.monotonic() + _START_SECONDS
        while (message := unpack(self._received)) is None:
            if not select.select([self.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise BrokenWorkerError(f"it did not start within {_START_SECONDS} s")
            self._read()
        return message

    def _read(self) -> None:
        try:
            chunk = self.socket.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError as error:
            raise BrokenWorkerError(str(error)) from error
        if not chunk:
            raise BrokenWorkerError(f"its zygote died{self._enclosure.exit_reason()}")
        self._received += chunk

    def send(self, request: bytes) -> None:
        """Start sending a request; `pump` sends the rest and detects a lost zygote.

        Args:
            request: A message.
        """
        self._unsent += request
        with contextlib.suppress(BrokenWorkerError):
            self._write()

    def pump(self) -> tuple[bytes, bytes] | None:
        """Send and receive what is possible without waiting.

        Returns:
            Header and body of an answer, or of a part of one, once it is complete; else None.

        Raises:
            BrokenWorkerError: The zygote is gone, or reported that it cannot continue.
        """
        self._write()
        self._read()
        message = unpack(self._received)
        if message is not None and message[0][:1] == b"{":
            raise BrokenWorkerError(json.loads(message[0])["fault"])
        self._run += message is not None and message[0] != PART
        return message

    def stop(self) -> None:
        """Stop the run whose answer comes next."""
        self.send(stop(self._run))

    def _write(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError as error:
            raise BrokenWorkerError(str(error)) from error

    @property
    def has_answer(self) -> bool:
        """Whether `pump` would return an answer that arrived together with the last."""
        return holds_message(self._received)

    @property
    def is_ready(self) -> bool:
        """Whether `pump` would send or receive something now."""
        poller = select.poll()
        poller.register(self.socket, select.POLLIN | (select.POLLOUT if self.has_unsent else 0))
        return self.has_answer or bool(poller.poll(0))

    @property
    def has_unsent(self) -> bool:
        """Whether `pump` has something left to send."""
        return bool(self._unsent)

    def allow(self, memory_bytes: int) -> None:
        """Set the memory limit of the next program and all its processes together, where that is possible.

        Args:
            memory_bytes: The limit.
        """
        self._enclosure.allow(memory_bytes)

    def has_killed_for_memory(self) -> bool:
        """Return whether the kernel has killed a process for exceeding the memory limit since the last call."""
        before, self._memory_kills = self._memory_kills, self._enclosure.memory_kills()
        return self._memory_kills > before

    def close(self) -> None:
        """End the zygote and its enclosure."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # effective even if a forked process holds a copy
        self.socket.close()
        self._enclosure.close()
