"""Read LiveCodeBench's files: one JSON lines file per release, from the dataset livecodebench/code_generation_lite.

The dataset's loading script is neither needed nor executed. A local file may also contain several releases if its
rows name theirs (`release`), and may lack private tests if its rows say so (`private_tests_complete`).
"""

import gzip
import hashlib
import itertools
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeAlias

from plum_hub.benchmarks.base import DATA_OPTION
from plum_hub.errors import BenchmarkError, HubError
from plum_hub.hubs.client import choose_target, fetch_file

Row: TypeAlias = Mapping[str, Any]
"""One row of a file: values by column."""

_REPO = "livecodebench/code_generation_lite"
_COMMIT = "0fe84c3912ea0c4d4a78037083943e8f0c4dd505"
"""Commit of the dataset whose files `SHARDS` describes."""


@dataclass(frozen=True)
class Shard:
    """The published file of one release.

    Attributes:
        name: The file's name at `_COMMIT`.
        problems: Number of problems that the release added.
        sha256: SHA-256 of the file.
    """

    name: str
    problems: int
    sha256: str


SHARDS = {
    1: Shard("test.jsonl", 400, "2bd02b38beb48e8c46b5b9987095d999ff38cd8efc255ea5d58974317c48f63f"),
    2: Shard("test2.jsonl", 111, "095df7c5daf15f882c51a9deb84085cff1e073495a5dbcf95015a564d485f3a3"),
    3: Shard("test3.jsonl", 101, "28ed26cc83363ce3f1fe2d5fad9f8393077beb1907b167a31bd3b32f80801b79"),
    4: Shard("test4.jsonl", 101, "d711138ddaebfcf5f8ec6a4283ee677298c0f5c5d374a235af92aaf0584510da"),
    5: Shard("test5.jsonl", 167, "7f77571c2a6df0c2a72a3277650309f67e01e0008e18117e624633df53f81214"),
    6: Shard("test6.jsonl", 175, "bb4c364f71921c4495a6ad15abe1a927350b720009f4933e2e71f8af0f6fd1f5"),
}
_LOCAL = "livecodebench*.jsonl*"
_MAX_LINE = 1 << 28
"""Maximum length of a line, in bytes; twice that of the longest published row."""
_COLUMNS = (
    "question_title", "question_content", "platform", "question_id", "contest_id", "contest_date", "starter_code",
    "difficulty", "public_test_cases", "private_test_cases", "metadata",
)  # fmt: skip


@dataclass(frozen=True)
class RowLocation:
    """The location of a row. The tests of all problems take many gigabytes, so that each row is read again on access.

    Attributes:
        path: The file.
        number: Line number, from 1.
        offset: Offset of the line, in bytes of the uncompressed content.
    """

    path: Path
    number: int
    offset: int

    def __str__(self) -> str:
        return f"{self.path}:{self.number}"

    def read(self) -> Row:
        """Read the row.

        Returns:
            The row.

        Raises:
            BenchmarkError: The row is no longer there.
        """
        with _readable(self.path), _opened(self.path) as file:
            file.seek(self.offset)
            return _parsed(file.readline(), self)


class ProblemFiles:
    """The files that contain certain releases.

    Args:
        releases: Release numbers in order.
        source: A file; a folder with files at any depth; None for the Hub.

    Raises:
        BenchmarkError: No such file exists.
    """

    def __init__(self, releases: range, source: Path | None) -> None:
        self._releases = releases
        self._on_hub = source is None
        self._paths = _fetch_files(releases) if source is None else _find_files(releases, source)

    @cached_property
    def revision(self) -> str:
        """The dataset and its commit if the files match it, else the SHA-256 of their content."""
        published = [SHARDS[release].sha256 for release in self._releases]
        digests = published if self._on_hub else [_sha256(path) for path in self._paths]
        if digests == published:
            return f"{_REPO}@{_COMMIT}"
        return f"sha256:{digests[0] if len(digests) == 1 else hashlib.sha256(' '.join(digests).encode()).hexdigest()}"

    def rows(self) -> Iterator[tuple[RowLocation, int, Row]]:
        """Iterate over all rows of the releases.

        Yields:
            The location, release number and content of each row.

        Raises:
            BenchmarkError: A file cannot be read, a row is damaged or a duplicate, or rows are missing.
        """
        counts = dict.fromkeys(self._releases, 0)
        locations: dict[str, RowLocation] = {}
        for path in self._paths:
            for location, row in _rows(path):
                release = _release(location, row)
                if release not in counts:
                    continue
                first = locations.setdefault(row["question_id"], location)
                if first is not location:
                    raise BenchmarkError(
                        f"{location}: question {row['question_id']!r} is a duplicate of {first}: remove one"
                    )
                counts[release] += 1
                yield location, release, row
        for release, count in counts.items():
            if count != SHARDS[release].problems:
                raise BenchmarkError(
                    f"{', '.join(map(str, self._paths))}: {count} problems of release_v{release}, expected "
                    f"{SHARDS[release].problems}: truncated, or another version; fetch {_REPO} at {_COMMIT}"
                )


