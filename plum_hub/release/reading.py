"""The Parquet files of a release, read back: as record batches, as rows, and as records."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from plum_hub.records import Instruction, RecordT, Sample, TestSuite, Verdict, from_json
from plum_hub.release.lineage import RowsLineage
from plum_hub.release.schemas import Config

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Row: TypeAlias = Mapping[str, Any]
"""One row of a config, by column name (`schemas.columns`)."""

_BATCH = 2_000
"""Rows that are decoded at a time: some 10 MB as Python objects, at 5 kB a row."""


class UnreadableError(ValueError):
    """A file is damaged, or is not Parquet; the message names it and says why."""


def config_files(folder: Path, config: Config) -> list[Path]:
    """List the Parquet files of a config, in the order of their rows.

    Args:
        folder: The release's folder.
        config: The config.

    Returns:
        Their paths; none for a config without rows.
    """
    return sorted((folder / config).glob("*.parquet"))


def open_parquet(path: Path) -> "pq.ParquetFile":
    """Open a Parquet file, which reads its schema and its number of rows.

    Args:
        path: The file.

    Returns:
        The open file.

    Raises:
        UnreadableError: It is not Parquet, or cannot be read.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise UnreadableError(f"{path.name}: {error}") from error


def read_batches(path: Path, columns: Collection[str] | None = None) -> "Iterator[pa.RecordBatch]":
    """Read a Parquet file a few thousand rows at a time, so that memory does not grow with the file.

    Args:
        path: The file.
        columns: The columns to decode; None for all.

    Yields:
        The batches, in the file's order.

    Raises:
        UnreadableError: The file cannot be read to its end.
    """
    import pyarrow as pa

    stream = open_parquet(path).iter_batches(batch_size=_BATCH, columns=None if columns is None else list(columns))
    while True:
        try:
            batch = next(stream, None)
        except (OSError, pa.ArrowException) as error:
            raise UnreadableError(f"{path.name}: {error}") from error
        if batch is None:
            return
        yield batch


def read_rows(paths: Iterable[Path], columns: Collection[str] | None = None) -> Iterator[Row]:
    """Read the rows of Parquet files, one after the other.

    Args:
        paths: The files, as from `config_files`.
        columns: The columns to decode; None for all.

    Yields:
        Each row, by column name.

    Raises:
        UnreadableError: A file cannot be read to its end.
    """
    for path in paths:
        for batch in read_batches(path, columns):
            yield from batch.to_pylist()


def instruction_of(row: Row) -> Instruction:
    """Return the instruction in a row of the config `test_suites`.

    Args:
        row: The row.

    Returns:
        The instruction.

    Raises:
        KeyError: A column is missing.
    """
    return Instruction(
        id=row["instruction_id"],
        text=row["instruction"],
        source=row["source"],
        revision=row["source_revision"],
        row=row["source_row"],
        license=row["license"],
    )


def suite_of(row: Row) -> TestSuite:
    """Return the test suite in a row of the config `test_suites`.

    Args:
        row: The row.

    Returns:
        The suite.

    Raises:
        ValueError, TypeError, KeyError: A value is missing or has the wrong type.
    """
    return _record(TestSuite, row, "suite_id")


def sample_of(row: Row, lineage: RowsLineage | None = None) -> Sample:
    """Return the sample in a row of the config `samples`.

    Args:
        row: The row.
        lineage: The release's, which says what the row does not: the engine, and the version of the extraction. None
            leaves both empty.

    Returns:
        The sample.

    Raises:
        ValueError, TypeError, KeyError: A value is missing or has the wrong type.
    """
    if lineage is None:
        return _record(Sample, row, "sample_id")
    identity = lineage.policy.identity
    engine = f"{identity.engine} {identity.engine_version}"
    return _record(Sample, row, "sample_id", engine=engine, extraction=lineage.extraction)


def verdict_of(row: Row, lineage: RowsLineage | None = None) -> Verdict:
    """Return the verdict in a row of the config `samples`.

    Args:
        row: The row.
        lineage: The release's, which says what the row does not: the versions of the sandbox and of the static check.
            None leaves both empty.

    Returns:
        The verdict.

    Raises:
        ValueError, TypeError, KeyError: A value is missing or has the wrong type.
    """
    if lineage is None:
        return _record(Verdict, row, "verdict_id")
    versions = {"sandbox": lineage.harness_version, "static_check": lineage.checker_version}
    return _record(Verdict, row, "verdict_id", **versions)


def _record(kind: type[RecordT], row: Row, id_column: str, **more: str) -> RecordT:
    """Build a record from the columns that are named as its fields are; its id has a column of its own."""
    known: Any = kind  # mypy does not take a constrained type variable for a dataclass
    named = {field.name: row[field.name] for field in fields(known) if field.name in row}
    return from_json(kind, {**named, **more, "id": row[id_column]})
