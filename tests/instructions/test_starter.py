"""The tasks that ship: enough, varied, without repeats, and not those of the benchmarks."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from plum_hub.instructions import InstructionsConfig, load
from plum_hub.instructions.sources import STARTER
from tests.instructions.reading import shared, walk

TASKS = [json.loads(line) for line in STARTER.read_text(encoding="utf-8").splitlines()]


def test_all_are_kept_under_the_defaults() -> None:
    kept, drops = walk("starter")
    assert drops == []
    assert [(row.row, row.text) for row in kept] == [(task["id"], task["instruction"]) for task in TASKS]
    assert {(row.source, row.license) for row in kept} == {("starter", "apache-2.0")}


def test_near_repeats_would_be_found_at_a_much_lower_bar() -> None:
    assert walk("starter", near_duplicates=0.5)[1] == []


def test_they_are_many_graded_and_varied() -> None:
    levels = Counter(task["level"] for task in TASKS)
    assert set(levels) == {"easy", "medium", "hard"}
    assert levels["easy"] >= 45 and levels["medium"] >= 20 and levels["hard"] >= 8
    assert len({task["topic"] for task in TASKS}) >= 15
    assert len({task["id"] for task in TASKS}) == len(TASKS)
    assert {tuple(task) for task in TASKS} == {("id", "instruction", "level", "topic")}


def test_each_names_what_is_to_be_written() -> None:
    named = re.compile(r"Python (generator )?(function|class) `\w+(\(|`)")
    assert [task["id"] for task in TASKS if not named.search(task["instruction"])] == []


def test_the_revision_can_be_sealed() -> None:
    revision = load(InstructionsConfig(source="starter")).revision
    assert len(walk("starter", revision=revision)[0]) == len(TASKS)


def benchmark_texts() -> Iterator[str]:
    with gzip.open(shared("humaneval/HumanEval.jsonl.gz"), "rt", encoding="utf-8") as file:
        yield from (json.loads(line)["prompt"] for line in file)
    with gzip.open(shared("mbpp/mbpp.jsonl.gz"), "rt", encoding="utf-8") as file:
        yield from (json.loads(line)["text"] for line in file)
    with gzip.open(shared("livecodebench/livecodebench_v6_partial_tests.jsonl.gz"), "rt", encoding="utf-8") as file:
        yield from (json.loads(line)["question_content"] for line in file)


def grams(text: str, size: int = 10) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


@pytest.mark.shared
def test_none_shares_ten_words_in_a_row_with_a_benchmark() -> None:
    known = {gram for text in benchmark_texts() for gram in grams(text)}
    assert known
    assert {task["id"]: shared for task in TASKS if (shared := grams(task["instruction"]) & known)} == {}
