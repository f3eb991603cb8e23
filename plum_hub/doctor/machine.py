"""Python, memory, disk and GPU of this machine, without importing torch (two seconds)."""

import os
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from plum_hub.doctor.diagnosis import Diagnosis, State
from plum_hub.doctor.versions import python_range
from plum_hub.home import clients_home, home
from plum_hub.threads import GROUPS, MEMBERSHIP, control_groups, cpu_count

_MEMORY_GB, _DISK_GB, _LEAST_DISK_GB = 6.0, 10.0, 1.0
"""Below the first two a finding is a note: LoRA on a model of 0.5 B takes 4.7 GB, and its weights, the cache of a Hub
and a run some 5. Below the last it is a fault."""
_SECONDS = 2.5
_UNLIMITED = 1 << 60
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Files of a control group, of version 2 and 1: its limit and what it uses; `memory.stat` lies beside them."""
_CACHED = re.compile(r"^(?:in)?active_file (\d+)$", re.MULTILINE)


def python() -> Diagnosis:
    """Return the version of Python and the system, held against the range that plum-hub declares."""
    declared, fits = python_range()
    says = f"{platform.python_version()} on {platform.system()} {platform.release()}, {os.cpu_count()} cores"
    if (usable := cpu_count()) != os.cpu_count():
        says += f", {usable} of them for this process"
    if fits:
        return Diagnosis(group="machine", name="python", state="ok", says=says)
    mend = f"make the virtual environment with a Python {declared}"
    return Diagnosis(
        group="machine", name="python", state="fault", says=f"{says}; plum-hub needs {declared}", mend=mend
    )


@dataclass(frozen=True)
class MachineMemory:
    """Memory of this machine, or of the control group of this container, in bytes."""

    total: int
    free: int
    """What programs may still take: what is kept of files gives way to them."""


def memory_here(
    meminfo: Path = Path("/proc/meminfo"), root: Path = GROUPS, membership: Path = MEMBERSHIP
) -> MachineMemory:
    """Measure the memory of this machine, or of the control group that leaves the least.

    Args:
        meminfo: The kernel's account of the machine.
        root: As in `control_groups`.
        membership: As in `control_groups`.

    Returns:
        All of it, and what is free.
    """
    text = meminfo.read_text(encoding="ascii")
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    total, free = sizes["MemTotal"], sizes["MemAvailable"]
    for group, (limit, used) in product(control_groups("memory", root, membership), _LIMITS):
        if (most := _number(group / limit)) < _UNLIMITED:
            held = _number(group / used) - _cached(group / "memory.stat")
            total, free = min(total, most), min(free, max(0, most - held))
    return MachineMemory(total, free)


def memory() -> Diagnosis:
    """Return the memory that is free on this machine, or in its control group if that leaves less."""
    found = memory_here()
    total, free = found.total, found.free
    says = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    if free >= _MEMORY_GB * 1e9:
        return Diagnosis(group="machine", name="memory", state="ok", says=says)
    mend = "end other work, or let a server generate:  --model openai:NAME@URL"
    return Diagnosis(
        group="machine", name="memory", state="note", mend=mend,
        says=f"{says}; a local model of 0.5 B and its training take {_MEMORY_GB:g} GB",
    )  # fmt: skip


def disks() -> list[Diagnosis]:
    """Return the room on the disks of `$PLUM_HUB_HOME`, the Hub's cache and the temporary folder, one for each disk."""
    cache = os.environ.get("HF_HUB_CACHE")
    places = (
        ("disk", home(), "PLUM_HUB_HOME"),
        ("disk of the Hub's cache", Path(cache) if cache else clients_home(), "HF_HUB_CACHE" if cache else "HF_HOME"),
        ("disk of temporary files", Path(tempfile.gettempdir()), "TMPDIR"),
    )
    seen: set[int] = set()
    found = []
    for name, folder, variable in places:
        there = _existing(folder)
        if (device := there.stat().st_dev) not in seen:
            seen.add(device)
            found.append(_disk(name, there, folder, variable))
    return found


