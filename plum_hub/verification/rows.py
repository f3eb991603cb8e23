"""The rows of a release in parts: all rows of some instructions, of every config.

Rows that belong together are in memory together, and memory does not grow with the release.
"""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

from plum_hub.release.parquet import regrouped
from plum_hub.release.reading import config_files, open_parquet, read_batches
from plum_hub.release.schemas import CONFIGS, Config

if TYPE_CHECKING:
    import pyarrow as pa

Row: TypeAlias = dict[str, Any]
"""One row of a config, by column name."""
Part: TypeAlias = dict[Config, list[Row]]
"""Rows of every config, in the order of its files; none for a config that the release does not have."""

_SAMPLES = 20_000
"""Samples in a part: about 100 MB."""
_GATHERED = 10_000
"""Rows that are distributed at a time."""
_FILES = 64
"""Parts that are written at a time; with more, rows pass through files of several parts."""


def count_parts(*folders: Path) -> int:
    """Choose the number of parts for one or several releases.

    With the same number, the same instructions are in the same part of each release.

    Args:
        folders: The releases' folders.

    Returns:
        The number of parts, at least 1.

    Raises:
        UnreadableError: A file of the samples is not Parquet.
    """
    rows = [
        sum(int(open_parquet(path).metadata.num_rows) for path in config_files(folder, "samples")) for folder in folders
    ]
    return 1 + max(rows) // _SAMPLES


class InstructionParts:
    """A release that was split into parts on disk; can be iterated over several times."""

    def __init__(self, scratch: Path, count: int) -> None:
        self._scratch = scratch
        self._count = count

    def __iter__(self) -> Iterator[Part]:
        return (self._part(number) for number in range(self._count))

    def _part(self, number: int) -> Part:
        import pyarrow as pa

        part: Part = {}
        for config in CONFIGS:
            path = _path(self._scratch, config, number)
            part[config] = []
            if path.exists():
                with pa.OSFile(str(path)) as file:
                    part[config] = pa.ipc.open_stream(file).read_all().to_pylist()
        return part


@contextmanager
def split(folder: Path, count: int) -> Iterator[InstructionParts]:
    """Split a release into parts, which exist until the block ends.

    Args:
        folder: The release's folder.
        count: The number of parts.

    Yields:
        The parts.

    Raises:
        UnreadableError: A Parquet file cannot be read.
    """
    with TemporaryDirectory(prefix="plum-hub-verify-") as scratch:
        for config in CONFIGS:
            batches = (batch for path in config_files(folder, config) for batch in read_batches(path))
            _distribute(_gathered(batches), range(count), count, Path(scratch) / config)
        yield InstructionParts(Path(scratch), count)


def _gathered(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.Table]":
    """Gather rows, so that what is written to each of many parts at a time is not a few rows, which costs the most."""
    import pyarrow as pa

    return regrouped((pa.Table.from_batches([batch]) for batch in batches), _GATHERED)


def _distribute(tables: "Iterable[pa.Table]", parts: range, count: int, at: Path) -> None:
    """Write each row to the file of its part.

    Args:
        tables: Rows of some of the parts.
        parts: Numbers of these parts.
        count: Number of all parts.
        at: The files are named by its name.
    """
    import pyarrow as pa

    width = ceil(len(parts) / _FILES)
    paths: dict[int, Path] = {}
    with ExitStack() as files:
        writers: dict[int, pa.RecordBatchStreamWriter] = {}
        for table in tables:
            members: dict[int, list[int]] = {}
            for row, instruction in enumerate(table["instruction_id"].to_pylist()):
                part = zlib.crc32(str(instruction).encode()) % count
                members.setdefault((part - parts.start) // width, []).append(row)
            for number, rows in members.items():
                if number not in writers:
                    first = parts[number * width]
                    name = f"{at.name}+{first}+{width}"
                    paths[number] = _path(at.parent, at.name, first) if width == 1 else at.with_name(name)
                    options = pa.ipc.IpcWriteOptions(compression="zstd")
                    writer = pa.ipc.new_stream(str(paths[number]), table.schema, options=options)
                    writers[number] = files.enter_context(writer)
                writers[number].write_table(table.take(pa.array(rows)))
    for number, path in paths.items() if width > 1 else ():
        with pa.OSFile(str(path)) as file:
            below = parts[number * width : (number + 1) * width]
            _distribute(_gathered(pa.ipc.open_stream(file)), below, count, at)
        path.unlink()


def _path(scratch: Path, config: str, number: int) -> Path:
    return scratch / f"{config}-{number}.arrow"