def _fetch_files(releases: range) -> list[Path]:
    paths = []
    for release in releases:
        name = SHARDS[release].name
        try:
            path = fetch_file(_REPO, _COMMIT, name, choose_target("public"))
        except HubError as error:
            raise BenchmarkError(f"{_REPO} at {_COMMIT[:12]}: {error}; or give its files with {DATA_OPTION}") from error
        if path is None:
            raise BenchmarkError(f"{_REPO} has no {name} at commit {_COMMIT}: give its files with {DATA_OPTION}")
        paths.append(path)
    return paths


def _find_files(releases: range, source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise BenchmarkError(
            f"{source} does not exist: give {DATA_OPTION} a file of {_REPO}, or a folder that contains its files"
        )
    names = [(SHARDS[release].name, f"{SHARDS[release].name}.gz") for release in releases]
    shards = [next((path for name in pair for path in sorted(source.rglob(name))), None) for pair in names]
    if paths := [path for path in shards if path is not None]:
        missing = [name for (name, _), path in zip(names, shards, strict=True) if path is None]
        if missing:
            raise BenchmarkError(f"{source} lacks {', '.join(missing)}: fetch what is missing from {_REPO}")
        return paths
    if paths := sorted(source.rglob(_LOCAL)):
        if len(paths) > 1:
            raise BenchmarkError(
                f"{source} contains several of {_LOCAL} ({paths[0]}, {paths[1]}, ...): give {DATA_OPTION} one of them"
            )
        return paths
    raise BenchmarkError(f"{source} contains neither {names[0][0]} nor {_LOCAL}: fetch the files of {_REPO}")


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _sha256(path: Path) -> str:
    """Compute the SHA-256 of the uncompressed content."""
    with _readable(path), _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rows(path: Path) -> Iterator[tuple[RowLocation, Row]]:
    offset = 0
    with _readable(path), _opened(path) as file:
        for number in itertools.count(1):
            line = file.readline(_MAX_LINE)
            if not line:
                return
            location = RowLocation(path, number, offset)
            offset += len(line)
            if line.strip():
                yield location, _parsed(line, location)


def _parsed(line: bytes, location: RowLocation) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{location}: is not JSON, the file is damaged or truncated: fetch it again") from error
    if not isinstance(row, dict):
        raise BenchmarkError(f"{location}: is not a JSON object: give {DATA_OPTION} a file of {_REPO}")
    if missing := [column for column in _COLUMNS if not isinstance(row.get(column), str)]:
        raise BenchmarkError(f"{location}: has no text in {', '.join(missing)}: give {DATA_OPTION} a file of {_REPO}")
    return row


def _release(location: RowLocation, row: Row) -> int:
    """Return the release that the row names, or else that of its file's name."""
    if match := re.fullmatch(r"release_v(\d)", str(row.get("release"))):
        return int(match[1])
    name = location.path.name.removesuffix(".gz")
    for release, shard in SHARDS.items():
        if shard.name == name:
            return release
    raise BenchmarkError(
        f"{location}: its release is unknown: name the file as {_REPO} does ({SHARDS[1].name}, "
        f"{SHARDS[2].name}, ...), or add a column `release` (release_v1, release_v2, ...)"
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BenchmarkError(
            f"{path} is truncated or not gzip ({error}): fetch it again, or remove `.gz` from its name"
        ) from error
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read ({error.strerror}): fix that, or give another {DATA_OPTION}"
        ) from error
