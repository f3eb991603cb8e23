"""Values on a temporary file are found again, whatever they are and wherever they lie."""

import tracemalloc
from pathlib import Path

import pytest

from plum_hub.errors import RunError
from plum_hub.spool import Spool


def test_values_are_read_back_by_their_number() -> None:
    spool = Spool()
    values = [
        {"text": f"{number} " * (number % 400), "ok": None, "half": "\ud800", "é": [1, 2.5]} for number in range(5_000)
    ]
    for value in values:
        spool.append(value)
    assert len(spool) == 5_000
    assert [spool[number] for number in (4_999, 0, 17, -1)] == [values[number] for number in (4_999, 0, 17, -1)]
    assert list(spool) == values
    assert spool[10:4_000:700] == values[10:4_000:700]
    with pytest.raises(IndexError):
        spool[5_000]


def test_memory_holds_positions_and_not_values() -> None:
    tracemalloc.start()
    try:
        spool = Spool()
        for number in range(20_000):
            spool.append(f"{number} " * 100)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_500_000
    assert peak < 4_000_000  # 11 MB of text


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(RunError, match="absent: cannot be written"):
        Spool()
