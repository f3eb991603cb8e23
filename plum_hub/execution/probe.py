"""What a program could do from inside a jail, tried in a child like any program's, before the first program."""

import contextlib
import importlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from plum_hub.execution.wire import DONE, framed

_PIDS = 4096
_MEMORY_READERS = (
    "_ctypes", "_testcapi", "_testinternalcapi", "_xxsubinterpreters", "_interpreters", "_remote_debugging"
)  # fmt: skip


def steps(body: str | bytes) -> Iterator[bytes]:
    """One result: a JSON list of the things that should have been impossible and were not."""
    text = json.dumps([name for name, attempt in _attempts(json.loads(body)) if _succeeds(attempt)]).encode()
    yield framed(DONE, text)


def _attempts(outside: dict[str, Any]) -> list[tuple[str, Callable[[], object]]]:
    """Each names the layer that forbids it. `outside` tells of the judge: its loopback listener, and a file of its."""
    port, canary = outside["port"], Path(outside["canary"])
    folders = ("/", "/usr", "/dev", "/jail", "/var", "/etc", "/proc")
    return [
        ("pid namespace: other processes are in sight", _find_processes),
        ("mounts: what the zygote has open can be opened", Path("/proc/1/fd/0").stat),
        ("landlock: the zygote's environment can be read", Path("/proc/1/environ").read_bytes),
        ("landlock: a program's memory can be opened", lambda: Path("/proc/self/mem").open("rb").close()),
        ("mounts: a file of the judge's can be read", canary.read_bytes),
        ("mounts: a file beside it can be written", lambda: canary.with_suffix(".written").write_bytes(b"")),
        *[(f"mounts: {folder} can be written", _writer(folder)) for folder in folders],
        ("seccomp: a socket can be made", lambda: socket.socket().close()),
        ("network: the judge's port answers", lambda: socket.create_connection(("127.0.0.1", port), 1).close()),
        ("pid namespace: a signal to its group reaches others", lambda: _differ(os.getpgrp(), os.getsid(1))),
        ("memory: the interpreter's own memory can be read", lambda: _import(*_MEMORY_READERS)),
        ("capabilities: the root can be changed", lambda: os.chroot("/tmp")),
        ("capabilities: the user can become root", lambda: os.setuid(0)),
    ]


def _find_processes() -> None:
    """Succeed if any process but the zygote and this one can be signalled."""
    for number in range(2, _PIDS):
        if number != os.getpid() and _succeeds(lambda number=number: os.kill(number, 0)):  # type: ignore[misc]
            return
    raise ProcessLookupError


def _differ(group: int, session: int) -> None:
    """Succeed if the process group is not the jail's own; one from outside the pid namespace has the number 0."""
    if group == session == 1:
        raise ProcessLookupError


def _import(*names: str) -> None:
    """Succeed if any of these modules can be had."""
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
