"""Every published reference solution passes its own published tests."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from plum_hub.execution import Judge, Limits, Program, Statement

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def _data(name: str) -> str:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return gzip.decompress(path.read_bytes()).decode()


@pytest.mark.shared
def test_humaneval(judge: Judge) -> None:
    rows = [json.loads(line) for line in _data("humaneval/HumanEval.jsonl.gz").splitlines()]
    programs = [
        Program(
            id=row["task_id"],
            code=row["prompt"] + row["canonical_solution"],
            entry_point=row["entry_point"],
            cases=(Statement(source=f"{row['test']}\ncheck({row['entry_point']})\n"),),
            limits=Limits(cpu_seconds=60.0, wall_seconds=300.0),  # what is right, not how fast a CPU is
        )
        for row in rows
    ]
    assert Counter(execution.status for execution in judge.run(programs)) == {"passed": 164}


@pytest.mark.shared
def test_mbpp(judge: Judge) -> None:
    programs = [
        Program(
            id=str(row["task_id"]),
            code=row["code"],
            entry_point=None,
            cases=tuple(Statement(source=line) for line in [*row["test_imports"], *row["test_list"]]),
            limits=Limits(cpu_seconds=60.0, wall_seconds=300.0),  # what is right, not how fast a CPU is
        )
        for row in json.loads(_data("mbpp/sanitized-mbpp.json.gz"))
    ]
    assert Counter(execution.status for execution in judge.run(programs)) == {"passed": 427}
