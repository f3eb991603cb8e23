"""Count what a command does to files, over all its processes, and strike at the Nth operation.

Python loads this file at its start when its folder is in PYTHONPATH; nothing in the package knows of it. It counts
opening for writing (before, and when the file is empty), writing, syncing, renaming, removing and making folders below
`CHAOS_ROOT`, and every process that is started. `CHAOS_LOG` gets one line of fixed length for each operation, so that
its size is the count; programs in a sandbox see neither.

At operation `CHAOS_POINT`, `CHAOS_FAULT` happens to `CHAOS_VICTIM` (a role, see `victim`): `kill` (SIGKILL), `torn`
(the same after half of what is written), `stop` (SIGSTOP), or `full`: `CHAOS_ROOT`, a small file system, is filled.
"""

# ruff: noqa: PTH100, PTH115, PTH118, PTH119 - pathlib would do file operations of its own
import builtins
import errno
import io
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

LINE = 240
"""Bytes of a line of the log."""
ROLES = {
    "worker": b"plum_hub.pipeline.worker",
    "publisher": b"plum_hub.hubs.hub_worker",
    "hub": b"plum_hub.hubs.server",
    "git": b"git\0",
    "static": b"plum_hub.static",
    "judge": b"plum_hub.execution",
}
"""Processes by what their command line contains."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_write, _fsync, _open = os.write, os.fsync, io.open
_busy = threading.local()


class Counter:
    """The count that all processes of a command share."""

    def __init__(self) -> None:
        self.root = os.environ["CHAOS_ROOT"].rstrip("/") + "/"
        self.log = os.environ["CHAOS_LOG"]
        self.point = int(os.environ["CHAOS_POINT"])
        self.fault, self.role = os.environ["CHAOS_FAULT"], os.environ["CHAOS_VICTIM"]
        self.command = int(os.environ.setdefault("CHAOS_COMMAND", str(os.getpid())))
        self.renew()

    def renew(self) -> None:
        """Open the log: each process has an offset of its own."""
        self.lock = threading.Lock()
        self.file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def count(self, what: str, path: str, writing: "tuple[int, Any] | None" = None) -> None:
        """Count an operation, and strike if it is the drawn one."""
        line = f"{os.getpid()} {what} {path.removeprefix(self.root)}".encode("ascii", "replace")[: LINE - 1]
        with self.lock:
            _write(self.file, line.ljust(LINE - 1) + b"\n")
            number = os.lseek(self.file, 0, os.SEEK_CUR) // LINE
        if number == self.point:
            self.strike(f"{what} {path.removeprefix(self.root)}", writing)

    def strike(self, what: str, writing: "tuple[int, Any] | None") -> None:
        """Do what was drawn."""
        role, victim = self.victim()
        with _open(f"{self.log}.struck", "w") as note:
            note.write(f"{self.fault} of {role} {victim} at {what}\n")
        if self.fault == "full":
            fill(self.root)
        elif self.fault == "stop":
            os.kill(victim, signal.SIGSTOP)
        else:
            if self.fault == "torn" and writing is not None:
                _write(writing[0], bytes(writing[1])[: len(writing[1]) // 2])
            os.kill(victim, signal.SIGKILL)

    def victim(self) -> tuple[str, int]:
        """Find the first process of the role: `self` is the one at this operation, `command` the first of all."""
        if self.role == "command":
            return "command", self.command
        below, found = {self.command}, []
        for number, parent, line in sorted(processes()):
            if parent in below:
                below.add(number)
                if self.role in ROLES and ROLES[self.role] in line:
                    found.append(number)
        return (self.role, found[self.point % len(found)]) if found else ("self", os.getpid())


def processes() -> "list[tuple[int, int, bytes]]":
    """Every process with its parent and its command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            found.append((int(folder.name), parent, (folder / "cmdline").read_bytes()))
        except OSError:
            continue  # has ended
    return found


def fill(root: str) -> None:
    """Write until the file system is full; only a small one of its own may be."""
    space = os.statvfs(root)
    if space.f_blocks * space.f_frsize > 1 << 28:
        raise SystemExit(f"{root} is no small file system")
    file, piece = os.open(f"{root}.ballast", os.O_WRONLY | os.O_CREAT), bytes(1 << 20)
    while piece:
        try:
            _write(file, piece)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            piece = piece[: len(piece) // 2]
    os.close(file)


def place(path: Any, folder: Any = -1) -> str:
    """The whole path that an operation names."""
    try:
        if isinstance(path, int):
            return os.readlink(f"/proc/self/fd/{path}")
        text = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0:
            text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
        return os.path.abspath(text)
    except (OSError, TypeError, ValueError):
        return ""


def install(counter: Counter) -> None:
    """Count from here on."""

    def counted(what: str, path: str, writing: "tuple[int, Any] | None" = None) -> None:
        if path.startswith(counter.root) and not getattr(_busy, "now", False):
            _busy.now = True
            try:
                counter.count(what, path, writing)
            finally:
                _busy.now = False

    def heard(event: str, given: "tuple[Any, ...]") -> None:
        if event == "open":
            if isinstance(given[0], (str, bytes)) and given[2] & _WRITES:
                counted("open", place(given[0]))
        elif event in ("os.remove", "os.rmdir", "os.mkdir"):
            counted(event, place(given[0], given[-1]))
        elif event == "os.rename":
            counted(event, place(given[1], given[3]))
        elif event in ("os.truncate", "os.link"):
            counted(event, place(given[0]))
        elif event == "subprocess.Popen":
            counted(event, f"{counter.root}{os.path.basename(os.fsdecode(given[0]))}")

    def write(file: int, data: Any) -> int:
        if (path := place(file)).startswith(counter.root):
            counted("write", path, (file, data))
        return _write(file, data)

    def fsync(file: Any) -> None:
        counted("fsync", place(file if isinstance(file, int) else file.fileno()))
        _fsync(file)

    def opened(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        handle = _open(file, mode, *rest, **more)
        if set(mode) & set("wax+"):
            counted("opened", place(file))
        return handle

    os.write, os.fsync = write, fsync
    io.open = builtins.open = opened
    os.register_at_fork(after_in_child=counter.renew)
    sys.addaudithook(heard)


if "CHAOS_LOG" in os.environ:
    install(Counter())
