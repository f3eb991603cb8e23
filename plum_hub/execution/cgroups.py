"""Limits that hold for all processes of a jail together, where this machine lets us make a control group.

Resource limits hold for each process by itself: without a group, a program with sixty-four processes can have
sixty-four times its memory. Works with version 1 (a memory and a pids hierarchy) and with version 2 where the
controllers are delegated to us; see cgroups(7).
"""

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_NAME = "plum-hub-"
_REMOVAL_SECONDS = 2.0
_CONTROLLERS = ("memory", "pids")
_MEMORY = ("memory.max", "memory.limit_in_bytes")
_SWAP = ("memory.swap.max", "memory.memsw.limit_in_bytes")
_KILLS = ("memory.events", "memory.oom_control")


class Cgroup:
    """One group: a folder in each hierarchy that has one. Its limits hold for what is in it, and for all its children.

    Args:
        folders: existing folders of control groups.
    """

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self._memory_bytes = sys.maxsize

    def limit(self, memory_bytes: int, pids: int | None = None) -> None:
        """Set the limits; costs nothing where they are as wanted already.

        Raises:
            OSError: the kernel does not take them.
        """
        if memory_bytes != self._memory_bytes:
            version_2 = any((folder / "memory.swap.max").exists() for folder in self.folders)
            writes = [(_MEMORY, memory_bytes), (_SWAP, 0 if version_2 else memory_bytes)]
            if memory_bytes > self._memory_bytes:  # in version 1 memory with swap may never have the smaller limit
                writes.reverse()
            for names, value in writes:
                with contextlib.suppress(FileNotFoundError):  # a kernel may count no swap
                    _write_first(self.folders, names, value)
            self._memory_bytes = memory_bytes
        if pids is not None:
            with contextlib.suppress(FileNotFoundError):  # a hierarchy of version 1 may be missing
                _write_first(self.folders, ("pids.max",), pids)

    def add(self, pid: int) -> None:
        """Move a process in; its future children are in it from their birth.

        Raises:
            OSError: the process or the group is gone.
        """
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed so far because the group was over its memory limit."""
        for folder in self.folders:
            for name in _KILLS:
                with contextlib.suppress(FileNotFoundError):
                    counts = dict(line.split() for line in (folder / name).read_text().splitlines())
                    return int(counts.get("oom_kill", 0))
        return 0

    def remove(self) -> None:
        """Remove the group, once its processes have ended. Idempotent.

        Raises:
            OSError: processes are still in it.
        """
        for folder in self.folders:
            deadline = time.monotonic() + _REMOVAL_SECONDS
            while folder.exists():
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError as error:
                    if error.errno != errno.EBUSY or time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)


def create(name: str, memory_bytes: int, pids: int) -> Cgroup | None:
    """A new group with these limits, or None where this machine does not let us make one.

    Args:
        name: unlike that of any other group alive.
        memory_bytes: for memory and swap of all its processes together, files in a tmpfs included.
        pids: processes and threads, all together.
    """
    group = Cgroup([])
    try:
        for parent in dict.fromkeys(_parents().values()):
            folder = parent / (_NAME + name)
            folder.mkdir()
            group.folders.append(folder)
        if not group.folders:
            return None
        group.limit(memory_bytes, pids)
    except OSError:
        group.remove()
        return None
    return group


def available() -> dict[str, str]:
    """The controllers that a group made here would have, and the version of the interface that each comes by."""
    group = create(f"look-{os.getpid()}", 1 << 30, 64)
    if group is None:
        return {}
    try:
        files = {name: folder for folder in group.folders for name in os.listdir(folder)}  # noqa: PTH208
        version = "version 2" if "cgroup.controllers" in files else "version 1"
        return {name: version for name in _CONTROLLERS if any(file.startswith(f"{name}.") for file in files)}
    finally:
        group.remove()


def _parents() -> dict[str, Path]:
    """The folder in which a group can be made, for each controller that has one."""
    mounts = dict(_mounts())
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    parents = {
        name: mounts[name] / path.lstrip("/")
        for _, names, path in lines
        for name in names.split(",")
        if name in _CONTROLLERS and name in mounts
    }
    if not parents and "" in mounts:  # version 2: one hierarchy, without a name
        own = next((mounts[""] / path.lstrip("/") for _, names, path in lines if not names), mounts[""])
        # A group that has processes can give none of its controllers to its children, so a sibling may have to do.
        parents = {name: folder for folder in (own.parent, own) for name in _delegated(folder)}
    return {name: folder for name, folder in parents.items() if os.access(folder, os.W_OK)}


def _mounts() -> Iterator[tuple[str, Path]]:
    """Each controller with the place of its hierarchy; "" for version 2."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, kind = line.partition(" - ")
        file_system, _, options = kind.split(" ", 2)
        if file_system == "cgroup2":
            yield "", Path(mount.split()[4])
        elif file_system == "cgroup":
            for name in _CONTROLLERS:
                if name in options.split(","):
                    yield name, Path(mount.split()[4])


def _delegated(folder: Path) -> list[str]:
    try:
        delegated = (folder / "cgroup.subtree_control").read_text().split()
    except OSError:  # above the hierarchy's own root
        return []
    return [name for name in _CONTROLLERS if name in delegated]


def _write_first(folders: list[Path], names: tuple[str, ...], value: int) -> None:
    """Write to the first of these files that there is. Raises `FileNotFoundError` where there is none."""
    for folder in folders:
        for name in names:
            if (folder / name).exists():
                (folder / name).write_text(str(value))
                return
    raise FileNotFoundError(names[0])
