"""How many threads this process may keep busy, and how they wait: what OpenMP reads when torch is loaded."""

import math
import os
from pathlib import Path

_chosen: list[str | None] = [None]
"""The value of OMP_NUM_THREADS that we set, to know it from the user's own."""


def cpus_for_us(affinity: int, quota: float | None) -> int:
    """How many threads can run at the same time.

    Args:
        affinity: CPUs that this process may run on.
        quota: CPUs' worth of time that its control group is given, or None where it is not limited.

    Returns:
        At least 1. A quota is rounded down: with one thread more than it pays for, all would be throttled together.
    """
    return affinity if quota is None else max(1, min(affinity, math.floor(quota)))


def cpu_count() -> int:
    """How many CPUs this process has: what its affinity and its control group leave."""
    return cpus_for_us(_affinity(), cpu_quota())


def cpu_quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """CPUs' worth of time that the control groups of this process allow, the least of them; None where none does.

    Args:
        root: where control groups are mounted, version 1 or 2.
        membership: the kernel's list of the groups that this process is in.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    paths = {names: path.strip("/") for line in lines for _, names, path in [line.split(":", 2)]}
    groups = [(root, paths.get("", ""))]  # version 2
    groups += [(root / names, path) for names, path in paths.items() if "cpu" in names.split(",")]
    limits = []
    for mounted, path in groups:
        # In a container its own group is mounted at the root; elsewhere the groups above count as well.
        parts = Path(path).parts
        limits += [_limit(mounted.joinpath(*parts[:depth])) for depth in range(len(parts) + 1)]
    return min((limit for limit in limits if limit is not None), default=None)


def _limit(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):  # "max"
        return None


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_threads() -> None:
    """Set what OpenMP reads when torch is loaded; what the user has set stays. Call it before torch is imported.

    Threads sleep while they wait: spinning ones keep the core from the thread they wait for as soon as anything else
    runs beside them. Where a quota allows less than the CPUs that are seen, so many threads are started.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if "OMP_NUM_THREADS" not in os.environ and (count := cpu_count()) < _affinity():
        os.environ["OMP_NUM_THREADS"] = _chosen[0] = str(count)


def shared_threads(processes: int) -> dict[str, str]:
    """The environment of each of several processes that compute at the same time: they share the CPUs, unless the user
    has set OMP_NUM_THREADS."""
    if os.environ.get("OMP_NUM_THREADS") not in (None, _chosen[0]):
        return {}
    return {"OMP_NUM_THREADS": str(max(1, cpu_count() // processes))}
