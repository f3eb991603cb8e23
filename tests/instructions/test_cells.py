"""Lists that a CSV holds as text."""

from typing import Any

import pytest

from plum_hub.instructions.cells import list_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b', None]", ["a", "b", None]),
        ("['a' 'b']", ["a", "b"]),
        ("""['it\\'s "x" [1 2]' "don't 'a' 'b'"\n 'c\\\\' 'd']""", ['it\'s "x" [1 2]', "don't 'a' 'b'", "c\\", "d"]),
        ("[1 2 3]", [1, 2, 3]),
        ("[1.5 2. ]", [1.5, 2.0]),
        ("[ True False]", [True, False]),
        ("[{'a': 'b c'}\n {'a': array(['q', 'r'], dtype=object)}]", [{"a": "b c"}, {"a": ["q", "r"]}]),
        ("[array(['a', 'b'], dtype=object) array(['c'], dtype=object)]", [["a", "b"], ["c"]]),
        ("[]", []),
    ],
)
def test_lists_as_json_python_and_numpy_write_them(text: str, found: list[Any]) -> None:
    assert list_of(f" {text}\n") == found


@pytest.mark.parametrize(
    "text",
    ["['a' 'b' ... 'c']", "[   0    1 ... 1199]", "[f(1)]", "[array({'a': 1})]", "['a' 'b]", "[x for x in y]", "a"],
)
def test_what_is_no_list_or_was_shortened_stays_a_text(text: str) -> None:
    assert list_of(text) == text


@pytest.mark.parametrize("part", ["'a", "\\'", "'", "[", "'a' "])
def test_hostile_cells_take_no_long_time(part: str) -> None:
    text = f"[{part * (400_000 // len(part))}]"
    list_of(text)  # the limit of a test would end what takes the square of its length
