"""Rows to the Parquet files of one config, a row group at a time, so that memory does not grow with the rows.

The same rows give the same bytes wherever pyarrow is the same: nothing is written that the rows do not decide.
"""

import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS_PER_GROUP = 2_000
"""Some 10 MB as Python objects, at 5 kB a row."""
ROWS_PER_FILE = 250_000
"""Some hundreds of MB a file: few enough files for a commit, small enough to read alone."""
_BUCKETS = 64


def batches(rows: Iterable[dict[str, Any]], schema: "pa.Schema") -> "Iterator[pa.Table]":
    """The rows as tables of at most `ROWS_PER_GROUP` rows."""
    import pyarrow as pa

    remaining = iter(rows)
    while batch := list(islice(remaining, ROWS_PER_GROUP)):
        yield pa.Table.from_pylist(batch, schema)


def grouped(tables: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
    """The same rows in tables of `ROWS_PER_GROUP`, so that however they come they make the same files."""
    import pyarrow as pa

    rest: pa.Table | None = None
    for table in tables:
        held = table if rest is None else pa.concat_tables([rest, table])
        whole = held.num_rows - held.num_rows % ROWS_PER_GROUP
        for start in range(0, whole, ROWS_PER_GROUP):
            yield held.slice(start, ROWS_PER_GROUP).combine_chunks()
        rest = held.slice(whole)
    if rest is not None and rest.num_rows:
        yield rest.combine_chunks()


def ahead(tables: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
    """The same tables, each made by another thread while the one before is written: pyarrow works without Python's
    lock."""
    remaining = iter(tables)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, remaining, None)
        while (table := coming.result()) is not None:
            coming = pool.submit(next, remaining, None)
            yield table


def write_parquet(folder: Path, tables: "Iterable[pa.Table]", rows_per_file: int = ROWS_PER_FILE) -> dict[Path, int]:
    """Write `train-00000-of-0000N.parquet` into `folder`, which is made only if there is a row.

    A file is closed after the table with which it reaches `rows_per_file`.

    Returns:
        The rows of each file.
    """
    parts: list[int] = []
    writer: pq.ParquetWriter | None = None
    try:
        for table in tables:
            if writer is None or parts[-1] >= rows_per_file:
                if writer is not None:
                    writer.close()
                writer = _open(folder / f"{len(parts)}.part", table.schema)
                parts.append(0)
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
            parts[-1] += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    files = {}
    for number, rows in enumerate(parts):
        path = folder / f"train-{number:05}-of-{len(parts):05}.parquet"
        files[(folder / f"{number}.part").rename(path)] = rows
    return files


def _open(path: Path, schema: "pa.Schema") -> "pq.ParquetWriter":
    import pyarrow.parquet as pq

    path.parent.mkdir(exist_ok=True)
    return pq.ParquetWriter(path, schema, compression="zstd")


def scattered(tables: "Iterable[pa.Table]", key: str, scratch: Path) -> "Iterator[pa.Table]":
    """The same rows, in an order that only their keys decide and that has nothing to do with how they came.

    Trainers that estimate KL by pairing each prompt with its neighbour's completion need neighbours of different
    prompts. The rows go through `_BUCKETS` files on disk, and one bucket at a time is in memory.

    Args:
        key: a column of ids, unique among the rows.
        scratch: a folder on disk with room for all rows; it is left as it was.
    """
    import pyarrow as pa

    with TemporaryDirectory(dir=scratch) as folder:
        writers: dict[int, pa.RecordBatchStreamWriter] = {}
        try:
            for table in tables:
                _scatter(table, key, Path(folder), writers)
        finally:
            for writer in writers.values():
                writer.close()
        for bucket in sorted(writers):
            with pa.OSFile(str(Path(folder) / str(bucket))) as file:
                rows = pa.ipc.open_stream(file).read_all()
            names = [(_hash(name), name) for name in rows[key].to_pylist()]
            yield rows.combine_chunks().take(sorted(range(len(names)), key=names.__getitem__))


def _scatter(table: "pa.Table", key: str, folder: Path, writers: "dict[int, pa.RecordBatchStreamWriter]") -> None:
    """Append each row of the table to the file of its bucket."""
    import pyarrow as pa

    members: list[list[int]] = [[] for _ in range(_BUCKETS)]
    for row, name in enumerate(table[key].to_pylist()):
        members[_hash(name) % _BUCKETS].append(row)
    dealt, start = table.combine_chunks().take([row for rows in members for row in rows]), 0
    for bucket, rows in enumerate(members):
        if rows and bucket not in writers:
            writers[bucket] = pa.ipc.new_stream(str(folder / str(bucket)), table.schema)
        if rows:
            writers[bucket].write_table(dealt.slice(start, len(rows)))
        start += len(rows)


def _hash(name: str) -> int:
    return zlib.crc32(name.encode())
