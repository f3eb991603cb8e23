"""What a heap does with freed memory, seen in a process of its own, since it is a setting of the whole process."""

import os
import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import json, re, torch
from pathlib import Path
from plum_hub.training import heap

def held():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

def freed():
    some = [torch.ones(8 << 18) for _ in range(40)]  # 8 MiB each
    between = [torch.ones(16) for _ in range(40)]
    full = held()
    del some
    return full - held(), between

seen = [freed()[0]]
heap.retain_freed()
back, between = freed()
before = held()
heap.trim(2 * heap.resident_bytes())
assert before - held() < 20
heap.trim(heap.resident_bytes() // 2)
print(json.dumps([*seen, back, before - held()]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such settings")
def test_freed_memory_is_kept_and_given_back_when_it_is_too_much() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, env={**os.environ}
    )
    at_once, kept, given_back = map(int, done.stdout.strip("[] \n").split(","))
    assert at_once > 200  # MiB of 320: glibc's own way
    assert kept < 20
    assert given_back > 200
