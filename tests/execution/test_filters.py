"""The system call filter, as data."""

from collections.abc import Iterator

import pytest

from plum_hub.execution import filters
from tests.execution.bpf import decide

_ARGUMENTS = 16


_ALLOW, _ASK, _EPERM, _ENOSYS, _ENOTTY = 0x7FFF0000, 0x7FC00000, 0x50001, 0x50026, 0x50019
_CASES: list[tuple[str, tuple[int, ...], int, int]] = [
    # name, arguments, in a jail, without namespaces
    ("kill", (1, 9), _ALLOW, _ASK),
    ("tgkill", (1, 1, 9), _ALLOW, _ASK),
    ("pidfd_send_signal", (3, 9), _EPERM, _EPERM),
    ("rt_sigqueueinfo", (1, 9), _EPERM, _EPERM),
    ("fcntl", (0, 8, 1), _EPERM, _EPERM),
    ("fcntl", (0, 10, 9), _EPERM, _EPERM),
    ("fcntl", (0, 15, 1), _EPERM, _EPERM),
    ("fcntl", (0, 3), _ALLOW, _ALLOW),
    ("ioctl", (0, 0x5401), _ALLOW, _ALLOW),
    ("ioctl", (0, 0x5450), _ALLOW, _ALLOW),
    ("ioctl", (0, 0x40086602), _ENOTTY, _ENOTTY),
    ("ioctl", (0, 0x8901), _ENOTTY, _ENOTTY),
    ("socketpair", (1, 1), _ALLOW, _ALLOW),
    ("socketpair", (1, 1 | 0o2000000), _ALLOW, _ALLOW),
    ("socketpair", (1, 5), _ALLOW, _ALLOW),
    ("socketpair", (1, 2), _EPERM, _EPERM),
    ("socketpair", (1, 3), _EPERM, _EPERM),
    ("socketpair", (30, 1), _EPERM, _EPERM),
    ("clone", (17,), _ALLOW, _ASK),
    ("clone", (0x10000 | 0x400 | 0x100,), _ALLOW, _ASK),
    ("clone", (0x400 | 17,), _ALLOW, _EPERM),
    ("clone", (0x10000000 | 17,), _EPERM, _EPERM),
    ("clone3", (0, 88), _ENOSYS, _ENOSYS),
    ("prlimit64", (0,), _ALLOW, _ALLOW),
    ("prlimit64", (1,), _EPERM, _EPERM),
    ("mmap", (0, 4096, 5, 2, 3), _ALLOW, _ASK),
    ("mmap", (0, 4096, 7, 0x22), _ALLOW, _ALLOW),
    ("mmap", (0, 4096, 3, 2, 3), _ALLOW, _ALLOW),
    ("mprotect", (0, 4096, 5), _ALLOW, _EPERM),
    ("mprotect", (0, 4096, 1), _ALLOW, _ALLOW),
    ("openat", (0, 0, 0), _ALLOW, _ALLOW),
    ("openat", (0, 0, 0o101), _ALLOW, _ASK),
    ("openat", (0, 0, 0o20000002), _ALLOW, _ASK),
    ("openat", (0, 0, 0o1000), _ALLOW, _EPERM),
    ("openat", (0, 0, 0o1001), _ALLOW, _ALLOW),
    ("openat2", (0, 0, 0), _ALLOW, _ENOSYS),
    ("fchmodat", (0, 0, 0), _ALLOW, _ASK),
    ("utimensat", (0, 0, 0), _ALLOW, _ASK),
    ("unlinkat", (0, 0, 0), _ALLOW, _ASK),
    ("fsetxattr", (0, 0, 0), _EPERM, _EPERM),
]


def _machines() -> Iterator[tuple[str, int, dict[str, int]]]:
    for machine, (architecture, numbers) in filters._MACHINES.items():
        yield machine, architecture, numbers


@pytest.mark.parametrize("machine", [*_machines()], ids=lambda machine: machine[0])
def test_each_call_is_decided_as_it_should_be(machine: tuple[str, int, dict[str, int]]) -> None:
    _, architecture, numbers = machine
    jail, gated = filters._bpf(architecture, numbers), filters._bpf(architecture, numbers, 7)
    for name, arguments, in_jail, without in _CASES:
        found = [decide(program, architecture, numbers[name], *arguments) for program in (jail, gated)]
        assert found == [in_jail, without], (name, arguments)
    assert decide(gated, 0x40000003, numbers["kill"]) == 0x80000000  # of another architecture


@pytest.mark.parametrize("machine", [*_machines()], ids=lambda machine: machine[0])
def test_an_old_landlock_has_files_cut_short_by_handle_only(machine: tuple[str, int, dict[str, int]]) -> None:
    _, architecture, numbers = machine
    found = [
        decide(filters._bpf(architecture, numbers, version), architecture, numbers["truncate"]) for version in (2, 3)
    ]
    assert found == [_EPERM, _ALLOW]
