"""The judge's end of one jail: starts it, has it prove itself, sends it work and takes its answers."""

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

from plum_hub.errors import SandboxError
from plum_hub.execution.wire import FRAME, pack, unpack

_START_SECONDS = 60
_SCRATCH_MB = 64
_NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "user")
_OUTSIDE = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapPrm": "0" * 16, "CapBnd": "0" * 16}
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from plum_hub.execution.boot import main; main(sys.argv[2])"
_HINT = "`plum-hub doctor` says what this machine lacks"


class BrokenWorkerError(Exception):
    """This jail cannot be used any more; a fresh one may do."""


class Worker:
    """One jail with its zygote, proved before it is handed out. `close` ends it and everything in it."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._unsent = bytearray()
        self.socket, theirs = socket.socketpair()
        with theirs:
            self._process = _spawn(theirs)
        try:
            init = self._await_zygote()
            self.overhead_bytes = _look_from_outside(init)
            self._look_from_inside()
        except OSError as error:
            self.close()
            raise BrokenWorkerError(str(error)) from error
        except BaseException:
            self.close()
            raise
        self.socket.setblocking(False)

    def _await_zygote(self) -> int:
        answers: dict[str, Any] = {}
        while not {"init", "ready"} <= answers.keys():
            answers |= self._next()[0]
            if "failed" in answers:
                layer, reason = answers["failed"], answers["reason"]
                raise SandboxError(f"programs cannot be isolated on this machine ({layer}: {reason}); {_HINT}")
        return int(answers["init"])

    def _look_from_inside(self) -> None:
        """Let a child like any program's try to get out, with something real on this side to get at."""
        with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
            Path(folder).chmod(0o755)
            canary = Path(folder, "canary")
            canary.write_text("a jail that can read this is not one")
            outside = {"port": listener.getsockname()[1], "canary": str(canary)}
            limits = {"cpu": 10.0, "wall": _START_SECONDS, "memory": self.overhead_bytes + (1 << 30), "output": 0}
            wanted = {"kind": "probe", "steps": 1, "stdin": None}
            self.socket.sendall(pack({"limits": limits, "runs": [wanted]}, json.dumps(outside).encode()))
            header, body = self._next()
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                listener.accept()
                raise SandboxError(f"a jail reached this machine's network (network); {_HINT}")
            if Path(folder, "canary.written").exists():
                raise SandboxError(f"a jail wrote outside its scratch (mounts); {_HINT}")
        if "fault" in header or not body:
            raise BrokenWorkerError(str(header))
        if holes := json.loads(body[FRAME.size :]):
            raise SandboxError(f"a jail on this machine is not shut ({'; '.join(holes)}); {_HINT}")

    def _next(self) -> tuple[dict[str, Any], bytes]:
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
            raise BrokenWorkerError("its zygote died")
        self._received += chunk

    def send(self, request: bytes) -> None:
        """Begin to send a request; `pump` sends the rest."""
        self._unsent += request

    def pump(self) -> tuple[dict[str, Any], bytes] | None:
        """Send and receive what can be without waiting, and return an answer if it is complete.

        Raises:
            BrokenWorkerError: the jail is gone, or said that it cannot go on.
        """
        self._write()
        self._read()
        message = unpack(self._received)
        if message is not None and "fault" in message[0]:
            raise BrokenWorkerError(message[0]["fault"])
        return message

    def _write(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError as error:
            raise BrokenWorkerError(str(error)) from error

    @property
    def has_unsent(self) -> bool:
        """Whether `pump` has something left to send."""
        return bool(self._unsent)

    def close(self) -> None:
        """End the jail. The process that waits outside it sees the socket close and kills what is inside."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # reaches the other side even if a fork of ours holds a copy
        self.socket.close()
        self._process.wait()


def _spawn(theirs: socket.socket) -> "subprocess.Popen[bytes]":
    python = os.path.realpath(sys.executable)
    source = Path(__file__).parent
    settings = {
        "socket": theirs.fileno(), "python": python, "prefix": os.path.realpath(sys.base_prefix),
        "library": os.path.realpath(sysconfig.get_path("stdlib")), "source": str(source), "scratch_mb": _SCRATCH_MB,
    }  # fmt: skip
    try:
        return subprocess.Popen(
            [python, "-I", "-S", "-B", "-c", _BOOT, str(source.parents[1]), json.dumps(settings)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={}, cwd="/", pass_fds=[theirs.fileno()], start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise SandboxError(f"no process could be started for a jail ({error}); {_HINT}") from error


def _look_from_outside(init: int) -> int:
    """Check what the kernel says of the zygote, which nothing inside can forge; return its address space's bytes."""
    for name in _NAMESPACES:
        if os.readlink(f"/proc/{init}/ns/{name}") == os.readlink(f"/proc/self/ns/{name}"):  # noqa: PTH115
            raise SandboxError(f"a jail shares this machine's {name} namespace ({name} namespace); {_HINT}")
    lines = Path(f"/proc/{init}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    for name, wanted in _OUTSIDE.items():
        if status.get(name, "").strip() != wanted:
            raise SandboxError(f"a jail's {name} is {status.get(name)}, not {wanted} ({name}); {_HINT}")
    if "0" in status["Uid"].split():
        raise SandboxError(f"a jail runs as root (user); {_HINT}")
    return int(status["VmSize"].split()[0]) * 1024
