"""Writing the Parquet files of a config, one row group at a time, so that memory does not grow with the rows.

The same rows give the same bytes under the same version of pyarrow: nothing else goes into the files.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS_PER_GROUP = 2_000
"""Rows in a row group: about 10 MB as Python objects, at 5 kB a row."""
ROWS_PER_FILE = 250_000
"""Rows in a file: a few hundred MB, which keeps the number of files in a commit low and each file easy to load."""
_BUCKETS = 64
"""The buckets of `in_hash_order`, which are part of the order."""
_BUCKET_BYTES = 1 << 28
"""Bytes of a bucket that are sorted in memory; a larger one is divided by ranges of the hash."""


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


def regrouped(tables: "Iterable[pa.Table]", rows: int = ROWS_PER_GROUP) -> "Iterator[pa.Table]":
    """Regroup rows, so that the files do not depend on how the rows arrive.

    Args:
        tables: Tables of any size, with the same columns.
        rows: Rows of each table.

    Yields:
        The same rows in tables of so many; the last one may have fewer.
    """
    import pyarrow as pa

    remainder: pa.Table | None = None
    for table in tables:
        pending = table if remainder is None else pa.concat_tables([remainder, table])
        complete = pending.num_rows - pending.num_rows % rows
        for start in range(0, complete, rows):
            yield pending.slice(start, rows).combine_chunks()
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


def write_parquet(folder: Path, tables: "Iterable[pa.Table]", rows_per_file: int = ROWS_PER_FILE) -> dict[Path, int]:
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


def in_hash_order(
    tables: "Iterable[pa.Table]", key: str, scratch: Path, bucket_bytes: int = _BUCKET_BYTES
) -> "Iterator[pa.Table]":
    """Sort rows by a hash of their keys, which does not depend on the order in which they arrive.

    Trainers that estimate the KL term by pairing each prompt with a neighbour's completion (KTO, arXiv 2402.01306)
    need neighbours with different prompts. The rows pass through `_BUCKETS` files on disk, of which one at a time, or a
    part of it, is in memory.

    Args:
        tables: The rows.
        key: A column of ids, unique among the rows.
        scratch: A folder on a disk with room for all rows; it is left unchanged.
        bucket_bytes: Bytes that are sorted in memory, about; it changes nothing else.

    Yields:
        The same rows in the order of `hash_place`, a bucket or a part of one at a time.
    """
    import pyarrow as pa

    with TemporaryDirectory(dir=scratch) as folder:
        buckets = _partition(tables, key, Path(folder), lambda digest: digest % _BUCKETS, _BUCKETS)
        for path in buckets:
            parts = 1 + path.stat().st_size // bucket_bytes
            if parts == 1:
                yield _sorted(path, key)
                continue
            with TemporaryDirectory(dir=folder) as below, pa.OSFile(str(path)) as file:
                batches = pa.ipc.open_stream(file)
                pieces = regrouped(pa.Table.from_batches([batch]) for batch in batches)
                divided = _partition(pieces, key, Path(below), partial(_range_of, parts), parts)
                yield from (_sorted(part, key) for part in divided)


def _range_of(parts: int, digest: int) -> int:
    """Return the part of equal ranges of 32-bit hashes that one is in."""
    return digest * parts >> 32


def _sorted(path: Path, key: str) -> "pa.Table":
    import pyarrow as pa

    with pa.OSFile(str(path)) as file:
        rows = pa.ipc.open_stream(file).read_all()
    names = [hash_place(name) for name in rows[key].to_pylist()]
    return rows.combine_chunks().take(sorted(range(len(names)), key=names.__getitem__))


def _partition(
    tables: "Iterable[pa.Table]", key: str, folder: Path, bucket_of: Callable[[int], int], count: int
) -> list[Path]:
    """Append each row to the file of its bucket; return the files, in the order of the buckets."""
    import pyarrow as pa

    writers: dict[int, pa.RecordBatchStreamWriter] = {}
    try:
        for table in tables:
            members: list[list[int]] = [[] for _ in range(count)]
            for row, name in enumerate(table[key].to_pylist()):
                members[bucket_of(_hash(name))].append(row)
            partitioned, start = table.combine_chunks().take([row for rows in members for row in rows]), 0
            for bucket, rows in enumerate(members):
                if rows and bucket not in writers:
                    writers[bucket] = pa.ipc.new_stream(str(folder / str(bucket)), table.schema)
                if rows:
                    writers[bucket].write_table(partitioned.slice(start, len(rows)))
                start += len(rows)
    finally:
        for writer in writers.values():
            writer.close()
    return [folder / str(bucket) for bucket in sorted(writers)]


def hash_place(name: str) -> tuple[int, int, str]:
    """Compute by what `in_hash_order` sorts.

    Args:
        name: The key of a row.

    Returns:
        A value that is in ascending order over the rows.
    """
    digest = _hash(name)
    return digest % _BUCKETS, digest, name


def _hash(name: str) -> int:
    return zlib.crc32(name.encode())
