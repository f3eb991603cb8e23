"""Writing the Parquet files of a config, one row group at a time, so that memory does not grow with the rows.

The same rows give the same bytes under the same version of pyarrow: nothing else goes into the files.
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
"""Rows in a row group: about 10 MB as Python objects, at 5 kB a row."""
_ROWS_PER_FILE = 250_000
"""Rows in a file: a few hundred MB, which keeps the number of files in a commit low and each file easy to load."""
_BUCKETS = 64


def tables_of(rows: Iterable[dict[str, Any]], schema: "pa.Schema") -> "Iterator[pa.Table]":
    """Convert rows to tables.

    Args:
        rows: The rows, by column name.
        schema: The columns.

    Yields:
        Tables of at most `ROWS_PER_GROUP` rows.
    """
    import pyarrow as pa

    remaining = iter(rows)
    while batch := list(islice(remaining, ROWS_PER_GROUP)):
        yield pa.Table.from_pylist(batch, schema)


def regrouped(tables: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
    """Regroup rows, so that the files do not depend on how the rows arrive.

    Args:
        tables: Tables of any size, with the same columns.

    Yields:
        The same rows in tables of `ROWS_PER_GROUP`; the last one may have fewer.
    """
    import pyarrow as pa

    remainder: pa.Table | None = None
    for table in tables:
        pending = table if remainder is None else pa.concat_tables([remainder, table])
        complete = pending.num_rows - pending.num_rows % ROWS_PER_GROUP
        for start in range(0, complete, ROWS_PER_GROUP):
            yield pending.slice(start, ROWS_PER_GROUP).combine_chunks()
        remainder = pending.slice(complete)
    if remainder is not None and remainder.num_rows:
        yield remainder.combine_chunks()


def prefetched(tables: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
    """Prefetch one table: a second thread prepares it while the caller writes the one before.

    This pays because pyarrow releases Python's global interpreter lock.

    Args:
        tables: The tables.

    Yields:
        The same tables.
    """
    remaining = iter(tables)
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, remaining, None)
        while (table := upcoming.result()) is not None:
            upcoming = pool.submit(next, remaining, None)
            yield table


def write_parquet(folder: Path, tables: "Iterable[pa.Table]", rows_per_file: int = _ROWS_PER_FILE) -> dict[Path, int]:
    """Write the files `train-00000-of-0000N.parquet` of a config.

    Args:
        folder: The config's folder, which is created only if there is a row.
        tables: The rows.
        rows_per_file: A file is closed after the table with which it reaches this number of rows.

    Returns:
        The number of rows in each file, by its path.
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


def in_hash_order(tables: "Iterable[pa.Table]", key: str, scratch: Path) -> "Iterator[pa.Table]":
    """Sort rows by a hash of their keys, which does not depend on the order in which they arrive.

    Trainers that estimate the KL term by pairing each prompt with a neighbour's completion (KTO, arXiv 2402.01306)
    need neighbours with different prompts. The rows pass through `_BUCKETS` files on disk, of which one at a time is in
    memory.

    Args:
        tables: The rows.
        key: A column of ids, unique among the rows.
        scratch: A folder on a disk with room for all rows; it is left unchanged.

    Yields:
        The same rows, a bucket at a time.
    """
    import pyarrow as pa

    with TemporaryDirectory(dir=scratch) as folder:
        writers: dict[int, pa.RecordBatchStreamWriter] = {}
        try:
            for table in tables:
                _partition(table, key, Path(folder), writers)
        finally:
            for writer in writers.values():
                writer.close()
        for bucket in sorted(writers):
            with pa.OSFile(str(Path(folder) / str(bucket))) as file:
                rows = pa.ipc.open_stream(file).read_all()
            names = [(_hash(name), name) for name in rows[key].to_pylist()]
            yield rows.combine_chunks().take(sorted(range(len(names)), key=names.__getitem__))


def _partition(table: "pa.Table", key: str, folder: Path, writers: "dict[int, pa.RecordBatchStreamWriter]") -> None:
    """Append each row of a table to the file of its bucket."""
    import pyarrow as pa

    members: list[list[int]] = [[] for _ in range(_BUCKETS)]
    for row, name in enumerate(table[key].to_pylist()):
        members[_hash(name) % _BUCKETS].append(row)
    partitioned, start = table.combine_chunks().take([row for rows in members for row in rows]), 0
    for bucket, rows in enumerate(members):
        if rows and bucket not in writers:
            writers[bucket] = pa.ipc.new_stream(str(folder / str(bucket)), table.schema)
        if rows:
            writers[bucket].write_table(partitioned.slice(start, len(rows)))
        start += len(rows)


def _hash(name: str) -> int:
    return zlib.crc32(name.encode())
