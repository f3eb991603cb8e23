"""Limits of the programs that are made from a reference: they follow from its own time."""

from dataclasses import replace

from plum_hub.execution import Limits

TIMES = 10
"""A program may take so many times the CPU time of its reference. The sandbox stops an endless one after a quarter of
that and runs it once more, alone."""
_WALL_SECONDS = 30.0
"""Least wall-clock time: it ends a mutant that sleeps, and must not end one that waits for a busy machine."""


def limits_beside(reference_seconds: float, limits: Limits, least: float) -> Limits:
    """Derive limits from the time of a reference.

    Args:
        reference_seconds: CPU time of the reference.
        limits: What no program may exceed.
        least: CPU seconds that each program may take, however fast the reference is.

    Returns:
        The limits.
    """
    cpu = min(limits.cpu_seconds, max(least, TIMES * reference_seconds))
    wall = min(limits.wall_seconds, max(_WALL_SECONDS, TIMES * cpu))
    return replace(limits, cpu_seconds=cpu, wall_seconds=wall)
