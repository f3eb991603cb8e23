"""How many threads, from affinity and control groups as data; and how they wait."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plum_hub.threads import cpu_quota, cpus_for_us


@pytest.mark.parametrize(
    ("affinity", "quota", "count"),
    [(8, None, 8), (8, 2.0, 2), (8, 2.5, 2), (8, 0.5, 1), (2, 16.0, 2), (1, None, 1)],
)
def test_no_more_threads_than_can_run(affinity: int, quota: float | None, count: int) -> None:
    assert cpus_for_us(affinity, quota) == count


def _group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_least_quota_of_the_groups_above(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/pod/box\n")
    _group(tmp_path, cpu__max="max 100000\n")
    _group(tmp_path / "pod", cpu__max="150000 100000\n")
    _group(tmp_path / "pod/box", cpu__max="400000 100000\n")
    assert cpu_quota(tmp_path, membership) == 1.5


def test_a_container_sees_its_own_group_at_the_root(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/\n")
    _group(tmp_path, cpu__max="200000 100000\n")
    assert cpu_quota(tmp_path, membership) == 2


def test_version_1_and_no_quota_at_all(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("3:cpuset:/\n2:cpu,cpuacct:/box\n0::/\n")
    group = tmp_path / "cpu,cpuacct" / "box"
    _group(group, cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert cpu_quota(tmp_path, membership) is None
    _group(group, cpu__cfs_quota_us="300000\n")
    assert cpu_quota(tmp_path, membership) == 3
    assert cpu_quota(tmp_path / "none", tmp_path / "nothing") is None


def _environment(program: str, **more: str) -> list[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    done = subprocess.run([sys.executable, "-c", program], env=kept | more, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_commands_threads_sleep_while_they_wait() -> None:
    program = (
        "import os, sys\nfrom plum_hub.cli import main\nsys.argv = ['plum-hub', 'card']\ntry: main()\n"
        "except SystemExit: pass\nprint(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    assert _environment(program)[-2:] == ["passive", "False"]
    assert _environment(program, OMP_WAIT_POLICY="active")[-2:] == ["active", "False"]


def test_several_processes_share_the_cores_unless_the_user_says_how() -> None:
    program = (
        "from plum_hub import threads\nthreads.cpu_count, threads._affinity = (lambda: 6), (lambda: 8)\n"
        "threads.prepare_threads()\nimport os\nprint(os.environ['OMP_NUM_THREADS'], threads.shared_threads(4))"
    )
    assert _environment(program) == ["6", "{'OMP_NUM_THREADS':", "'1'}"]
    assert _environment(program, OMP_NUM_THREADS="3") == ["3", "{}"]
