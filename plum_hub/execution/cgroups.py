"""Limits for all processes of a jail together, where this machine lets us create a control group.

Resource limits apply to each process by itself: without a group, a program with 64 processes can have 64 times its
memory. Works with version 1 (a memory and a pids hierarchy) and with version 2 where the controllers are delegated to
us; see cgroups(7).
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
    """One control group: a folder in each hierarchy. Its limits apply to its processes and all their children.

    Args:
        folders: Existing folders of control groups.
    """

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self._memory_bytes = sys.maxsize

    def limit(self, memory_bytes: int, pids: int | None = None) -> None:
        """Set the limits; free if they are unchanged.

        Args:
            memory_bytes: Memory and swap of all processes together.
            pids: Processes and threads together; None leaves the limit unchanged.

        Raises:
            OSError: The kernel refused a limit.
        """
        if memory_bytes != self._memory_bytes:
            version_2 = any((folder / "memory.swap.max").exists() for folder in self.folders)
            writes = [(_MEMORY, memory_bytes), (_SWAP, 0 if version_2 else memory_bytes)]
            if memory_bytes > self._memory_bytes:  # in version 1 the limit with swap must not be the smaller one
                writes.reverse()
            for names, value in writes:
                with contextlib.suppress(FileNotFoundError):  # the kernel may not account for swap
                    _write_first(self.folders, names, value)
            self._memory_bytes = memory_bytes
        if pids is not None:
            with contextlib.suppress(FileNotFoundError):  # a version 1 hierarchy may be missing
                _write_first(self.folders, ("pids.max",), pids)

    def add(self, pid: int) -> None:
        """Move a process into the group; its future children start in it.

        Args:
            pid: The process.

        Raises:
            OSError: The process or the group is gone.
        """
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed so far because the group exceeded its memory limit."""
        for folder in self.folders:
            for name in _KILLS:
                with contextlib.suppress(FileNotFoundError):
                    counts = dict(line.split() for line in (folder / name).read_text().splitlines())
                    return int(counts.get("oom_kill", 0))
        return 0

    def remove(self) -> None:
        """Remove the group once its processes have ended. Idempotent.

        Raises:
            OSError: Processes are still in it.
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
    """Create a control group with limits.

    Args:
        name: Unique among the groups that exist.
        memory_bytes: Memory and swap of all processes together, files in a tmpfs included.
        pids: Processes and threads together.

    Returns:
        The group, or None where this machine does not let us create one.
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
    """Detect the controllers that a new group would have.

    Returns:
        The version of the cgroup interface by controller (`memory`, `pids`).
    """
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
    """Return, for each controller, the folder in which a group can be created."""
    mounts = dict(_mounts())
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    parents = {
        name: mounts[name] / path.lstrip("/")
        for _, names, path in lines
        for name in names.split(",")
        if name in _CONTROLLERS and name in mounts
    }
    if not parents and "" in mounts:  # version 2: a single unnamed hierarchy
        own = next((mounts[""] / path.lstrip("/") for _, names, path in lines if not names), mounts[""])
        # A group with processes cannot delegate controllers to its children, so a sibling is also tried.
        parents = {name: folder for folder in (own.parent, own) for name in _delegated(folder)}
    return {name: folder for name, folder in parents.items() if os.access(folder, os.W_OK)}


def _mounts() -> Iterator[tuple[str, Path]]:
    """Yield each controller with its mount point; the name is empty for version 2."""
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
    """Return the controllers that a version 2 group passes on to its children."""
    try:
        delegated = (folder / "cgroup.subtree_control").read_text().split()
    except OSError:  # above the root of the hierarchy
        return []
    return [name for name in _CONTROLLERS if name in delegated]


def _write_first(folders: list[Path], names: tuple[str, ...], value: int) -> None:
    """Write to the first of these files that exists. Raises `FileNotFoundError` if none does."""
    for folder in folders:
        for name in names:
            if (folder / name).exists():
                (folder / name).write_text(str(value))
                return
    raise FileNotFoundError(names[0])
