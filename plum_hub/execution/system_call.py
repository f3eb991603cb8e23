"""A system call that waits for the supervisor's answer, and facts about the process that makes it."""

import errno
import os
from typing import NamedTuple

_MAX_PATH = 4096


class SystemCall(NamedTuple):
    """The call's name, the id of the thread that makes it, and its raw arguments."""

    name: str
    thread: int
    arguments: tuple[int, ...]


class RefusedError(OSError):
    """The system call fails with an error number.

    Args:
        number: From `errno`.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, os.strerror(number))


def signed(value: int) -> int:
    """Convert an argument to the C `int` that it is.

    Args:
        value: The raw 64-bit argument.

    Returns:
        Its low 32 bits, signed.
    """
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def memory(thread: int, address: int, size: int) -> bytes:
    """Read a thread's memory.

    Args:
        thread: Its id.
        address: Where to start.
        size: Bytes to read.

    Returns:
        The bytes; fewer where mapped memory ends.

    Raises:
        OSError: Nothing is mapped at that address.
    """
    file = os.open(f"/proc/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(file, size, address)
    except OverflowError:
        raise RefusedError(errno.EFAULT) from None
    finally:
        os.close(file)


def text(thread: int, address: int) -> bytes:
    """Read a C string from a thread's memory, without touching the page after its end, which may not exist.

    Args:
        thread: Its id.
        address: Where the string starts.

    Returns:
        The string without its terminator.

    Raises:
        RefusedError: It is longer than a path may be, or not mapped.
    """
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
    """Find the process that a thread belongs to.

    Args:
        thread: Its id.

    Returns:
        The pid.

    Raises:
        RefusedError: /proc does not name one.
    """
    with open(f"/proc/{thread}/status", "rb") as file:  # noqa: PTH123  called for every system call; pathlib is slower
        for line in file:
            if line.startswith(b"Tgid:"):
                return int(line[5:])
    raise RefusedError(errno.ESRCH)


def threads_of(process: int) -> list[int]:
    """List the threads of a process.

    Args:
        process: Its pid.

    Returns:
        Thread ids; empty if the process has ended.
    """
    try:
        return [int(name) for name in os.listdir(f"/proc/{process}/task")]  # noqa: PTH208
    except (FileNotFoundError, ProcessLookupError):
        return []
