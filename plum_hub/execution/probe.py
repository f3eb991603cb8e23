"""Try to escape from a new jail, in a child like any program's, before the first program runs."""

import contextlib
import fcntl
import importlib
import json
import mmap
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from plum_hub.execution.wire import DONE, framed

_PIDS = 4096
_MANY = 100
"""Processes beyond what any sandbox allows: 64 by a resource limit or a supervisor, 96 by a control group."""
_MEMORY_READERS = (
    "_ctypes", "_testcapi", "_testinternalcapi", "_xxsubinterpreters", "_interpreters", "_remote_debugging"
)  # fmt: skip


def steps(body: str | bytes) -> Iterator[bytes]:
    """Try every escape.

    Args:
        body: JSON with the `port` and `canary` of the judge and, where there is no pid namespace, the `processes`
            outside.

    Yields:
        One frame: a JSON list of the attempts that should have failed and did not.
    """
    text = json.dumps([name for name, attempt in _attempts(json.loads(body)) if _succeeds(attempt)]).encode()
    yield framed(DONE, text)


def _attempts(outside: dict[str, Any]) -> list[tuple[str, Callable[[], object]]]:
    """Return the attempts; each name says which layer prevents it.

    `outside` describes targets of the judge's: a loopback listener, a file and, where there is no pid namespace,
    processes.
    """
    port, canary = outside["port"], Path(outside["canary"])
    folders = ("/", "/usr", "/dev", "/jail", "/var", "/etc", "/proc")
    own = _without_namespaces(outside["processes"], canary) if "processes" in outside else _in_namespaces()
    return [
        *own,
        ("landlock: a program's memory can be opened", lambda: Path("/proc/self/mem").open("rb").close()),
        ("mounts: a file of the judge's can be read", canary.read_bytes),
        ("mounts: a file beside it can be written", lambda: canary.with_suffix(".written").write_bytes(b"")),
        *[(f"mounts: {folder} can be written", _writer(folder)) for folder in folders],
        ("seccomp: a socket can be made", lambda: socket.socket().close()),
        ("seccomp: a datagram socket can be made", lambda: socket.socketpair(type=socket.SOCK_DGRAM)),
        ("network: the judge's port answers", lambda: socket.create_connection(("127.0.0.1", port), 1).close()),
        ("memory: the interpreter's own memory can be read", lambda: _import(*_MEMORY_READERS)),
        ("capabilities: the root can be changed", lambda: os.chroot("/tmp")),
        ("capabilities: the user can become root", _become_root),
        # The kernel exempts the machine's root, under whatever number, from the limit of a user's processes.
        ("resource limits: it can have processes without end", _start_many),
    ]


def _in_namespaces() -> list[tuple[str, Callable[[], object]]]:
    return [
        ("pid namespace: other processes are in sight", _find_processes),
        ("mounts: what the zygote has open can be opened", Path("/proc/1/fd/0").stat),
        ("landlock: the zygote's environment can be read", Path("/proc/1/environ").read_bytes),
        ("pid namespace: a signal to its group reaches others", lambda: _differ(os.getpgrp(), os.getsid(1))),
    ]


def _without_namespaces(processes: list[int], canary: Path) -> list[tuple[str, Callable[[], object]]]:
    zygote = os.getppid()
    return [
        *[
            attempt
            for process in processes
            for attempt in (
                (f"seccomp: process {process} can be signalled", lambda process=process: os.kill(process, 0)),
                (f"seccomp: its group {process} can be signalled", lambda process=process: os.killpg(process, 0)),
                (f"landlock: memory of {process} can be opened", Path(f"/proc/{process}/mem").read_bytes),
                (
                    f"landlock: descriptors of {process} can be listed",
                    lambda process=process: [*Path(f"/proc/{process}/fd").iterdir()],
                ),
                (f"seccomp: limits of {process} can be read", lambda process=process: resource.prlimit(process, 0)),
                (f"seccomp: priority of {process} can be set", lambda process=process: os.setpriority(0, process, 19)),
            )
        ],
        ("landlock: the zygote's environment can be read", Path(f"/proc/{zygote}/environ").read_bytes),
        ("seccomp: all processes can be signalled", lambda: os.kill(-1, 0)),
        ("seccomp: a signal by handle can be sent", lambda: signal.pidfd_send_signal(os.pidfd_open(zygote), 0)),
        ("seccomp: a descriptor's signals can be sent to others", lambda: fcntl.fcntl(0, fcntl.F_SETOWN, zygote)),
        ("supervisor: a file's mode can be changed", lambda: canary.chmod(0o600)),
        ("supervisor: a file's times can be changed", lambda: os.utime(canary, (1, 1))),
        ("seccomp: a file's owner can be changed", lambda: os.chown(canary, os.getuid(), os.getgid())),
        ("seccomp: a file's attributes can be changed", lambda: os.setxattr(canary, "user.x", b"1")),
        ("landlock: a file can be cut short", lambda: os.truncate(canary, 0)),
        ("landlock: a file can be emptied by opening it", lambda: os.open(canary, os.O_TRUNC)),
        ("landlock: a file can be linked to", lambda: os.link(canary, "canary")),
        ("landlock: the machine's /tmp can be written", _writer("/tmp")),
        ("landlock: the machine's /dev/shm can be listed", lambda: [*Path("/dev/shm").iterdir()]),
        ("supervisor: a file of its own can be executed", _map_executable),
    ]


def _become_root() -> None:
    """Succeed if this process can become root, or root has any privilege left."""
    if os.getuid() != 0:
        os.setuid(0)
    else:
        os.mknod("device", 0o60600, os.makedev(1, 3))


def _map_executable() -> None:
    Path("code").write_bytes(bytes(4096))
    file = os.open("code", os.O_RDONLY)
    mmap.mmap(file, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()


def _start_many() -> None:
    """Succeed if more processes can be started than a program may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if hard < _MANY:  # one fork tells whether it binds
        resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
        try:
            _start(1)
        finally:
            resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
    _start(_MANY)


def _start(processes: int) -> None:
    """Start that many processes, which end when this returns."""
    reader, writer = os.pipe()
    try:
        for _ in range(processes):
            if os.fork() == 0:
                os.close(writer)
                os.read(reader, 1)
                os._exit(0)
    finally:
        os.close(writer)


def _find_processes() -> None:
    """Succeed if any process other than the zygote and this one can be signalled."""
    for number in range(2, _PIDS):
        if number != os.getpid() and _succeeds(lambda number=number: os.kill(number, 0)):  # type: ignore[misc]
            return
    raise ProcessLookupError


def _differ(group: int, session: int) -> None:
    """Succeed if the process group is not the jail's own; a group from outside the pid namespace has the number 0."""
    if group == session == 1:
        raise ProcessLookupError


def _import(*names: str) -> None:
    """Succeed if any of these modules can be imported."""
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            return
    raise FileNotFoundError


def _writer(folder: str) -> Callable[[], object]:
    return lambda: Path(folder, "written").write_bytes(b"")


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True
