"""The rows of a release in parts: all rows of some instructions, of every config.

Rows that belong together are in memory together, and memory does not grow with the release.
"""

import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

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
            with ExitStack() as open_files:
                writers: dict[int, pa.RecordBatchStreamWriter] = {}
                for path in config_files(folder, config):
                    for batch in read_batches(path):
                        _write(batch, count, writers, open_files, Path(scratch) / config)
        yield InstructionParts(Path(scratch), count)


def _write(
    batch: "pa.RecordBatch", count: int, writers: "dict[int, pa.RecordBatchStreamWriter]", files: ExitStack, at: Path
) -> None:
    """Append each row of a batch to the file of its part."""
    import pyarrow as pa

    members: dict[int, list[int]] = {}
    for row, name in enumerate(batch.column("instruction_id").to_pylist()):
        members.setdefault(zlib.crc32(str(name).encode()) % count, []).append(row)
    for number, rows in members.items():
        if number not in writers:
            path = _path(at.parent, at.name, number)
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            writers[number] = files.enter_context(pa.ipc.new_stream(str(path), batch.schema, options=options))
        writers[number].write_batch(batch.take(pa.array(rows)))


def _path(scratch: Path, config: str, number: int) -> Path:
    return scratch / f"{config}-{number}.arrow"
