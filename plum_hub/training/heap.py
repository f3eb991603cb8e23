"""This process's heap while it trains on a CPU, where tensors come from glibc's malloc.

By default glibc hands large blocks back to the system as soon as they are freed, and has them cleared page by page
when they are taken again: a seventh of a training's time. And as every batch has its own shapes, what lies free between
smaller blocks grows from step to step. So freed memory is kept within a step, and handed back after each. Does nothing
where the C library is another one.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_NEVER = 2**31 - 1


def keep() -> None:
    """From now on keep what is freed."""
    if option := getattr(ctypes.CDLL(None), "mallopt", None):
        option(_TRIM_THRESHOLD, _NEVER)
        option(_MMAP_THRESHOLD, _NEVER)


def give_back() -> None:
    """Hand all whole pages that are free back to the system."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
