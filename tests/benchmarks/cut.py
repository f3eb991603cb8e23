"""Benchmarks cut down to some of their real tasks, so that a test need not run every reference."""

import gzip
import hashlib
import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from plum_hub.benchmarks.content import BenchmarkVersion
from plum_hub.benchmarks.evalplus import HUMANEVAL_PLUS, MBPP_PLUS, EvalPlus

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not (DATA / "evalplus").is_dir(), reason="../shared/data is not there")

HUMANEVAL_TASKS = {f"HumanEval/{number}" for number in (0, 2, 4, 32, 103, 137)}
MBPP_TASKS = {f"Mbpp/{number}" for number in (2, 106, 124, 126, 252, 259, 404, 558, 581, 722, 737, 793)}


def cut(published: BenchmarkVersion, tasks: Collection[str], folder: Path) -> BenchmarkVersion:
    """Write a file of these tasks into the folder."""
    (whole,) = DATA.rglob(published.file)
    lines = [
        line for line in gzip.decompress(whole.read_bytes()).splitlines(True) if json.loads(line)["task_id"] in tasks
    ]
    assert len(lines) == len(tasks)
    content = b"".join(lines)
    (folder / published.file).write_bytes(gzip.compress(content))
    return replace(published, sha256=hashlib.sha256(content).hexdigest(), rows=len(lines))


def humaneval_plus(folder: Path) -> EvalPlus:
    return EvalPlus("humaneval+", cut(HUMANEVAL_PLUS, HUMANEVAL_TASKS, folder), folder)


def mbpp_plus(folder: Path) -> EvalPlus:
    return EvalPlus("mbpp+", cut(MBPP_PLUS, MBPP_TASKS, folder), folder)
