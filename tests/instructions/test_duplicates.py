"""Repeats are found, others are not, and the first of them wins."""

import random

from plum_hub.instructions.duplicates import Duplicate, SeenTexts

WORDS = [
    "list", "string", "number", "return", "sort", "value", "key", "index", "count", "match", "split", "join",
    "empty", "order", "first", "last", "even", "each", "sum",
]  # fmt: skip


def sentence(seed: int, length: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def test_exact_repeats_differ_in_case_and_white_space_only() -> None:
    seen = SeenTexts(1.0)
    assert seen.add("1", "Sort the  list\nof names.") is None
    assert seen.add("2", "sort the list of NAMES. ") == Duplicate(kind="exact_duplicate", original="1")
    assert seen.add("3", "Sort the list of name.") is None


def test_a_near_repeat_names_the_first_that_it_repeats() -> None:
    seen = SeenTexts(0.8)
    text = sentence(1)
    assert seen.add("1", text) is None
    assert seen.add("2", text + " please") == Duplicate(kind="near_duplicate", original="1")
    assert seen.add("3", text + " please do") == Duplicate(kind="near_duplicate", original="1")
    assert seen.add("4", text + " please") == Duplicate(kind="near_duplicate", original="1")


def test_a_change_of_task_in_a_short_text_is_no_repeat() -> None:
    seen = SeenTexts(0.8)
    assert seen.add("1", "Write a Python function to find the largest number of a list.") is None
    assert seen.add("2", "Write a Python function to find the shortest word of a text.") is None


def test_every_real_repeat_among_a_thousand_is_found_and_nothing_else() -> None:
    seen = SeenTexts(0.8)
    for number in range(1000):
        assert seen.add(str(number), sentence(number)) is None
    found = [seen.add("again", sentence(number) + " quickly") for number in range(0, 1000, 10)]
    assert found == [Duplicate(kind="near_duplicate", original=str(number)) for number in range(0, 1000, 10)]


def test_texts_shorter_than_a_shingle() -> None:
    seen = SeenTexts(0.8)
    assert [seen.add(text, text) for text in ("a", "b", "")] == [None, None, None]
    assert seen.add("again", "A") == Duplicate(kind="exact_duplicate", original="a")
