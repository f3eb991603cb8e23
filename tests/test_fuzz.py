"""Every reader of a user's file meets damaged files, the same each time, and answers with an error of ours or reads on.

`python -m tests.fuzzing 1000` tries more of them."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plum_hub.execution import values
from tests.fuzz_targets import TARGETS, VALUES, Target, inputs, same
from tests.fuzzing import READERS, Reader, escapes

_EACH = 12


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path / "home"))
    logging.getLogger("datasets").setLevel(logging.ERROR)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_nothing_escapes_a_reader(reader: Reader) -> None:
    found = escapes(reader, _EACH, seed=14)
    assert not found, f"{len(found)} of {_EACH}; the first: {(found[0][0] or b'a folder')[:200]!r}\n{found[0][1]}"


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_whole_file_is_read(reader: Reader, tmp_path: Path) -> None:
    """Or else the reader would refuse everything, and nothing could escape."""
    if reader.name.startswith("LiveCodeBench"):  # one question of all; ids that say nothing of their benchmark
        return
    said = Reader(reader.name, reader.file, reader.whole, reader.read, reader.beside).meet(reader.whole, tmp_path)
    assert said is None
    reader.read(tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_target_takes_hostile_input(target: Target) -> None:
    """A seeded slice of `scripts/fuzz all`."""
    for data in inputs(target, len(target.seeds) + 20 * min(target.weight, 10), seed=18):
        try:
            target.meet(data)
        except Exception as error:
            raise AssertionError(f"{data[:300]!r}") from error


FOUND = {
    "code extraction": (b"```python\n>>>", b"```\nf(\n" + b"1" * 5000 + b"\n```"),
    "test modules": (
        b"def add(a, b) -> " + b"-" * 300 + b"int:\n    return a + b\n",
        b'import pytest\n@pytest.mark.parametrize("", [(1, 2), (3, 4)])\ndef test_b(x):\n    assert f(x)\n',
        b"import unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.assertEqual(f(1), *a, (1, 2))\n",
    ),
    "the Hub's git packs": (
        b"GET\n\n/datasets/local/kept.git/info/refs?service=git-upload-pack\n\ngit-protocol: ve\x00sion=1\n\n",
    ),
}
"""What escaped once, by the target that it was found with."""


@pytest.mark.parametrize("name", FOUND)
def test_what_escaped_once_does_not_again(name: str) -> None:
    (target,) = (one for one in TARGETS if one.name == name)
    for data in FOUND[name]:
        target.meet(data)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(VALUES)
def test_a_value_comes_out_of_the_jail_as_it_was(value: object) -> None:
    assert same(values.decode(values.encode(value), 1000), value)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none())), st.integers(0, 200))
def test_rows_survive_a_file_that_was_cut_anywhere(rows: list[dict[str, object]], cut: int) -> None:
    whole = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    target = next(one for one in TARGETS if one.name == "JSON lines")
    target.meet(whole[: max(0, len(whole) - cut)])


def test_a_target_that_is_wrong_is_found() -> None:
    def wrong(data: bytes) -> None:
        assert b"script" not in data

    (cards,) = (one for one in TARGETS if one.name == "cards")
    with pytest.raises(AssertionError):
        for data in inputs(replace(cards, take=wrong), 500, seed=1):
            wrong(data)