def _disk(name: str, there: Path, folder: Path, variable: str) -> Diagnosis:
    free = shutil.disk_usage(there).free
    says = f"{free / 1e9:.1f} GB free for {folder}"
    if not os.access(there, os.W_OK) or not there.is_dir():
        return Diagnosis(
            group="machine", name=name, state="fault", says=f"{folder} is not writable",
            mend=f"set {variable} to a folder of yours",
        )  # fmt: skip
    state: State = "fault" if free < _LEAST_DISK_GB * 1e9 else "note" if free < _DISK_GB * 1e9 else "ok"
    mend = f"make room, or set {variable} to a folder on a larger disk" if state != "ok" else ""
    return Diagnosis(group="machine", name=name, state=state, says=says, mend=mend)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists, which may be a file."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())


def _number(path: Path) -> int:
    """Return the number in a file; one that is not there, or says `max`, limits nothing."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return _UNLIMITED


def _cached(path: Path) -> int:
    """Return the bytes of files that a control group keeps in memory."""
    try:
        return sum(map(int, _CACHED.findall(path.read_text(encoding="ascii"))))
    except (OSError, ValueError):
        return 0


def gpu() -> list[Diagnosis]:
    """Return the GPUs, with their free memory, and whether the installed torch can use them."""
    built = _cuda_of_torch()
    try:
        cards, driver = _cards()
    except (OSError, subprocess.SubprocessError):
        says = "none that a driver shows (nvidia-smi)" + (f"; torch is built for {built}" if built else "")
        return [
            Diagnosis(
                group="machine", name="gpu", state="note", says=says,
                mend="models run on the CPU; on a GPU machine install its driver, then  pip install 'plum-hub[vllm]'",
            )
        ]  # fmt: skip
    found = [Diagnosis(group="machine", name=f"gpu {n}", state="ok", says=says) for n, says in enumerate(cards)]
    if built == "CPU":
        found.append(
            Diagnosis(
                group="machine", name="torch for the gpu", state="fault", says="torch is a build without CUDA",
                mend="run  pip install --force-reinstall torch  from the index of its CUDA builds",
            )
        )  # fmt: skip
    elif built and driver and int(built.removeprefix("CUDA ").split(".")[0]) > int(driver.split(".")[0]):
        found.append(
            Diagnosis(
                group="machine", name="torch for the gpu", state="fault",
                says=f"torch is built for {built}, and the driver goes up to CUDA {driver}",
                mend="update the driver, or install a build of torch for that CUDA",
            )
        )  # fmt: skip
    return found


def _cards() -> tuple[list[str], str]:
    """Return a line for each card, and the newest CUDA that the driver runs."""
    query = ["nvidia-smi", "--query-gpu=name,memory.free,memory.total,driver_version", "--format=csv,noheader,nounits"]
    listed = subprocess.run(query, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout
    rows = [[part.strip() for part in line.split(",")] for line in listed.splitlines() if line.count(",") == 3]
    if not rows:
        raise subprocess.SubprocessError("nvidia-smi lists no card")
    said = subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=True, timeout=_SECONDS).stdout
    newest = re.search(r"CUDA[^:]*Version: *(\d+\.\d+)", said)
    lines = [f"{name}, {free} of {total} MiB free, driver {driver}" for name, free, total, driver in rows]
    return lines, newest[1] if newest else ""


def _cuda_of_torch() -> str:
    """Return what the installed torch is built for, from its version file: `CPU`, `CUDA 12.8`; "" without torch."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return ""
    cuda = re.search(r"^cuda\b[^=]*= *['\"]([\d.]+)['\"]", text, re.MULTILINE)
    hip = re.search(r"^hip\b[^=]*= *['\"]", text, re.MULTILINE)
    return f"CUDA {cuda[1]}" if cuda else "" if hip else "CPU"
