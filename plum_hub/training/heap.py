"""The process's malloc heap while training on a CPU, where tensors come from glibc.

By default glibc returns large blocks to the system as soon as they are freed, and the kernel clears their pages when
they are requested again: a seventh of a training's time. Since every batch has its own shapes, free memory between
smaller blocks also grows from batch to batch. So freed memory is retained, and trimmed when the process holds more than
its estimate. With another C library these functions do nothing.
"""

import ctypes
import os
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_NEVER = 2**31 - 1


def retain_freed() -> None:
    """Keep freed memory in this process from now on."""
    if option := getattr(ctypes.CDLL(None), "mallopt", None):
        option(_TRIM_THRESHOLD, _NEVER)
        option(_MMAP_THRESHOLD, _NEVER)


def resident_bytes() -> int:
    """Return the resident memory of this process.

    Returns:
        Bytes; 0 where the system does not say.
    """
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGESIZE")


def trim(limit: int) -> None:
    """Return free pages to the system if the process holds more than a limit.

    Args:
        limit: Resident memory in bytes up to which nothing is returned.
    """
    if resident_bytes() > limit and (malloc_trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        malloc_trim(0)
