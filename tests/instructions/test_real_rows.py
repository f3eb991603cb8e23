"""Excerpts of the known datasets, given as local files, are read by the mapping of their source."""

import gzip
import json

import pytest

from tests.instructions.reading import reasons, shared, walk

pytestmark = pytest.mark.shared


def test_oss_instruct() -> None:
    path = shared("instructions/oss_instruct_subset.jsonl.gz")
    kept, drops = walk(path)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = {row["id"]: row for row in map(json.loads, file)}
    assert len(kept) + len(drops) == len(rows) == 1491
    assert all(row.text == rows[row.row]["problem"].strip() for row in kept)
    assert {rows[row.row]["lang"] for row in kept} == {"python", None}
    assert sum(rows[row.row]["lang"] == "python" for row in kept) == 812
    assert set(reasons(drops)) == {"not_python"}


def test_evol_instruct_code() -> None:
    kept, drops = walk(shared("instructions/evol_instruct_code_4k.jsonl.gz"))
    counts = reasons(drops)
    assert len(kept) + len(drops) == 3919
    assert 1750 <= len(kept) <= 2400
    assert set(counts) == {"not_python", "near_duplicate"}
    assert {drop.detail for drop in drops if drop.reason == "near_duplicate"} <= {row.id for row in kept}


def test_sharegpt() -> None:
    path = shared("instructions/sharegpt_python_prompts.jsonl.gz")
    kept, drops = walk(path)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    counts = reasons(drops)
    assert len(kept) + len(drops) == len(rows) == 732
    assert counts["not_first_turn"] == sum(not row["first_turn"] for row in rows)
    assert 10 <= len(kept) <= 60
    assert all("python" in row.text.lower() or "def " in row.text for row in kept)
