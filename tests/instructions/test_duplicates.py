"""Repeats are found, others are not, and the first of them wins."""

import random
import tracemalloc
import zlib
from collections import defaultdict
from collections.abc import Callable
from time import process_time

import pytest

from plum_hub.instructions.duplicates import Duplicate, SeenTexts
from plum_hub.instructions.key_index import KeyIndex

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


def test_the_random_state_of_the_caller_stays() -> None:
    before = random.getstate()
    assert SeenTexts(0.8).add("a", "A text with some words in it.") is None
    assert random.getstate() == before


def test_texts_shorter_than_a_shingle() -> None:
    seen = SeenTexts(0.8)
    assert [seen.add(text, text) for text in ("a", "b", "")] == [None, None, None]
    assert seen.add("again", "A") == Duplicate(kind="exact_duplicate", original="a")


def short_texts(draw: random.Random, number: int) -> str:
    return sentence(number if draw.random() < 0.9 else draw.randrange(number + 1), 8) + " all" * draw.randrange(3)


def with_a_preamble(draw: random.Random, number: int) -> str:
    """Candidates of each other, nearly all, whose similarity is just above or below the threshold."""
    own = " ".join(f"{draw.random():.5}" for _ in range(draw.randrange(11, 17)))
    return " ".join(f"{word}é\ud800" for word in range(150)) + f"{own} {number}"


@pytest.mark.parametrize(
    ("texts", "count", "kept_least", "kept_most"), [(short_texts, 3_000, 2_000, 2_900), (with_a_preamble, 120, 20, 110)]
)
def test_the_decisions_are_those_of_an_index_in_dictionaries(
    texts: Callable[[random.Random, int], str], count: int, kept_least: int, kept_most: int
) -> None:
    """Enough texts for sorted arrays and a merge of two: the decisions stay those of datasketch's own index."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=0.8, num_perm=128, weights=(0.2, 0.8))
    kept: list[str] = []
    seen = SeenTexts(0.8)
    draw = random.Random(7)
    for number in range(count):
        text = texts(draw, number)
        signature = MinHash(num_perm=128, seed=20240610, hashfunc=zlib.crc32)
        shingles = {text[start : start + 5] for start in range(len(text) - 4)}
        signature.update_batch([shingle.encode(errors="surrogatepass") for shingle in shingles])
        near = None
        for place in sorted(index.query(signature)):
            others = {kept[place][start : start + 5] for start in range(len(kept[place]) - 4)}
            if len(shingles & others) / len(shingles | others) >= 0.8:
                near = str(place)
                break
        found = seen.add(str(len(kept)), text)
        assert (found and found.original) == near
        if near is None:
            index.insert(len(kept), signature)
            kept.append(text)
    assert kept_least < len(kept) < kept_most


def test_texts_that_share_a_preamble_take_no_exact_comparison_each() -> None:
    preamble = sentence(1, 20) + " ".join(f"{number:x}" for number in range(5_000, 5_300))
    seen = SeenTexts(0.8)
    began = process_time()
    for number in range(400):
        own = " ".join(f"{random.Random(f'{number} {part}').random():.9}" for part in range(30))
        assert seen.add(str(number), preamble + own) is None
    assert process_time() - began < 8  # 16 s with an exact comparison of each two


def test_a_text_takes_some_hundred_bytes_of_memory() -> None:
    held: list[int] = []
    SeenTexts(0.8).add("imports", "everything")
    tracemalloc.start()
    try:
        seen = SeenTexts(0.8)
        for number in range(4_140):  # when just sorted, as at 1,400
            assert seen.add(str(number), f"{number:06} " * 4) is None
            if number in (1_399, 4_139):
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 2_740 * 600  # with texts and signatures in dictionaries 4 kB a text


def test_numbers_are_found_by_their_keys_in_every_array() -> None:
    draw = random.Random(3)
    index, known = KeyIndex(), defaultdict(set)
    for number in range(30_000):
        keys = [draw.choice((draw.randrange(5_000), 2**64 - 1 - draw.randrange(5_000))) for _ in range(2)]
        index.add(keys, number)
        for key in keys:
            known[key].add(number)
    for key in (*range(300), *range(2**64 - 300, 2**64), 2**40):
        assert index.find([key, 2**41]) == sorted(known[key])
    assert index.find([0, 1, 2**64 - 1]) == sorted(known[0] | known[1] | known[2**64 - 1])
