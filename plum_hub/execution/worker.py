"""The judge's end of one zygote: has it shut in, has it prove itself, sends it work and takes its answers."""

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
from collections.abc import Callable
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
_REQUIRED_STATUS = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapPrm": "0" * 16, "CapBnd": "0" * 16}
_NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "user")
_GROUP_SPARE_BYTES, _GROUP_PROCESSES = 512 << 20, 96
"""What a jail's control group may have beyond one program's memory, for the zygote, scratch and the results; and its
processes and threads."""
_NUMBERS = itertools.count()
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from plum_hub.execution.{} import main; main(sys.argv[2])"


class BrokenWorkerError(Exception):
    """This zygote cannot be used any more; a fresh one may do."""


class Enclosure(Protocol):
    """What a zygote is shut in; started with the zygote's end of a socket, which is closed here afterwards, and with
    the core that it should stay on, if any."""

    name: str
    hint: str
    """Where a refusal leads."""
    startup_messages: bytes
    """What the judge sends it first."""
    startup_keys: frozenset[str]
    """What it and its zygote then tell the judge."""
    probe_targets: dict[str, Any]
    """What the look around is told beside a port and a file of this machine's."""

    def verify(self, greeting: dict[str, Any]) -> str:
        """Check it from where no program reaches, the user that it runs as too, and return the zygote's
        /proc/PID/status.

        Raises:
            SandboxError: it is not shut.
        """
        ...

    def allow(self, memory_bytes: int) -> None:
        """Set what all its processes together may have, where it can."""
        ...

    def memory_kills(self) -> int:
        """How many of its processes the kernel has killed so far because they had too much together."""
        ...

    def exit_reason(self) -> str:
        """Why it ended, if it says so."""
        ...

    def close(self) -> None:
        """See that nothing of it is left, once the socket is closed."""
        ...


