"""Which files are read, by their names, and the bytes of those that are compressed."""

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

_TEXTS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_TABLES = (".parquet", ".arrow", ".feather")
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")

SUFFIXES = (*(text + packed for text in _TEXTS for packed in ("", *_COMPRESSIONS)), *_TABLES)
"""File name suffixes that `read_rows` supports, in lower case."""

FORMATS = (
    f"{', '.join(_TEXTS[:-1])} or {_TEXTS[-1]} (also {', '.join(_COMPRESSIONS[:-1])} or {_COMPRESSIONS[-1]}), "
    f"{', '.join(_TABLES[:-1])} or {_TABLES[-1]}"
)
"""The suffixes, for messages."""

DAMAGED = (EOFError, zlib.error, lzma.LZMAError)
"""What reading a damaged compressed file raises, besides `OSError`."""

_COMPRESSION_NAMES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "Zstandard"}


class FileKind(NamedTuple):
    """What the name of a file says of its content."""

    format: str
    """A suffix without its dot, such as `jsonl` or `parquet`."""
    compression: str
    """A suffix such as `.gz`; "" for none."""

    @property
    def compression_name(self) -> str:
        """Name of the compression, for messages."""
        return _COMPRESSION_NAMES[self.compression]


def is_supported(name: str) -> bool:
    """Tell by its name whether a file is read.

    Args:
        name: Name of the file, in any case.

    Returns:
        True for the suffixes of `SUFFIXES`.
    """
    return name.lower().endswith(SUFFIXES)


def file_kind(name: str) -> FileKind:
    """Read what the name of a file says.

    Args:
        name: Name of the file.

    Returns:
        Its format and compression; other suffixes than `SUFFIXES` stand for JSON lines.
    """
    lower = name.lower()
    compression = next((suffix for suffix in _COMPRESSIONS if lower.endswith(suffix)), "")
    found = "." + lower.removesuffix(compression).rpartition(".")[2]
    return FileKind(found[1:] if found in (*_TEXTS, *_TABLES) else "jsonl", compression)


def opened(path: Path) -> BinaryIO:
    """Open a file, and unpack it if its name says that it is compressed.

    Args:
        path: The file.

    Returns:
        The content; of a compressed file, it can be read from begin to end only.

    Raises:
        OSError: The file cannot be opened.
    """
    match file_kind(path.name).compression:
        case ".gz":
            return cast(BinaryIO, gzip.open(path))
        case ".bz2":
            return cast(BinaryIO, bz2.open(path))
        case ".xz":
            return cast(BinaryIO, lzma.open(path))
        case ".zst":
            import pyarrow as pa

            return cast(BinaryIO, io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")))
        case _:
            return path.open("rb")
