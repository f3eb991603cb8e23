"""System calls that the standard library lacks, through ctypes."""

import ctypes
import os
from collections.abc import Callable
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442
_CAPSET = {"x86_64": 126, "aarch64": 91}
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000


class LayerError(Exception):
    """The machine refused one layer of the sandbox.

    Args:
        layer: Name of the layer, for example `mounts`.
        reason: What the kernel reported.
    """

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(f"{layer}: {reason}")
        self.layer = layer
        self.reason = reason


def syscall(number: int, *arguments: Any) -> int:
    """Make a raw system call.

    Args:
        number: Its number on this processor.
        arguments: Integers and ctypes values.

    Returns:
        The result; -1 for an error, which `ctypes.get_errno` returns.
    """
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(_LIBC.syscall(ctypes.c_long(number), *converted))


def call(layer: str, function: Callable[[], int]) -> int:
    """Call a C function and check its result.

    Args:
        layer: Name of the layer for the error.
        function: Returns -1 for an error.

    Returns:
        The function's result.

    Raises:
        LayerError: The result was -1.
    """
    result = function()
    if result == -1:
        raise LayerError(layer, os.strerror(ctypes.get_errno()))
    return result


def _number(layer: str, numbers: dict[str, int]) -> int:
    """Return the number of a system call on this processor; raise `LayerError` if it is unknown."""
    machine = os.uname().machine
    if machine not in numbers:
        raise LayerError(layer, f"unknown system call numbers for {machine} processors")
    return numbers[machine]


def prctl(layer: str, option: int, *arguments: Any) -> None:
    """Call prctl(2).

    Args:
        layer: Name of the layer for a `LayerError`.
        option: The operation.
        arguments: Up to four; missing ones are 0.
    """
    converted = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    padding = [ctypes.c_ulong(0)] * (4 - len(converted))
    call(layer, lambda: _LIBC.prctl(option, *converted, *padding))


def unshare(layer: str, flags: int) -> None:
    """Call unshare(2).

    Args:
        layer: Name of the layer for a `LayerError`.
        flags: The namespaces to leave.
    """
    call(layer, lambda: _LIBC.unshare(flags))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Call mount(2).

    Args:
        source: What is mounted.
        target: An existing path.
        kind: The filesystem type.
        flags: Mount flags, `MS_*`.
        options: Options of the filesystem.

    Raises:
        LayerError: The kernel refused, for layer `mounts`.
    """
    arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    try:
        call("mounts", lambda: _LIBC.mount(*arguments))
    except LayerError as error:
        raise LayerError("mounts", f"{target}: {error.reason}") from None


def make_read_only(target: str, *, recursive: bool) -> None:
    """Make a mount read-only, without set-uid programs and devices.

    Args:
        target: The mount point.
        recursive: Whether to include the mounts below it.
    """
    attributes = (ctypes.c_uint64 * 4)(MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)  # MOUNT_ATTR_* have the same values
    flags = _AT_RECURSIVE if recursive else 0
    size = ctypes.sizeof(attributes)
    path = ctypes.c_char_p(target.encode())
    call("mounts", lambda: syscall(_MOUNT_SETATTR, _AT_FDCWD, path, flags, ctypes.byref(attributes), size))


def pivot_root(new_root: str, old_root: str) -> None:
    """Call pivot_root(2).

    Args:
        new_root: A mount point.
        old_root: A folder below it.
    """
    number = _number("mounts", _PIVOT_ROOT)
    call("mounts", lambda: syscall(number, ctypes.c_char_p(new_root.encode()), ctypes.c_char_p(old_root.encode())))


def detach(target: str) -> None:
    """Unmount a tree lazily (MNT_DETACH).

    Args:
        target: The mount point.
    """
    call("mounts", lambda: _LIBC.umount2(target.encode(), MNT_DETACH))


def drop_bounding_set() -> None:
    """Drop every capability from the bounding set, so that no executable can restore it."""
    for capability in range(64):
        if _LIBC.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) == -1:
            break  # EINVAL: the kernel has no capability of this number


def drop_capabilities() -> None:
    """Drop every capability, including the bounding set."""
    drop_bounding_set()
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    nothing = (ctypes.c_uint32 * 6)()
    number = _number("capabilities", _CAPSET)
    call("capabilities", lambda: syscall(number, ctypes.byref(header), ctypes.byref(nothing)))