class Jail:
    """A zygote in namespaces of its own (`boot.py`)."""

    name = "jail"
    hint = (
        "`--set verdicts.sandbox=auto` (`plum-hub judge --sandbox auto`) takes another sandbox where there is one, for "
        "a run that was begun with this one together with `--run NEW --carry-over OLD`; "
        "`plum-hub doctor` says what this machine lacks"
    )
    startup_messages = b""
    startup_keys = frozenset({"init", "ready"})
    boot = "boot"
    """The module that shuts it."""

    def __init__(
        self, theirs: socket.socket, core: int | None, packages: str = "", extra_settings: dict[str, Any] | None = None
    ) -> None:
        self.probe_targets: dict[str, Any] = {}
        python = os.path.realpath(sys.executable)
        source = Path(__file__).parent
        groups = self._group = cgroups.create(f"{os.getpid()}-{next(_NUMBERS)}", _GROUP_SPARE_BYTES, _GROUP_PROCESSES)
        settings = {
            "socket": theirs.fileno(), "python": python, "prefix": os.path.realpath(sys.base_prefix),
            "library": os.path.realpath(sysconfig.get_path("stdlib")), "source": str(source), "scratch_mb": SCRATCH_MB,
            "packages": packages, "core": core, "cgroups": [str(folder) for folder in groups.folders] if groups else [],
            **(extra_settings or {}),
        }  # fmt: skip
        try:
            self._process = subprocess.Popen(
                [python, "-I", "-S", "-B", "-c", _BOOT.format(self.boot), str(source.parents[1]), json.dumps(settings)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={}, cwd="/", pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise SandboxError(f"no process could be started for a {self.name} ({error}); {self.hint}") from error

    def verify(self, greeting: dict[str, Any]) -> str:
        """See `Enclosure`. The kernel answers, which nothing inside can make lie."""
        init = int(greeting["init"])
        for name in _NAMESPACES:
            if os.readlink(f"/proc/{init}/ns/{name}") == os.readlink(f"/proc/self/ns/{name}"):  # noqa: PTH115
                raise SandboxError(f"a jail shares this machine's {name} namespace ({name} namespace); {self.hint}")
        return self.admit(init)

    def admit(self, zygote: int) -> str:
        """Put a zygote into the control group, if there is one, and return its /proc/PID/status."""
        if self._group is not None:
            self._group.add(zygote)
        text = Path(f"/proc/{zygote}/status").read_text()
        if not self._runs_as(user_of(text)):
            raise SandboxError(f"a {self.name} runs as another user than it should (user); {self.hint}")
        return text

    def _runs_as(self, users: set[str]) -> bool:
        return "0" not in users

    def allow(self, memory_bytes: int) -> None:
        """See `Enclosure`. Each process has its own limit too; this is for all that a program starts."""
        if self._group is not None:
            self._group.limit(memory_bytes + _GROUP_SPARE_BYTES)

    def memory_kills(self) -> int:
        """See `Enclosure`."""
        return self._group.oom_kills() if self._group is not None else 0

    def exit_reason(self) -> str:
        """See `Enclosure`."""
        return ""

    def close(self) -> None:
        """See `Enclosure`. The process that waits outside sees the socket close and kills what is inside."""
        self._process.wait()
        if self._group is not None:
            self._group.remove()


def user_of(status: str) -> set[str]:
    """The users that a /proc/PID/status names: real, effective, saved and of the file system."""
    return {user for line in status.splitlines() if line.startswith("Uid:") for user in line.split()[1:]}


class Worker:
    """One zygote, proved before it is handed out. `close` ends it and everything in it."""

    def __init__(
        self, enclose: Callable[[socket.socket, int | None], Enclosure] = Jail, core: int | None = None
    ) -> None:
        self.core = core
        self.cached_cases = ""
        """The name of the cases that the zygote had last."""
        self._memory_kills = 0
        self._run = 2
        """The number of the run that is answered next; the first is the look around."""
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
        """Hold the zygote's /proc/PID/status against what must stand there, and return its address space's bytes."""
        status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        if "VmSize" not in status:
            raise BrokenWorkerError("its zygote died")
        for name, required in _REQUIRED_STATUS.items():
            if status.get(name, "").strip() != required:
                raise self._refusal(f"a {self._enclosure.name}'s {name} is {status.get(name)}, not {required} ({name})")
        return int(status["VmSize"].split()[0]) * 1024

    def _refusal(self, reason: str) -> SandboxError:
        return SandboxError(f"{reason}; {self._enclosure.hint}")

    def _probe(self) -> None:
        """Let a child like any program's try to get out, with something real on this side to get at."""
        with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
            Path(folder).chmod(0o755)
            canary = Path(folder, "canary")
            canary.write_text("a jail that can read this is not one")
            before = canary.stat()
            outside = {"port": listener.getsockname()[1], "canary": str(canary), **self._enclosure.probe_targets}
            probe, memory = json.dumps(outside).encode(), self.overhead_bytes + (1 << 30)
            request = RunRequest(PROBE, cpu=10.0, wall=_START_SECONDS, memory=memory, code=len(probe))
            self.socket.sendall(pack(ASKED.pack(*request), probe))
            header, body = self._receive_message()
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                listener.accept()
                raise self._refusal(f"a {self._enclosure.name} reached this machine's network (network)")
            if Path(folder, "canary.written").exists():
                raise self._refusal(f"a {self._enclosure.name} wrote outside its scratch (mounts)")
            if (after := canary.stat())[:8] != before[:8] or after.st_mtime_ns != before.st_mtime_ns:
                raise self._refusal(f"a {self._enclosure.name} changed a file outside its scratch (mounts)")
        if header[:1] == b"{":
            raise BrokenWorkerError(header.decode())
        if holes := json.loads(body[FRAME.size : RunReport(*TOLD.unpack(header)).results]):
            raise self._refusal(f"a {self._enclosure.name} on this machine is not shut ({'; '.join(holes)})")

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
        """Begin to send a request; `pump` sends the rest, and finds out if the zygote is gone."""
        self._unsent += request
        with contextlib.suppress(BrokenWorkerError):
            self._write()

    def pump(self) -> tuple[bytes, bytes] | None:
        """Send and receive what can be without waiting, and return an answer, or a part of one, if it is complete.

        Raises:
            BrokenWorkerError: the zygote is gone, or said that it cannot go on.
        """
        self._write()
        self._read()
        message = unpack(self._received)
        if message is not None and message[0][:1] == b"{":
            raise BrokenWorkerError(json.loads(message[0])["fault"])
        self._run += message is not None and message[0] != PART
        return message

    def stop(self) -> None:
        """Have the run end whose answer comes next."""
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
        """Whether `pump` would return an answer that came together with the last."""
        return holds_message(self._received)

    @property
    def has_unsent(self) -> bool:
        """Whether `pump` has something left to send."""
        return bool(self._unsent)

    def allow(self, memory_bytes: int) -> None:
        """Set what the next program and all that it starts may have together, where that can be set."""
        self._enclosure.allow(memory_bytes)

    def has_killed_for_memory(self) -> bool:
        """Whether the kernel has killed a process in there since this was asked last, because they had too much."""
        before, self._memory_kills = self._memory_kills, self._enclosure.memory_kills()
        return self._memory_kills > before

    def close(self) -> None:
        """End the zygote and all that it is shut in with."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # reaches the other side even if a fork of ours holds a copy
        self.socket.close()
        self._enclosure.close()
