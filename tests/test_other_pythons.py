"""The base install under every other Python that is on this machine: `plum-hub judge` with the static check, every
attack on the judge, and a build that is published and verified.

A virtual environment for each is made once, and again when pyproject.toml changes; it lies in the system's folder for
temporary files.
"""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.rehearsal import published, write_rehearsal

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = [(3, 11), (3, 12), (3, 13)]
OTHERS = [version for version in VERSIONS if version != sys.version_info[:2]]
PROGRAMS = {
    "right": ("def f(x):\n    return 2 * x\n", "passed"),
    "wrong": ("def f(x):\n    return x\n", "failed"),
    "endless": ("def f(x):\n    while True: pass\n", "timed_out"),
    "crash": ("import os\ndef f(x):\n    os._exit(0)\n", "crashed"),
    "unloadable": ("raise ValueError\n", "not_executable"),
    "syntax": ("def f(x:\n", "syntax_error"),
    "undefined": ("def f(x):\n    return undefined_name\n", "static_error"),
    "deep": ("def g(n):\n    return n and 1 + g(n - 1)\ndef f(x):\n    return g(900) - 900 + 2 * x\n", "passed"),
    "escape": ("import re\ndef f(x):\n    return len(re.findall('\\d', '1a2'.replace('a', '3' * x)))\n", "passed"),
    "locals": ("def f(x):\n    y = [locals() for x in [x]]\n    return x * 2\n", "passed"),
    "profiled": ("import cProfile\ndef f(x):\n    with cProfile.Profile():\n        return 2 * x\n", "passed"),
}


def interpreter(version: tuple[int, int]) -> str | None:
    """A working Python of that version, on PATH or among pyenv's."""
    name = "python{}.{}".format(*version)
    root = os.environ.get("PYENV_ROOT", "")
    if not root and shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
    found = sorted(Path(root, "versions").glob("{}.{}.*/bin/python".format(*version))) if root else []
    for python in [shutil.which(name), *map(str, reversed(found))]:
        if python and subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return python
    return None


@functools.cache
def environment(version: tuple[int, int]) -> Path:
    """The `bin` folder of a base install under that Python."""
    python = interpreter(version)
    if python is None:
        pytest.skip("no Python {}.{} on PATH or among pyenv's".format(*version))
    wanted = hashlib.sha256(f"{python} {ROOT}".encode() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()[:16]
    place = Path(tempfile.gettempdir(), f"plum-hub-python-{os.getuid()}-{wanted}")
    if not (place / "installed").is_file():
        subprocess.run([python, "-m", "venv", "--clear", place], check=True, capture_output=True)
        install = [place / "bin/pip", "install", "--quiet", "--retries", "1", "--editable", ROOT]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode != 0 and any(word in done.stderr for word in ("No matching distribution", "Connection")):
            pytest.skip(f"no package index with what the base install needs: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
        (place / "installed").touch()
    return place / "bin"


def run(version: tuple[int, int], folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    tool = environment(version) / "plum-hub"
    own = {**os.environ, "PLUM_HUB_HOME": str(folder / "home")}
    own.pop("PYTHONPATH", None)
    return subprocess.run([tool, *arguments], cwd=folder, env=own, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", OTHERS, ids="{0[0]}.{0[1]}".format)
def test_verdicts_are_the_same(version: tuple[int, int], tmp_path: Path) -> None:
    samples = [{"sample_id": n, "instruction_id": "i", "code": code} for n, (code, _) in PROGRAMS.items()]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    cases = ["assert f(2) == 4", "x = f(2)\nassert isinstance(x, int)"]
    (tmp_path / "suites.jsonl").write_text(json.dumps({"instruction_id": "i", "entry_point": "f", "cases": cases}))
    options = ["--suites", "suites.jsonl", "--out", "verdicts.jsonl", "--mypy", "--cpu-limit", "0.5", "--quiet"]
    done = run(version, tmp_path, "judge", "samples.jsonl", *options)
    assert (done.returncode, done.stderr) == (0, "")
    verdicts = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
    assert {v["sample_id"]: v["status"] for v in verdicts} == {name: status for name, (_, status) in PROGRAMS.items()}
    assert all("cpython-{}.{}.".format(*version) in json.dumps(v["harness"]) for v in verdicts)


@pytest.mark.parametrize("version", OTHERS, ids="{0[0]}.{0[1]}".format)
def test_every_attack_is_stopped(version: tuple[int, int], tmp_path: Path) -> None:
    done = run(version, tmp_path, "doctor", "--attack", "--json")
    groups = json.loads(done.stdout)
    through = [outcome for group in groups.values() for outcome in group if not outcome["stopped"]]
    assert (done.returncode, through) == (0, []), done.stderr


@pytest.mark.parametrize("version", OTHERS, ids="{0[0]}.{0[1]}".format)
def test_a_build_is_published_and_verified(version: tuple[int, int], tmp_path: Path) -> None:
    write_rehearsal(tmp_path)
    arguments = published(tmp_path, "--repo", "numbers", "--json")[3:]
    built = run(version, tmp_path, *arguments)
    assert built.returncode == 0, built.stderr
    verified = run(version, tmp_path, "verify", "local/numbers@v1.0.0", "--hub", "embedded", "--json")
    assert verified.returncode == 0, verified.stderr
    for text in (built.stderr, verified.stderr):
        assert "Warning" not in text
    verdicts = (tmp_path / "run/shards/00000/verdicts.jsonl").read_text().splitlines()
    assert verdicts
    harness = "cpython-{}.{}.".format(*version)
    assert all(harness in json.dumps(json.loads(line)) for line in verdicts)
