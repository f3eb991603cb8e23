"""The order of KTO's rows, whatever part of them is sorted in memory."""

import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plum_hub.release.parquet import hash_place, in_hash_order

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = [f"{number:016x}" for number in range(20_000)]


def tables() -> "Iterator[pa.Table]":
    import pyarrow as pa

    mixed = random.Random(1).sample(NAMES, len(NAMES))
    for start in range(0, len(mixed), 3_000):
        names = mixed[start : start + 3_000]
        yield pa.table({"name": names, "text": [name * 20 for name in names]})


@pytest.mark.parametrize("bytes_in_memory", [1 << 28, 30_000, 5_000])
def test_rows_have_one_order_however_few_are_sorted_at_a_time(tmp_path: Path, bytes_in_memory: int) -> None:
    found = list(in_hash_order(tables(), "name", tmp_path, bytes_in_memory))
    rows = [row for table in found for row in table.to_pylist()]
    assert [row["name"] for row in rows] == sorted(
        NAMES, key=lambda name: (zlib.crc32(name.encode()) % 64, zlib.crc32(name.encode()), name)
    )
    assert all(row["text"] == row["name"] * 20 for row in rows)
    assert [row["name"] for row in rows] == sorted(NAMES, key=hash_place)
    largest = max(table.nbytes for table in found)
    assert largest < 2 * bytes_in_memory + 5_000
    assert (len(found) == 64) == (bytes_in_memory == 1 << 28)
    assert not [*tmp_path.iterdir()]
