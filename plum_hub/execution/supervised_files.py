"""What programs of a sandbox without namespaces may do to files, beyond what Landlock restricts.

- The number and total size of files are limited: the scratch folder is on a file system of the machine.
- Modes and times can be changed in the scratch folder only. Landlock does not restrict these operations.
- No file of the scratch folder can be mapped as executable, as if it were mounted `noexec`.
- Shared memory (`/dev/shm`) is placed in the scratch folder; only the program that created it knows its names.
"""

import contextlib
import errno
import os
import re
import stat
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from plum_hub.execution.scratch import nameless_file
from plum_hub.execution.system_call import RefusedError, SystemCall, caller_of, memory, signed, text, threads_of

_MAX_FILES = 1000
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = -100, 0x100, 0x1000
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
_NOW = (0, _UTIME_NOW, 0, _UTIME_NOW)
_MODE_BITS = 0o1777
_NAME_ARGUMENT = {
    "open": 0, "openat": 1, "creat": 0, "mkdir": 0, "mkdirat": 1, "symlink": 1, "symlinkat": 2, "link": 1, "linkat": 3,
    "mknod": 0, "mknodat": 1,
}  # fmt: skip
"""System calls that create a file, with the index of the argument that is its name."""
_MAX_SHARED_NAMES = 256
_SHARED_MEMORY = re.compile(rb"/dev/shm/[^/]+")


