"""One point: a command with a fault, the same command again, and what there is then.

`python -m tests.chaos.attempt` reads an `Attempt` from stdin and prints an `Outcome`, both as JSON. It adopts every
process that the command leaves behind, so that none escapes notice, and ends none but these.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.facts import facts_of

HOOK = Path(__file__).parent / "hook"
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, of linux/prctl.h
_LONGEST = 600
"""Seconds after which a command counts as one that never ends."""
_ENDING = 20
"""Seconds that what a command has left may take to end."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What to do."""

    folder: str
    """Where the command works; its operations below are counted. It holds its input."""
    command: list[str]
    kind: str
    """What is made there: `build` or `training`."""
    environment: dict[str, str] = field(default_factory=dict)
    fault: str = "none"
    """As `hook/sitecustomize.py` has them."""
    point: int = 0
    victim: str = "self"
    patience: float = 12.0
    """Seconds that a user waits for a command that hangs, before ending it."""
    disk: int = 0
    """Bytes of a file system of its own at `folder`; 0 for none."""
    clock: int = 0
    """Seconds by which the times of all files are moved before the second start."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of it."""

    counted: int
    """File operations of the first start."""
    struck: str
    """What happened, to which process, at which operation; "" if the command ended before."""
    codes: tuple[int, int]
    """Exit codes of both starts."""
    said: tuple[str, str]
    """Ends of what they wrote on stderr."""
    left: tuple[str, ...]
    """Command lines of processes that did not end by themselves."""
    facts: dict[str, Any]
    """What there is in the end, as `facts.py` states it."""


def carry_out(attempt: Attempt) -> Outcome:
    """Do it."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    folder = Path(attempt.folder)
    log = Path(f"{folder}.log")
    hook = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HOOK), os.environ.get("PYTHONPATH")))),
        "CHAOS_ROOT": str(folder), "CHAOS_LOG": str(log), "CHAOS_POINT": str(attempt.point),
        "CHAOS_FAULT": attempt.fault, "CHAOS_VICTIM": attempt.victim,
    }  # fmt: skip
    if attempt.disk:
        _mount(folder, attempt.disk)
    first = _run(attempt, attempt.environment | hook)
    (folder / ".ballast").unlink(missing_ok=True)
    if attempt.clock:
        _move_clock(folder, attempt.clock)
    again = _run(attempt, attempt.environment)
    left = tuple(_left_behind())
    struck = Path(f"{log}.struck")
    return Outcome(
        counted=log.stat().st_size // 240,
        struck=struck.read_text().strip() if struck.exists() else "",
        codes=(first[0], again[0]),
        said=(first[1], again[1]),
        left=left,
        facts=facts_of(attempt.kind, folder),
    )


def _run(attempt: Attempt, environment: dict[str, str]) -> tuple[int, str]:
    """Run the command to its end, or to that of the user's patience with one that hangs."""
    said = Path(f"{attempt.folder}.stderr")
    with said.open("wb") as errors:
        process = subprocess.Popen(
            attempt.command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=errors,
        )  # fmt: skip
    struck, until = Path(f"{attempt.folder}.log.struck"), time.monotonic() + _LONGEST
    waits = "CHAOS_LOG" in environment and attempt.fault == "stop"
    while process.poll() is None and time.monotonic() < until:
        if waits and struck.exists():
            until, waits = time.monotonic() + attempt.patience, False
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
    return process.wait(), said.read_text(errors="replace")[-1500:]


def _left_behind() -> list[str]:
    """Wait for the processes that were adopted; end and name those that stay."""
    until = time.monotonic() + _ENDING
    while time.monotonic() < until:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)
        except ChildProcessError:
            return []
    names = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                line = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                os.kill(int(stat.parent.name), signal.SIGKILL)
                names.append(line[:200])
        except OSError:
            continue  # has ended
    return names


def _mount(folder: Path, size: int) -> None:
    """Put a small file system over the folder, in a mount namespace that this process was started in."""
    if os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{os.getppid()}/ns/mnt"):  # noqa: PTH115
        raise SystemExit("a disk of its own needs a mount namespace of its own")
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "chaos", str(folder)], check=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)


def _move_clock(folder: Path, seconds: int) -> None:
    """Let every file seem to be written at another time, as after a jump of the clock."""
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            now = path.stat().st_mtime + seconds
            os.utime(path, (now, now))


def main() -> None:
    """Read, carry out, print."""
    print(json.dumps(asdict(carry_out(Attempt(**json.load(sys.stdin))))))


if __name__ == "__main__":
    main()
