"""LiveCodeBench's files: one of JSON lines for each release, as in the dataset livecodebench/code_generation_lite.

Its loading script is not needed, and not run. A local file may also hold several releases, if its rows say which
(`release`), and may lack private tests, if its rows say so (`private_tests_complete`).
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

from plum_hub.errors import BenchmarkError, HubError
from plum_hub.hubs.client import choose_target, fetch_file

Row: TypeAlias = Mapping[str, Any]

REPO = "livecodebench/code_generation_lite"
COMMIT = "0fe84c3912ea0c4d4a78037083943e8f0c4dd505"


@dataclass(frozen=True)
class Shard:
    """What one release added, as published: its file at `COMMIT`."""

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
"""Bytes; twice what the longest published row has."""
_COLUMNS = (
    "question_title", "question_content", "platform", "question_id", "contest_id", "contest_date", "starter_code",
    "difficulty", "public_test_cases", "private_test_cases", "metadata",
)  # fmt: skip


@dataclass(frozen=True)
class RowLocation:
    """Where a row is: the tests of all problems take many gigabytes, so each is read again when it is needed."""

    path: Path
    number: int
    """Of its line, from 1."""
    offset: int

    def __str__(self) -> str:
        return f"{self.path}:{self.number}"

    def read(self) -> Row:
        """The row.

        Raises:
            BenchmarkError: it is not there any more.
        """
        with _readable(self.path), _opened(self.path) as file:
            file.seek(self.offset)
            return _parsed(file.readline(), self)


class ProblemFiles:
    """The files that hold certain releases.

    Args:
        releases: their numbers, in order.
        source: a file; a folder with (or above) files; None for the Hub.

    Raises:
        BenchmarkError: there are none.
    """

    def __init__(self, releases: range, source: Path | None) -> None:
        self._releases = releases
        self._on_hub = source is None
        self._paths = _fetch_files(releases) if source is None else _find_files(releases, source)

    @cached_property
    def revision(self) -> str:
        """The dataset and its commit, if that is what these files hold; else the sha256 of what they hold."""
        published = [SHARDS[release].sha256 for release in self._releases]
        found = published if self._on_hub else [_sha256(path) for path in self._paths]
        if found == published:
            return f"{REPO}@{COMMIT}"
        return f"sha256:{found[0] if len(found) == 1 else hashlib.sha256(' '.join(found).encode()).hexdigest()}"

    def rows(self) -> Iterator[tuple[RowLocation, int, Row]]:
        """Every row of the releases, with its place and its release.

        Raises:
            BenchmarkError: a file cannot be read, a row is damaged or there twice, or rows are missing.
        """
        counts = dict.fromkeys(self._releases, 0)
        places: dict[str, RowLocation] = {}
        for path in self._paths:
            for place, row in _rows(path):
                release = _release(place, row)
                if release not in counts:
                    continue
                first = places.setdefault(row["question_id"], place)
                if first is not place:
                    raise BenchmarkError(f"{place}: question {row['question_id']!r} is there already, at {first}")
                counts[release] += 1
                yield place, release, row
        for release, count in counts.items():
            if count != SHARDS[release].problems:
                raise BenchmarkError(
                    f"{', '.join(map(str, self._paths))}: {count} problems of release_v{release}, of which there are "
                    f"{SHARDS[release].problems}: cut off, or another version; fetch {REPO} at {COMMIT}"
                )


def _fetch_files(releases: range) -> list[Path]:
    paths = []
    for release in releases:
        name = SHARDS[release].name
        try:
            path = fetch_file(REPO, COMMIT, name, choose_target("public"))
        except HubError as error:
            raise BenchmarkError(f"{REPO} at {COMMIT[:12]}: {error}; or give its files with --data") from error
        if path is None:
            raise BenchmarkError(f"{REPO} has no {name} at commit {COMMIT}: give its files with --data")
        paths.append(path)
    return paths


def _find_files(releases: range, source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise BenchmarkError(f"{source} does not exist: give --data a file of {REPO}, or a folder that holds its files")
    names = [(SHARDS[release].name, f"{SHARDS[release].name}.gz") for release in releases]
    shards = [next((path for name in pair for path in sorted(source.rglob(name))), None) for pair in names]
    if paths := [path for path in shards if path is not None]:
        missing = [name for (name, _), path in zip(names, shards, strict=True) if path is None]
        if missing:
            raise BenchmarkError(f"{source} lacks {', '.join(missing)}: fetch what is missing from {REPO}")
        return paths
    if paths := sorted(source.rglob(_LOCAL)):
        if len(paths) > 1:
            raise BenchmarkError(f"{source} holds several of {_LOCAL} ({paths[0]}, {paths[1]}, ...): name one")
        return paths
    raise BenchmarkError(f"{source} holds neither {names[0][0]} nor {_LOCAL}: fetch the files of {REPO}")


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _sha256(path: Path) -> str:
    """Of the content, without the compression."""
    with _readable(path), _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rows(path: Path) -> Iterator[tuple[RowLocation, Row]]:
    offset = 0
    with _readable(path), _opened(path) as file:
        for number in itertools.count(1):
            line = file.readline(_MAX_LINE)
            if not line:
                return
            place = RowLocation(path, number, offset)
            offset += len(line)
            if line.strip():
                yield place, _parsed(line, place)


def _parsed(line: bytes, place: RowLocation) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{place}: is no JSON, so the file is damaged or cut off: fetch it again") from error
    if not isinstance(row, dict):
        raise BenchmarkError(f"{place}: is no JSON object: give --data a file of {REPO}")
    if missing := [column for column in _COLUMNS if not isinstance(row.get(column), str)]:
        raise BenchmarkError(f"{place}: has no text in {', '.join(missing)}: give --data a file of {REPO}")
    return row


def _release(place: RowLocation, row: Row) -> int:
    """What the row says, or else the name of its file."""
    if match := re.fullmatch(r"release_v(\d)", str(row.get("release"))):
        return int(match[1])
    name = place.path.name.removesuffix(".gz")
    for release, shard in SHARDS.items():
        if shard.name == name:
            return release
    raise BenchmarkError(
        f"{place}: nothing says of which release it is: name the file as {REPO} does ({SHARDS[1].name}, "
        f"{SHARDS[2].name}, ...), or add a column `release` (release_v1, release_v2, ...)"
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BenchmarkError(f"{path} is cut off or no gzip ({error}): fetch it again, or drop `.gz`") from error
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read ({error.strerror}): mend that, or give another --data") from error