class FileSupervisor:
    """Decides about the files of one sandbox.

    Args:
        scratch: Real path of the folder that programs may write to.
        max_bytes: Limit of its files together.
    """

    def __init__(self, scratch: str, max_bytes: int) -> None:
        self._scratch, self._max_bytes = scratch, max_bytes
        self._created = self._counted_at = 0
        self._has_files = False
        self._shared: set[bytes] = set()

    def reset(self) -> None:
        """Start over for a new program with an empty scratch folder."""
        self._created = self._counted_at = 0
        self._has_files = False
        self._shared.clear()

    def decide(self, call: SystemCall) -> bool | tuple[int, int]:
        """Decide a system call.

        Args:
            call: A gated call that concerns files.

        Returns:
            True if it was carried out here; False if the kernel shall do it; or a descriptor to hand to the caller,
            with its flags there.

        Raises:
            OSError: The call fails with this error number.
        """
        if call.name == "mmap":
            self._execute(call)
            return False
        if call.name in ("unlink", "unlinkat"):
            return self._unlink(text(call.thread, call.arguments[call.name == "unlinkat"]))
        if call.name in _NAME_ARGUMENT:
            return self._create(call)
        if call.name == "utimensat":
            self._set_times(call)
        else:
            self._set_mode(call)
        return True

    def _create(self, call: SystemCall) -> bool | tuple[int, int]:
        """Count a file that may be about to be created. With many files, the folder is scanned only now and then."""
        self._created += 1
        if self._created - self._counted_at > self._counted_at // 16:
            self._count()
        name = text(call.thread, call.arguments[_NAME_ARGUMENT[call.name]])
        if not _SHARED_MEMORY.fullmatch(name):
            self._has_files |= not name.startswith(b"/dev/")
            return False
        self._has_files = True
        if call.name in ("link", "linkat"):
            return self._link(text(call.thread, call.arguments[_NAME_ARGUMENT[call.name] // 2]), name)
        if call.name not in ("open", "openat") or name in self._shared:
            raise RefusedError(errno.EEXIST if name in self._shared else errno.EACCES)
        flags = call.arguments[1 + (call.name == "openat")]
        self._shared.add(name)
        return nameless_file(self._scratch), flags & os.O_CLOEXEC

    def _link(self, old: bytes, new: bytes) -> bool:
        if old not in self._shared or new in self._shared:
            raise RefusedError(errno.EEXIST if new in self._shared else errno.ENOENT)
        self._shared.add(new)
        return True

    def _unlink(self, name: bytes) -> bool:
        if not _SHARED_MEMORY.fullmatch(name):
            return False
        if name not in self._shared:
            raise RefusedError(errno.ENOENT)
        self._shared.remove(name)
        return True

    def _count(self) -> None:
        files, size = self._usage()
        self._created = self._counted_at = files
        if files >= _MAX_FILES or size >= self._max_bytes or len(self._shared) >= _MAX_SHARED_NAMES:
            self._counted_at = 0
            raise RefusedError(errno.ENOSPC)

    def _usage(self) -> tuple[int, int]:
        """Count the files of the scratch folder and their bytes, as deep as paths reach."""
        files = size = 0
        pending = [self._scratch]
        while pending:
            with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
        return files, size

    @property
    def may_grow(self) -> bool:
        """Whether the program has created files, which can grow without a supervised call."""
        return self._has_files

    def exceed_limit(self, processes: Iterable[int]) -> bool:
        """Check whether the files, including deleted ones that are still open, are far above their limit.

        Args:
            processes: The program's processes.

        Returns:
            Whether they exceed twice the limit.
        """
        device = os.stat(self._scratch).st_dev  # noqa: PTH116
        unnamed: dict[int, int] = {}
        for process in processes:
            with contextlib.suppress(OSError):
                for name in os.listdir(f"/proc/{process}/fd"):  # noqa: PTH208
                    with contextlib.suppress(OSError):
                        status = os.stat(f"/proc/{process}/fd/{name}")  # noqa: PTH116
                        if status.st_dev == device and not status.st_nlink and stat.S_ISREG(status.st_mode):
                            unnamed[status.st_ino] = status.st_blocks * 512
        return self._usage()[1] + sum(unnamed.values()) > 2 * self._max_bytes

    def _execute(self, call: SystemCall) -> None:
        """Refuse to map a file of the scratch folder as executable.

        No other thread can exchange the file after this check if there is no other thread, or the program has created
        no file.
        """
        file = os.readlink(f"/proc/{call.thread}/fd/{signed(call.arguments[4])}")  # noqa: PTH115
        if self._is_inside(file) or (self._has_files and len(threads_of(caller_of(call.thread))) > 1):
            raise RefusedError(errno.EPERM)

    def _is_inside(self, path: str) -> bool:
        return path.startswith(f"{self._scratch}/")

    def _set_mode(self, call: SystemCall) -> None:
        """Change a file's mode, as chmod(2) and similar do."""
        first, second, third, fourth, *_ = call.arguments
        target, mode = {
            "chmod": ((_AT_FDCWD, first, 0), second),
            "fchmod": ((first, 0, _AT_EMPTY_PATH), second),
            "fchmodat": ((first, second, 0), third),
            "fchmodat2": ((first, second, fourth), third),
        }[call.name]
        with self._opened(call.thread, *target) as handle:
            if stat.S_ISLNK(os.fstat(handle).st_mode):
                raise RefusedError(errno.EOPNOTSUPP)
            Path(f"/proc/self/fd/{handle}").chmod(mode & _MODE_BITS)

    def _set_times(self, call: SystemCall) -> None:
        """Change a file's times, as utimensat(2) does."""
        folder, path, address, flags, *_ = call.arguments
        with self._opened(call.thread, folder, path, flags if path else _AT_EMPTY_PATH) as handle:
            before, now = os.fstat(handle), time.time_ns()
            if stat.S_ISLNK(before.st_mode):
                raise RefusedError(errno.EOPNOTSUPP)
            requested = struct.unpack("<4q", memory(call.thread, address, 32).ljust(32, b"\0")) if address else _NOW
            special = [{_UTIME_NOW: now, _UTIME_OMIT: old} for old in (before.st_atime_ns, before.st_mtime_ns)]
            times = [
                special[index].get(requested[2 * index + 1], requested[2 * index] * 10**9 + requested[2 * index + 1])
                for index in (0, 1)
            ]
            os.utime(f"/proc/self/fd/{handle}", ns=(times[0], times[1]))

    @contextlib.contextmanager
    def _opened(self, thread: int, folder: int, address: int, flags: int) -> Iterator[int]:
        """Open the file that a call names; it must be in the scratch folder."""
        number = signed(folder)
        start = f"/proc/{thread}/cwd" if number == _AT_FDCWD else f"/proc/{thread}/fd/{number}"
        path = text(thread, address) if address else b""
        if not path and not flags & _AT_EMPTY_PATH:
            raise RefusedError(errno.ENOENT)
        follow = os.O_NOFOLLOW if flags & _AT_SYMLINK_NOFOLLOW else 0
        base = os.open(start, os.O_PATH | os.O_CLOEXEC)
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC | follow, dir_fd=base) if path else os.dup(base)
        finally:
            os.close(base)
        try:
            if not self._is_inside(os.readlink(f"/proc/self/fd/{handle}")):  # noqa: PTH115
                raise RefusedError(errno.EPERM)
            yield handle
        finally:
            os.close(handle)
