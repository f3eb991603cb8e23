"""The tasks that ship: enough, varied, without repeats, and not those of the benchmarks."""

import ast
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
    assert set(levels) == {"warm-up", "easy", "medium", "hard"}
    assert levels["warm-up"] >= 45 and levels["easy"] >= 45 and levels["medium"] >= 20 and levels["hard"] >= 8
    assert len({task["topic"] for task in TASKS}) >= 20
    assert len({task["id"] for task in TASKS}) == len(TASKS)
    assert {tuple(task) for task in TASKS} == {("id", "instruction", "level", "topic")}


NAMED = re.compile(r"Python (?:generator )?(?:function|class) `(\w+)(?:\((.*?)\))?`")
EXAMPLE = re.compile(r"`([^`]+)` returns `([^`]+)`")


def test_each_names_what_is_to_be_written() -> None:
    assert [task["id"] for task in TASKS if not NAMED.search(task["instruction"])] == []
    names = Counter(named[1] for task in TASKS if (named := NAMED.search(task["instruction"])))
    assert [name for name, count in names.items() if count > 1] == []


def calls(text: str) -> list[tuple[str, int]]:
    """Each name called in an expression, with the number of its arguments."""
    nodes = [node for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Call)]
    return [(node.func.id, len(node.args)) for node in nodes if isinstance(node.func, ast.Name)]


@pytest.mark.parametrize(
    "task", [task for task in TASKS if task["level"] in ("warm-up", "easy")], ids=lambda t: t["id"]
)
def test_a_simple_task_gives_three_short_examples(task: dict[str, str]) -> None:
    examples = EXAMPLE.findall(task["instruction"])
    named = NAMED.search(task["instruction"])

    assert len(examples) == 3 == task["instruction"].count(" returns `")
    assert len({call for call, _ in examples}) == 3
    assert len({repr(ast.literal_eval(value)) for _, value in examples}) >= 2
    assert max(len(call) for call, _ in examples) <= 70
    assert named is not None
    for call, _ in examples:
        called = dict(calls(call))
        assert named[1] in called
        if named[2] is not None:
            assert called[named[1]] == len(named[2].split(","))


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
