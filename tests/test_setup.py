"""`scripts/torch_build.py`, by which `scripts/setup cpu` keeps CUDA's gigabytes away."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "torch_build.py"


def judged(tmp_path: Path, *packages: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    """What the script says of a report of pip's that would install the packages."""
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"version": "1", "install": [{"metadata": package} for package in packages]}))
    return subprocess.run([sys.executable, SCRIPT, report], capture_output=True, text=True, check=False)


NVIDIA = 'nvidia-cublas-cu12==12.8.4.1 ; platform_system == "Linux"'


@pytest.mark.parametrize(
    ("version", "wants", "fits"),
    [
        ("2.13.0+cpu", ["filelock", "sympy>=1.13"], True),
        ("2.13.0", ["filelock"], True),  # a machine for which there are no builds with CUDA
        ("2.13.0", ["filelock", NVIDIA], False),
        ("2.13.0", ["cuda-bindings==13.0"], False),
        ("2.13.0+cu128", [NVIDIA], False),
        ("2.13.0+cpu", [], True),
    ],
)
def test_a_build_with_cuda_is_refused_before_it_is_downloaded(
    tmp_path: Path, version: str, wants: list[str], fits: bool
) -> None:
    done = judged(tmp_path, {"name": "torch", "version": version, "requires_dist": wants})
    assert done.returncode == (0 if fits else 1)
    if not fits:
        assert len(done.stderr.splitlines()) == 1
        assert version in done.stderr
        assert "PIP_FIND_LINKS=" in done.stderr


def test_a_report_without_the_key_is_a_package_without_needs(tmp_path: Path) -> None:
    assert judged(tmp_path, {"name": "torch", "version": "2.13.0"}).returncode == 0
    assert judged(tmp_path).returncode == 0  # there already


def test_without_torch_the_command_that_installs_it_is_named() -> None:
    done = subprocess.run([sys.executable, "-S", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "scripts/setup cpu" in done.stderr
