"""Every reader of a user's file meets damaged files, the same each time, and answers with an error of ours or reads on.

`python -m tests.fuzzing 1000` tries more of them."""

import logging
from pathlib import Path

import pytest

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
