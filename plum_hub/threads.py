"""The number of threads that this process may keep busy, and how they wait: the OpenMP settings that torch reads."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_chosen: list[str | None] = [None]
"""The value of OMP_NUM_THREADS that `prepare_threads` set, to tell it from one set by the user."""


def cpus_for_us(affinity: int, quota: float | None) -> int:
    """Compute how many threads can run at the same time.

    Args:
        affinity: CPUs that this process may run on.
        quota: CPU seconds per second that its control group grants, or None if it is not limited.

    Returns:
        At least 1. A quota is rounded down, because one thread more than it pays for would throttle all of them.
    """
    return affinity if quota is None else max(1, min(affinity, math.floor(quota)))


def cpu_count() -> int:
    """Return the number of CPUs that the affinity and the control group of this process leave it."""
    return cpus_for_us(_affinity(), cpu_quota())


def cpu_quota(root: Path = GROUPS, membership: Path = MEMBERSHIP) -> float | None:
    """Read the CPU quota of this process.

    Args:
        root: As in `control_groups`.
        membership: As in `control_groups`.

    Returns:
        CPU seconds per second, the least of all groups that limit it, or None if none does.
    """
    limits = map(_limit, control_groups("cpu", root, membership))
    return min((limit for limit in limits if limit is not None), default=None)


def control_groups(controller: str, root: Path = GROUPS, membership: Path = MEMBERSHIP) -> Iterator[Path]:
    """List the control groups that limit this process.

    Args:
        controller: What they limit, as `cpu` or `memory`.
        root: Where control groups are mounted, version 1 or 2.
        membership: The kernel's list of the groups that this process is in.

    Yields:
        Folders that hold the limits; one that is not mounted here does not exist.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    paths = {names: path.strip("/") for line in lines for _, names, path in [line.split(":", 2)]}
    groups = [(root, paths.get("", ""))]  # version 2
    groups += [(root / names, path) for names, path in paths.items() if controller in names.split(",")]
    for mounted, path in groups:
        # In a container its own group is mounted at the root. Elsewhere the parent groups limit it as well.
        parts = Path(path).parts
        yield from (mounted.joinpath(*parts[:depth]) for depth in range(len(parts) + 1))


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
    """Set the variables that torch reads when it is loaded, of OpenMP and of its log. Call it before torch is imported.

    Waiting threads sleep, because spinning ones keep the core from the thread they wait for as soon as anything else
    runs on the machine. If a quota allows fewer CPUs than are visible, as many threads are started as it allows. Of
    what torch logs, such as how memory is bound to a node, only errors are shown. Values set by the user are kept.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if "OMP_NUM_THREADS" not in os.environ and (count := cpu_count()) < _affinity():
        os.environ["OMP_NUM_THREADS"] = _chosen[0] = str(count)


def shared_threads(processes: int) -> dict[str, str]:
    """Return the environment of processes that compute at the same time, so that they share the CPUs.

    Args:
        processes: Number of processes.

    Returns:
        OMP_NUM_THREADS for each of them; empty if the user has set that variable.
    """
    if os.environ.get("OMP_NUM_THREADS") not in (None, _chosen[0]):
        return {}
    return {"OMP_NUM_THREADS": str(max(1, cpu_count() // processes))}
