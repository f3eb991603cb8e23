"""What the tests of this room share: write a source, walk it, count what came."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from plum_hub.instructions import InstructionsConfig, load
from plum_hub.records import Drop, Instruction

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

ADD = "Write a Python function `add(a, b)` that returns the sum of two numbers."
JOIN = "Write a Python function `join(words)` that joins words by hyphens, and gives '' for none."
LAST = "Write a Python function `last(items)` that returns the last item of a list or None."


def shared(path: str) -> Path:
    """A file of real data beside the repository; the test is skipped where it is not."""
    file = SHARED / path
    if not file.is_file():
        pytest.skip(f"{file} is not on this machine")
    return file


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def walk(source: object, **settings: object) -> tuple[list[Instruction], list[Drop]]:
    """Load a source to its end."""
    rows = list(load(InstructionsConfig.model_validate({"source": str(source), **settings})).rows)
    return [row for row in rows if isinstance(row, Instruction)], [row for row in rows if isinstance(row, Drop)]


def reasons(drops: Iterable[Drop]) -> dict[str, int]:
    return dict(Counter(drop.reason for drop in drops))
