"""This process's heap while it trains on a CPU, where tensors come from glibc's malloc.

By default glibc hands large blocks back to the system as soon as they are freed, and has them cleared page by page
when they are taken again: a seventh of a training's time. And as every batch has its own shapes, what lies free between
smaller blocks grows from batch to batch. So freed memory is kept, and handed back when the process holds more than it
should need. Does nothing where the C library is another one.
"""

import ctypes
import os
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_NEVER = 2**31 - 1


def keep() -> None:
    """From now on keep what is freed."""
    if option := getattr(ctypes.CDLL(None), "mallopt", None):
        option(_TRIM_THRESHOLD, _NEVER)
        option(_MMAP_THRESHOLD, _NEVER)


def held() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGESIZE")


def give_back(most: int) -> None:
    """Hand all whole pages that are free back to the system, if more than so many bytes are held."""
    if held() > most and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
