"""What a program could do from inside a jail, tried in a child like any program's, before the first program."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from plum_hub.execution.child import DONE
from plum_hub.execution.wire import FRAME

_PIDS = 4096


def steps(body: bytes) -> Iterator[bytes]:
    """One result: a JSON list of the things that should have been impossible and were not."""
    text = json.dumps([name for name, attempt in _attempts(json.loads(body)) if _succeeds(attempt)]).encode()
    yield FRAME.pack(DONE, len(text)) + text


def _attempts(outside: dict[str, Any]) -> list[tuple[str, Callable[[], object]]]:
    """Each names the layer that forbids it. `outside` tells of the judge: its loopback listener, and a file of its."""
    port, canary = outside["port"], Path(outside["canary"])
    folders = ("/", "/usr", "/dev", "/jail", "/var", "/etc", "/proc")
    return [
        ("pid namespace: other processes are in sight", _find_processes),
        ("landlock: the zygote's environment can be read", Path("/proc/1/environ").read_bytes),
        ("landlock: a program's memory can be opened", lambda: Path("/proc/self/mem").open("rb").close()),
        ("mounts: a file of the judge's can be read", canary.read_bytes),
        ("mounts: a file beside it can be written", lambda: canary.with_suffix(".written").write_bytes(b"")),
        *[(f"mounts: {folder} can be written", _writer(folder)) for folder in folders],
        ("seccomp: a socket can be made", lambda: socket.socket().close()),
        ("network: the judge's port answers", lambda: socket.create_connection(("127.0.0.1", port), 1).close()),
        ("capabilities: the root can be changed", lambda: os.chroot("/tmp")),
        ("capabilities: the user can become root", lambda: os.setuid(0)),
    ]


def _find_processes() -> None:
    """Succeed if any process but the zygote and this one can be signalled."""
    for number in range(2, _PIDS):
        if number != os.getpid() and _succeeds(lambda number=number: os.kill(number, 0)):  # type: ignore[misc]
            return
    raise ProcessLookupError


def _writer(folder: str) -> Callable[[], object]:
    return lambda: Path(folder, "written").write_bytes(b"")


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True
