"""What programs of a sandbox without namespaces may do to files, beyond what Landlock knows of.

- Files are created up to a number and a size: the scratch folder is on a file system of the machine's.
- Modes and times are changed in the scratch folder only. Landlock does not forbid that anywhere.
- No file of the scratch folder is mapped to be executed, as if it were mounted `noexec`.
- Shared memory (`/dev/shm`) is made in the scratch folder, and its names are known to the program that made them.
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

_FILES = 1000
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = -100, 0x100, 0x1000
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
_NOW = (0, _UTIME_NOW, 0, _UTIME_NOW)
_MODE_BITS = 0o1777
_NAMED = {
    "open": 0, "openat": 1, "creat": 0, "mkdir": 0, "mkdirat": 1, "symlink": 1, "symlinkat": 2, "link": 1, "linkat": 3,
    "mknod": 0, "mknodat": 1,
}  # fmt: skip
"""System calls that create a file: which argument is its name."""
_SHARED_NAMES = 256
_SHARED = re.compile(rb"/dev/shm/[^/]+")


class FileSupervisor:
    """Decides about one sandbox's files.

    Args:
        scratch: the real path of the folder that programs may write to.
        most_bytes: what its files may hold together.
    """

    def __init__(self, scratch: str, most_bytes: int) -> None:
        self._scratch, self._most_bytes = scratch, most_bytes
        self._created = self._counted_at = 0
        self._has_files = False
        self._shared: set[bytes] = set()

    def forget(self) -> None:
        """Begin with a new program and an empty scratch folder."""
        self._created = self._counted_at = 0
        self._has_files = False
        self._shared.clear()

    def decide(self, asked: SystemCall) -> bool | tuple[int, int]:
        """Whether the call was carried out here; if not, the kernel does it. Or a file that the caller is given, and
        the flags that it has there.

        Raises:
            OSError: the call fails, with this error number.
        """
        if asked.name == "mmap":
            self._execute(asked)
            return False
        if asked.name in ("unlink", "unlinkat"):
            return self._unlink(text(asked.thread, asked.arguments[asked.name == "unlinkat"]))
        if asked.name in _NAMED:
            return self._create(asked)
        if asked.name == "utimensat":
            self._set_times(asked)
        else:
            self._set_mode(asked)
        return True

    def _create(self, asked: SystemCall) -> bool | tuple[int, int]:
        """Count a file that may be about to be created; once there are many, look only now and then."""
        self._created += 1
        if self._created - self._counted_at > self._counted_at // 16:
            self._count()
        name = text(asked.thread, asked.arguments[_NAMED[asked.name]])
        if not _SHARED.fullmatch(name):
            self._has_files |= not name.startswith(b"/dev/")
            return False
        self._has_files = True
        if asked.name in ("link", "linkat"):
            return self._link(text(asked.thread, asked.arguments[_NAMED[asked.name] // 2]), name)
        if asked.name not in ("open", "openat") or name in self._shared:
            raise RefusedError(errno.EEXIST if name in self._shared else errno.EACCES)
        flags = asked.arguments[1 + (asked.name == "openat")]
        self._shared.add(name)
        return nameless_file(self._scratch), flags & os.O_CLOEXEC

    def _link(self, old: bytes, new: bytes) -> bool:
        if old not in self._shared or new in self._shared:
            raise RefusedError(errno.EEXIST if new in self._shared else errno.ENOENT)
        self._shared.add(new)
        return True

    def _unlink(self, name: bytes) -> bool:
        if not _SHARED.fullmatch(name):
            return False
        if name not in self._shared:
            raise RefusedError(errno.ENOENT)
        self._shared.remove(name)
        return True

    def _count(self) -> None:
        files, size = self._found()
        self._created = self._counted_at = files
        if files >= _FILES or size >= self._most_bytes or len(self._shared) >= _SHARED_NAMES:
            self._counted_at = 0
            raise RefusedError(errno.ENOSPC)

    def _found(self) -> tuple[int, int]:
        """How many files the scratch folder holds, and their bytes, as far as paths reach."""
        files = size = 0
        waiting = [self._scratch]
        while waiting:
            with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
        return files, size

    @property
    def may_grow(self) -> bool:
        """Whether the program has made files, which can grow without a call that is asked about."""
        return self._has_files

    def are_too_large(self, processes: Iterable[int]) -> bool:
        """Whether the files are far over what they may hold together, those too that have no name any more.

        Args:
            processes: the program's processes.
        """
        device = os.stat(self._scratch).st_dev  # noqa: PTH116
        nameless: dict[int, int] = {}
        for process in processes:
            with contextlib.suppress(OSError):
                for name in os.listdir(f"/proc/{process}/fd"):  # noqa: PTH208
                    with contextlib.suppress(OSError):
                        found = os.stat(f"/proc/{process}/fd/{name}")  # noqa: PTH116
                        if found.st_dev == device and not found.st_nlink and stat.S_ISREG(found.st_mode):
                            nameless[found.st_ino] = found.st_blocks * 512
        return self._found()[1] + sum(nameless.values()) > 2 * self._most_bytes

    def _execute(self, asked: SystemCall) -> None:
        """Refuse to map a file of the scratch folder. No other thread can put one in the place of the file that was
        looked at, if there is no other thread, or the program has made no file."""
        file = os.readlink(f"/proc/{asked.thread}/fd/{signed(asked.arguments[4])}")  # noqa: PTH115
        if self._is_inside(file) or (self._has_files and len(threads_of(caller_of(asked.thread))) > 1):
            raise RefusedError(errno.EPERM)

    def _is_inside(self, path: str) -> bool:
        return path.startswith(f"{self._scratch}/")

    def _set_mode(self, asked: SystemCall) -> None:
        """Change a file's mode, as chmod(2) and its like do."""
        first, second, third, fourth, *_ = asked.arguments
        found, mode = {
            "chmod": ((_AT_FDCWD, first, 0), second),
            "fchmod": ((first, 0, _AT_EMPTY_PATH), second),
            "fchmodat": ((first, second, 0), third),
            "fchmodat2": ((first, second, fourth), third),
        }[asked.name]
        with self._opened(asked.thread, *found) as handle:
            if stat.S_ISLNK(os.fstat(handle).st_mode):
                raise RefusedError(errno.EOPNOTSUPP)
            Path(f"/proc/self/fd/{handle}").chmod(mode & _MODE_BITS)

    def _set_times(self, asked: SystemCall) -> None:
        """Change a file's times, as utimensat(2) does."""
        folder, path, address, flags, *_ = asked.arguments
        with self._opened(asked.thread, folder, path, flags if path else _AT_EMPTY_PATH) as handle:
            before, now = os.fstat(handle), time.time_ns()
            if stat.S_ISLNK(before.st_mode):
                raise RefusedError(errno.EOPNOTSUPP)
            given = (
                struct.unpack("<4q", memory(asked.thread, address, 32).ljust(32, b"\0"))
                if address
                else (0, _UTIME_NOW) * 2
            )
            special = [{_UTIME_NOW: now, _UTIME_OMIT: old} for old in (before.st_atime_ns, before.st_mtime_ns)]
            times = [
                special[place].get(given[2 * place + 1], given[2 * place] * 10**9 + given[2 * place + 1])
                for place in (0, 1)
            ]
            os.utime(f"/proc/self/fd/{handle}", ns=(times[0], times[1]))

    @contextlib.contextmanager
    def _opened(self, thread: int, folder: int, address: int, flags: int) -> Iterator[int]:
        """A handle of the file that a call names, which lies in the scratch folder."""
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
