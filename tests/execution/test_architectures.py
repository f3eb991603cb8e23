"""What names a processor's architecture is right for each one, also for those that no test runs on."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plum_hub.execution import filters, kernel
from tests.execution.bpf import decide

_GENERIC = Path("/usr/include/asm-generic/unistd.h")
"""The kernel's table of system calls that aarch64 uses as it is."""
_X86_64 = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
_MACHINES = filters._MACHINES
_ALLOWED, _KILLED, _REFUSED, _ABSENT = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def published(table: Path) -> dict[str, int]:
    """The numbers in the kernel's own header; `3264` marks one number for 32 and 64 bits."""
    if not table.is_file():
        pytest.skip(f"no {table}: install linux-libc-dev")
    found = re.findall(r"#define (__NR3264_|__NR_)(\w+)\s+(\d+)\b", table.read_text())
    return {name: int(number) for _, name, number in found}


@pytest.mark.parametrize(("machine", "table"), [("aarch64", _GENERIC), ("x86_64", _X86_64)])
def test_the_numbers_are_the_kernels(machine: str, table: Path) -> None:
    known = published(table)
    numbers = _MACHINES[machine][1]
    newer = {name for name in numbers if name not in known}
    assert {name: numbers[name] for name in numbers if name not in newer} == {
        name: known[name] for name in numbers if name not in newer
    }
    assert all(numbers[name] > max(known.values()) - 60 for name in newer), "a name that the kernel does not have"
    assert kernel._CAPSET[machine] == known["capset"]
    assert kernel._PIVOT_ROOT[machine] == known["pivot_root"]
    assert known["mount_setattr"] == kernel._MOUNT_SETATTR
    assert known["landlock_create_ruleset"] == filters._CREATE_RULESET


@pytest.mark.parametrize("machine", _MACHINES)
def test_every_filter_refuses_what_leads_out_and_allows_the_rest(machine: str) -> None:
    architecture, numbers = _MACHINES[machine]
    program = filters._bpf(architecture, numbers)

    def ask(name: str, *arguments: int) -> int:
        return decide(program, architecture, numbers[name], *arguments)

    assert {name: ask(name) for name in filters._DENIED if name in numbers} == {
        name: _REFUSED for name in filters._DENIED if name in numbers
    }
    assert ask("clone3") == _ABSENT
    assert ask("clone", 0x10000000) == _REFUSED  # a user namespace
    assert ask("clone", 0x11) == _ALLOWED
    assert ask("prlimit64", 0) == _ALLOWED
    assert ask("prlimit64", 1) == _REFUSED
    used = set(numbers.values())
    ordinary = [number for number in range(420) if number not in used]
    assert {decide(program, architecture, number) for number in ordinary} == {_ALLOWED}
    for other, _ in _MACHINES.values():
        if other != architecture:
            assert decide(program, other, numbers["ptrace"]) == _KILLED
    assert decide(program, architecture, 0x40000000 + numbers["mount"]) == _KILLED  # the x32 table of x86


def test_no_machine_is_without_a_number() -> None:
    tables = [numbers for _, numbers in _MACHINES.values()]
    everywhere = set.intersection(*map(set, tables))
    legacy = {name for numbers in tables for name in numbers} - everywhere
    assert legacy <= getattr(filters, "_X86_64_ONLY", set())
    assert set(kernel._CAPSET) == set(kernel._PIVOT_ROOT) == set(_MACHINES)


@pytest.mark.skipif(shutil.which("setarch") is None, reason="no setarch: install util-linux")
@pytest.mark.usefixtures("judge")
def test_an_unknown_processor_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text('{"sample_id": "a", "instruction_id": "i", "code": "def f(): return 1"}\n')
    (tmp_path / "suites.jsonl").write_text(
        '{"instruction_id": "i", "entry_point": "f", "cases": ["assert f() == 1"]}\n'
    )
    command = ["judge", "samples.jsonl", "--suites", "suites.jsonl", "--out", "verdicts.jsonl", "--quiet"]
    started = ["setarch", "i686", sys.executable, "-c", "from plum_hub.cli import main; main()", *command]
    done = subprocess.run(started, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert "i686" in done.stderr
    assert len(done.stderr.splitlines()) == 1
