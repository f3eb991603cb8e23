"""The sandbox for machines that refuse namespaces (most containers): Landlock, seccomp and a supervisor for each core's
zygote.

What a jail's namespaces keep out of sight is refused here instead (`landlock_boot.py`, `supervisor.py`). Two things
differ for a program: it can ask whether a file outside exists, and its size and times, as stat(2) tells them, though it
can open none; and its scratch folder is its working folder, not /tmp.
"""

import os
import socket
import sys
import tempfile
from typing import Any

from plum_hub.execution import filters
from plum_hub.execution.jail import JailSandbox
from plum_hub.execution.worker import SCRATCH_MB, Jail

_MEMORY = "/dev/shm"
_VERSION_MOVES, _VERSION_TRUNCATE = 2, 3
"""Versions of Landlock's interface. Sockets (4), devices (5) and signals (6) are seen to in any version."""


class LandlockWorker(Jail):
    """A zygote shut in by `landlock_boot.py`."""

    name = "landlock"
    hint = "`plum-hub doctor` says what this machine lacks"
    boot = "landlock_boot"
    max_version = sys.maxsize
    """The version of Landlock's interface that is used at most."""

    def __init__(self, theirs: socket.socket, core: int | None, packages: str = "") -> None:
        self._user = os.getuid()
        super().__init__(theirs, core, packages, {"temporary": _temporary(), "max_version": self.max_version})
        self.probe_targets = {"processes": [os.getpid(), self._process.pid, 1]}

    def verify(self, greeting: dict[str, Any]) -> str:
        """See `Enclosure`. The kernel answers, which nothing inside can make lie."""
        if greeting["user"] is not None:
            self._user = greeting["user"]
        self.probe_targets["processes"].append(greeting["supervisor"])
        return self.admit(int(greeting["init"]))

    def _runs_as(self, users: set[str]) -> bool:
        return users == {str(self._user)}


def differences() -> str:
    """What is different for programs in this sandbox on this machine, as one line."""
    version = filters.landlock_version()
    parts = [f"version {version} of Landlock's interface", "files outside can be asked for by name (not read)"]
    if version < _VERSION_MOVES:
        parts.append(f"files cannot be moved between folders (from version {_VERSION_MOVES} on)")
    if version < _VERSION_TRUNCATE:
        parts.append(f"files cannot be cut short by name (from version {_VERSION_TRUNCATE} on)")
    return ", ".join(parts)


def _temporary() -> str:
    """Where scratch folders are made: in memory, as a jail's are, unless there is no room or `TMPDIR` says where."""
    if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK | os.X_OK):
        free = os.statvfs(_MEMORY)
        if free.f_bavail * free.f_frsize >= SCRATCH_MB << 19:
            return _MEMORY
    return tempfile.gettempdir()


class LandlockSandbox(JailSandbox):
    """Runs programs as `JailSandbox` does, with Landlock and seccomp in place of namespaces."""

    enclosure = LandlockWorker
