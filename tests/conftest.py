"""What holds for every test: threads, signals and the order in which two processes take the files."""

import os
import signal
from pathlib import Path

import pytest

# Two test processes share two cores. A model of two layers gains nothing from a second thread, and threads that spin
# while they wait take the other process's core. Set before torch is imported; processes that tests start inherit it.
for _name, _value in {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"}.items():
    os.environ.setdefault(_name, _value)

# A shell starts what runs in its background with SIGINT ignored, which programs under test would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = (
    "test_real_model.py",
    "contracts/test_engines.py",
    "test_publish.py",
    "test_evaluate.py",
    "test_verify.py",
    "test_push_model.py",
    "test_load.py",
    "training/test_interruption.py",
    "training/test_launch.py",
    "test_build.py",
    "test_judge.py",
    "hubs/test_faults.py",
    "test_rounds.py",
    "training/test_training.py",
)
"""The files that take longest, relative to this folder. They start first, so that no process is left alone with one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; all else keeps its order."""
    folder = Path(__file__).parent
    places = {folder / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
