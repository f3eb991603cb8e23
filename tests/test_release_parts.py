"""A release in parts: every row once, beside the other rows of its instruction, however many parts there are."""

import zlib
from pathlib import Path

import pytest

from plum_hub.verification.rows import split

ROWS = 3_000


@pytest.mark.parametrize("count", [1, 7, 64, 65, 200, 4_100])
def test_a_part_holds_all_rows_of_its_instructions_in_their_order(tmp_path: Path, count: int) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    (tmp_path / "samples").mkdir()
    rows = [{"instruction_id": f"{number // 3:04x}", "index": number} for number in range(ROWS)]
    parquet.write_table(pa.Table.from_pylist(rows[:1_700]), tmp_path / "samples" / "train-0.parquet")
    parquet.write_table(pa.Table.from_pylist(rows[1_700:]), tmp_path / "samples" / "train-1.parquet")
    expected: list[list[dict[str, object]]] = [[] for _ in range(count)]
    for row in rows:
        expected[zlib.crc32(str(row["instruction_id"]).encode()) % count].append(row)
    with split(tmp_path, count) as parts:
        assert [part["samples"] for part in parts] == expected
        assert [part["samples"] for part in parts] == expected  # they can be read again
        assert not [part for part in parts if part["kto"]]
