"""The jail that the tests of this room share, and eyes for what it leaves behind."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plum_hub.errors import SandboxError
from plum_hub.execution import Judge, Limits, Program


@pytest.fixture(scope="session")
def judge() -> Iterator[Judge]:
    """Two workers; whatever runs in them runs after their jails have proved themselves."""
    with Judge(workers=2) as judge:
        try:
            list(judge.run([Program(id="first", code="", entry_point=None, cases=(), limits=Limits())] * 2))
        except SandboxError as error:
            pytest.skip(str(error))
        yield judge


def children(parent: int) -> set[int]:
    """The processes directly below one, by the kernel's account."""
    return {pid for pid, above in _parents().items() if above == parent}


def descendants(ancestor: int) -> set[int]:
    """The processes below one, by the kernel's account. A daemon in a jail stays below the jail's first process."""
    parents = _parents()
    found: set[int] = set()
    below = {ancestor}
    while below := {pid for pid, parent in parents.items() if parent in below}:
        found |= below
    return found


def _parents() -> dict[int, int]:
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] != "Z":
                parents[int(folder.name)] = int(fields[1])
    return parents


def awaited(parent: "subprocess.Popen[bytes]", count: int) -> set[int]:
    """Wait until there are so many processes below one that goes on, and return them."""
    below: set[int] = set()
    while len(below) < count:
        assert parent.poll() is None
        time.sleep(0.05)
        below = descendants(parent.pid)
    return below


def traces() -> tuple[set[int], str]:
    """The processes below this one, and the machine's mounts as seen here."""
    return descendants(os.getpid()), Path("/proc/self/mountinfo").read_text()
