"""Values on a temporary file are found again, whatever they are and wherever they lie."""

import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plum_hub.errors import RunError
from plum_hub.spool import BytesSpool, RereadTables, Spool, TableSpool

if TYPE_CHECKING:
    import pyarrow as pa


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


def test_bytes_are_read_back_by_their_number() -> None:
    spool = BytesSpool()
    pieces = [bytes([number % 256]) * (number % 700) for number in range(5_000)]
    for piece in pieces:
        spool.append(piece)
    assert list(spool) == pieces
    assert spool[-1:10:-700] == pieces[-1:10:-700]


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
    with pytest.raises(RunError, match="absent: cannot be written"):
        TableSpool()


def test_no_temporary_folder_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", list)
    with pytest.raises(RunError, match="TMPDIR: cannot be written"):
        Spool()


def tables(count: int) -> "Iterator[pa.Table]":
    import pyarrow as pa

    yield from (pa.table({"number": [number, -number], "text": [f"{number}", None]}) for number in range(count))


def test_tables_are_read_back_by_several_readers_at_once() -> None:
    spool = TableSpool()
    assert list(spool) == []
    for table in tables(3):
        spool.append(table)
    assert list(zip(spool, spool, strict=True)) == [(table, table) for table in tables(3)]


def test_tables_are_made_once_and_only_a_whole_reading_counts(tmp_path: Path) -> None:
    made: list[int] = []

    class Made(Iterable["pa.Table"]):
        def __iter__(self) -> "Iterator[pa.Table]":
            for number, table in enumerate(tables(3)):
                made.append(number)
                yield table

    reread = RereadTables(Made(), tmp_path)
    next(iter(reread))
    assert made == [0]
    assert list(reread) == list(tables(3))
    assert made == [0, 0, 1, 2]
    assert list(reread) == list(reread) == list(tables(3))
    assert made == [0, 0, 1, 2]
    assert not [*tmp_path.iterdir()]
