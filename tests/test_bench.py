"""The measurements of `scripts/bench` run, on the least that they take, and end with the keys that they name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reports.browser import CHROMIUM

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts" / "benchmarks"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py"))
NEEDS = {
    "report": pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    "suites": pytest.mark.skipif(not DATA.is_dir(), reason="needs the benchmarks in ../shared/data"),
}
LEAST = {
    "packages": (["--rounds", "1", "--programs", "2"], {"neither", "numpy", "pandas"}),
    "release": (["--rows", "400"], {"time_vs_bare", "peak_gb"}),
    "report": (["--samples", "200", "--rounds", "1"], {"page_mb", "first_paint_s", "search_ms"}),
    "scale": (["--rows", "40"], {"cpu_per_million", "growth", "seconds_per_million", "peak_gb", "memory_growth"}),
    "suites": (["--suites", "10", "--rounds", "1"], {"mutants_per_second", "strength_overhead", "vote_seconds"}),
}  # the others need the packages of the extra eval, a model, or a cluster


def bench(name: str, scratch: Path, *options: str) -> str:
    """Run a measurement, with another package called `tests` about, as the extra eval brings one."""
    (scratch / "path" / "tests").mkdir(parents=True)
    (scratch / "path" / "tests" / "__init__.py").touch()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PLUM_"))}
    environment = kept | {"PLUM_HUB_HOME": str(scratch / "home"), "PYTHONPATH": str(scratch / "path")}
    command = [sys.executable, "-P", str(SCRIPTS / f"{name}.py"), *options]
    return subprocess.run(command, env=environment, cwd=scratch, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS.get(name, ())) for name in LEAST])
def test_a_measurement_ends_with_its_keys(name: str, tmp_path: Path) -> None:
    options, keys = LEAST[name]
    assert keys <= json.loads(bench(name, tmp_path, *options).splitlines()[-1]).keys()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LEAST])
def test_a_measurement_tells_what_it_takes(name: str, tmp_path: Path) -> None:
    assert "--rounds" in bench(name, tmp_path, "--help") or name == "ray"
