"""A system call that waits for a supervisor's answer, and what can be learned of the process that makes it."""

import errno
import os
from typing import NamedTuple

_MAX_PATH = 4096


class SystemCall(NamedTuple):
    """The call's name, the thread that makes it, and its arguments."""

    name: str
    thread: int
    arguments: tuple[int, ...]


class RefusedError(OSError):
    """The call fails with this error number."""

    def __init__(self, number: int) -> None:
        super().__init__(number, os.strerror(number))


def signed(value: int) -> int:
    """An argument as the C `int` that it is."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def memory(thread: int, address: int, size: int) -> bytes:
    """Bytes of a thread's memory, fewer where its pages end.

    Raises:
        OSError: there is no memory at that address.
    """
    file = os.open(f"/proc/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(file, size, address)
    except OverflowError:
        raise RefusedError(errno.EFAULT) from None
    finally:
        os.close(file)


def text(thread: int, address: int) -> bytes:
    """A string in a thread's memory, without its zero; the page behind its end may not be there."""
    read = b""
    while b"\0" not in read:
        if len(read) >= _MAX_PATH:
            raise RefusedError(errno.ENAMETOOLONG)
        position = address + len(read)
        chunk = memory(thread, position, 4096 - position % 4096)
        if not chunk:
            raise RefusedError(errno.EFAULT)
        read += chunk
    return read.partition(b"\0")[0]


def caller_of(thread: int) -> int:
    """The process that a thread belongs to."""
    with open(f"/proc/{thread}/status", "rb") as file:  # noqa: PTH123  for every call; pathlib takes longer
        for line in file:
            if line.startswith(b"Tgid:"):
                return int(line[5:])
    raise RefusedError(errno.ESRCH)


def threads_of(process: int) -> list[int]:
    """The numbers of a process's threads; none where it has ended."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{process}/task")]  # noqa: PTH208
    except (FileNotFoundError, ProcessLookupError):
        return []
