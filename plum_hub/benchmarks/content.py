"""Load a benchmark's rows from a local file, the Hub at one commit, or a release file.

Each origin is exactly one version.
"""

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from plum_hub.benchmarks.base import DATA_OPTION
from plum_hub.errors import BenchmarkError, HubError, InstructionsError
from plum_hub.files import writing
from plum_hub.home import home
from plum_hub.hubs.client import choose_target, fetch_file
from plum_hub.instructions.file_kinds import DAMAGED, FORMATS, is_supported, opened
from plum_hub.instructions.files import read_rows, why_unreadable

Row: TypeAlias = Mapping[str, Any]
"""One row of a benchmark's file: values by column."""

_TIMEOUT_SECONDS = 60.0
"""Timeout of the download of a release file."""
_MAX_BYTES = 1 << 26
"""Maximum size of a release file."""


@dataclass(frozen=True, kw_only=True)
class HubFiles:
    """Parquet files of a dataset on the public Hub, at one commit.

    Attributes:
        repo: The Hub repository.
        commit: The commit.
        paths: Paths in the repository, in the order of their rows.
    """

    repo: str
    commit: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class ReleaseFile:
    """A file that a project publishes at a fixed URL."""

    url: str


@dataclass(frozen=True, kw_only=True)
class BenchmarkVersion:
    """One version of a benchmark.

    Attributes:
        file: The published name of the file.
        sha256: SHA-256 of the uncompressed content, as hex digits.
        rows: Number of rows.
        columns: Columns that are read; a file may have more.
        origin: Where the file is published.
    """

    file: str
    sha256: str
    rows: int
    columns: frozenset[str]
    origin: HubFiles | ReleaseFile


@dataclass(frozen=True, kw_only=True)
class Content:
    """The content of a benchmark.

    Attributes:
        rows: The rows in file order.
        revision: `REPO@COMMIT`, or `sha256:` and the digits of the file's content.
    """

    rows: Sequence[Row]
    revision: str


def load_content(published: BenchmarkVersion, source: Path | None) -> Content:
    """Load the rows of a benchmark.

    Args:
        published: The version.
        source: A local file, or a folder that contains it; None downloads the published file.

    Returns:
        The rows and their revision.

    Raises:
        BenchmarkError: The content is unavailable, unreadable, or another version.
    """
    if source is not None:
        return _from_file(published, _find_file(published, source))
    match published.origin:
        case HubFiles() as hub:
            return _from_hub(published, hub)
        case ReleaseFile(url):
            return _from_release(published, url)


def _from_file(published: BenchmarkVersion, path: Path) -> Content:
    sha256 = hashlib.sha256(_uncompressed(path)).hexdigest()
    rows = _rows(path)
    if sha256 != published.sha256:
        raise BenchmarkError(
            f"{path} is another version of {published.file}: its content has sha256 {sha256[:16]}… and {len(rows)} rows"
            f", expected {published.sha256[:16]}… and {published.rows}{_missing(published, rows)}; "
            f"scores of different versions are not comparable: give {DATA_OPTION} the expected file"
        )
    return Content(rows=rows, revision=f"sha256:{sha256}")


def _from_hub(published: BenchmarkVersion, hub: HubFiles) -> Content:
    rows: list[Row] = []
    try:
        for path in hub.paths:
            file = fetch_file(hub.repo, hub.commit, path, choose_target("public"))
            if file is None:
                raise BenchmarkError(
                    f"{hub.repo} has no {path} at commit {hub.commit}: give the file with {DATA_OPTION}"
                )
            rows += _rows(file)
    except HubError as error:
        raise BenchmarkError(
            f"{hub.repo} at {hub.commit[:12]}: {error}; or give the file with {DATA_OPTION}"
        ) from error
    if len(rows) != published.rows or _missing(published, rows):
        raise BenchmarkError(
            f"{hub.repo} at {hub.commit[:12]} has {len(rows)} rows, expected {published.rows}"
            f"{_missing(published, rows)}: give the file with {DATA_OPTION}"
        )
    return Content(rows=rows, revision=f"{hub.repo}@{hub.commit}")


def _from_release(published: BenchmarkVersion, url: str) -> Content:
    """Download the file once; it is cached in `$PLUM_HUB_HOME/benchmarks`."""
    path = home() / "benchmarks" / f"{published.sha256[:16]}-{published.file}"
    if not path.exists():
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{os.getpid()}-{path.name}")
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
                partial.write_bytes(response.read(_MAX_BYTES))
            _from_file(published, partial)
            partial.replace(path)
        except (OSError, http.client.HTTPException) as error:
            raise BenchmarkError(f"{url} cannot be fetched ({error}): give its file with {DATA_OPTION}") from error
        finally:
            partial.unlink(missing_ok=True)
    return _from_file(published, path)


def _find_file(published: BenchmarkVersion, source: Path) -> Path:
    if not source.is_dir():
        if not source.is_file():
            raise BenchmarkError(
                f"{source} does not exist: give {DATA_OPTION} {published.file}, or a folder that contains it"
            )
        if not is_supported(source.name):
            raise BenchmarkError(f"{source} has an unknown file type: rename it to end in {FORMATS}")
        return source
    names = (published.file, published.file.removesuffix(".gz"))
    path = next((path for name in names for path in sorted(source.rglob(name)) if path.is_file()), None)
    if path is None:
        raise BenchmarkError(
            f"{source} contains no {published.file}: give {DATA_OPTION} the file, or a folder that contains it"
        )
    return path


def _uncompressed(path: Path) -> bytes:
    try:
        with opened(path) as file:
            return file.read()
    except (*DAMAGED, OSError) as error:
        raise BenchmarkError(why_unreadable(path, error)) from error


def _rows(path: Path) -> list[Row]:
    try:
        return [row for _, row in read_rows(path)]
    except InstructionsError as error:
        raise BenchmarkError(str(error)) from error


def _missing(published: BenchmarkVersion, rows: Sequence[Row]) -> str:
    missing = sorted({column for row in rows for column in published.columns - row.keys()})
    return f" with column{'s' * (len(missing) > 1)} {', '.join(missing)}" if missing else ""
