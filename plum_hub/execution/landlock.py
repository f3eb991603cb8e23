"""The sandbox for machines that refuse namespaces, such as most containers.

It uses Landlock, seccomp and a supervisor for each zygote. What a jail's namespaces hide is refused here instead
(`landlock_boot.py`, `supervisor.py`). Two things differ for a program: it can see whether a file outside exists, with
its size and times (stat(2)), though it cannot open any; and its scratch folder is its working folder, not /tmp.
"""

import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plum_hub.execution import filters
from plum_hub.execution.jail import JailSandbox
from plum_hub.execution.worker import NO_CAPABILITY, SCRATCH_MB, Jail

_MEMORY = "/dev/shm"
_VERSION_MOVES, _VERSION_TRUNCATE = 2, 3
"""Landlock ABI versions that can restrict these. Sockets (4), devices (5) and signals (6) are restricted otherwise."""
_CAP_SETPCAP = 1 << 8


class LandlockWorker(Jail):
    """A zygote isolated by `landlock_boot.py`."""

    name = "landlock"
    hint = "`plum-hub doctor` lists what this machine lacks"
    boot = "landlock_boot"
    max_version = sys.maxsize
    """Newest Landlock ABI to use."""

    def __init__(
        self,
        theirs: socket.socket,
        core: int | None,
        packages: Sequence[str] = (),
        *,
        workers: int = 1,
        elsewhere: bool = False,
    ) -> None:
        self._user = os.getuid()
        self.bounding_set = _least_bounding_set()
        settings = {"temporary": _temporary(workers), "max_version": self.max_version, "elsewhere": elsewhere}
        super().__init__(theirs, core, packages, settings)
        self.probe_targets = {"processes": [os.getpid(), self._process.pid, 1]}

    def verify(self, greeting: dict[str, Any]) -> str:
        """Check the zygote from outside; see `Enclosure`. The kernel reports, so nothing inside can lie.

        Args:
            greeting: What the boot process sent: `init`, `supervisor` and `user`.

        Returns:
            The zygote's /proc/PID/status.
        """
        if greeting["user"] is not None:
            self._user = greeting["user"]
        self.probe_targets["processes"].append(greeting["supervisor"])
        return self.admit(int(greeting["init"]))

    def _runs_as(self, users: set[str]) -> bool:
        return users == {str(self._user)}


def differences() -> str:
    """Describe how this sandbox differs from a jail for programs on this machine.

    Returns:
        One line.
    """
    version = filters.landlock_version()
    parts = [
        f"Landlock ABI version {version}",
        "programs can see whether files outside exist (not read them)",
    ]
    if version < _VERSION_MOVES:
        parts.append(f"files cannot be moved between folders (needs version {_VERSION_MOVES})")
    if version < _VERSION_TRUNCATE:
        parts.append(f"files cannot be truncated by name (needs version {_VERSION_TRUNCATE})")
    return ", ".join(parts)


def _least_bounding_set() -> str:
    """Return the smallest bounding set that a child of this process can have, as /proc/PID/status writes it.

    Without CAP_SETPCAP, as ordinary users are, nobody can shrink it (capabilities(7)). It grants nothing then: with
    no_new_privs, no executable gives a process capabilities that it does not have.
    """
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    sets = {line[0]: line[1] for line in lines if line and line[0] in ("CapEff:", "CapBnd:")}
    return NO_CAPABILITY if int(sets["CapEff:"], 16) & _CAP_SETPCAP else sets["CapBnd:"]


def _temporary(workers: int) -> str:
    """Return where scratch folders are created: in memory, as a jail's are, unless it is too small or `TMPDIR` is set.

    All of them share its room, which must be enough for all at once. Each may take twice its limit before its
    supervisor ends the program.
    """
    if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK | os.X_OK):
        free = os.statvfs(_MEMORY)
        if free.f_bavail * free.f_frsize >= 2 * workers * SCRATCH_MB << 20:
            return _MEMORY
    return tempfile.gettempdir()


class LandlockSandbox(JailSandbox):
    """Runs programs as `JailSandbox` does, with Landlock and seccomp in place of namespaces."""

    enclosure = LandlockWorker
