"""The files of a downloaded release: its manifest, their hashes, and whether they hold what they should."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from plum_hub.release.content import RowsDigest
from plum_hub.release.model_tree import CheckpointForm
from plum_hub.release.schemas import CONFIGS, Config, schema
from plum_hub.training.settings import Method
from plum_hub.verification.findings import Findings

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST, RECIPE, CARD = "manifest.json", "recipe.yaml", "README.md"
_UNLISTED = {MANIFEST, ".gitattributes"}
"""Files that no manifest names: itself, and the Hub's own."""
_NULLABLE = {"code", "license", "cpu_seconds", "peak_memory_mb"}


class _ManifestPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Hashed(_ManifestPart):
    """A file as a manifest names it."""

    path: str
    sha256: str
    size: int


class File(Hashed):
    """A file of a dataset."""

    rows: int | None


class CheckedCounts(_ManifestPart):
    """What was counted when the release was written."""

    conversational: bool
    rows: dict[Config, int]
    statuses: dict[str, int]
    chosen: int
    rejected: int
    dropped: dict[str, dict[str, int]]


class CheckedLineage(_ManifestPart):
    """What the release says it was made from, as far as it is checked."""

    policy: dict[str, Any]
    generator: dict[str, Any] | None
    suites_from: str | None
    samples_per_suite: int
    harness_version: str
    checker_version: str
    extraction: str = ""
    limits: dict[str, float]
    prompts: dict[str, str]
    packages: dict[str, str]


class PreviousEntry(_ManifestPart):
    """A release as a later one names it."""

    tag: str
    commit: str


class ManifestHeader(_ManifestPart):
    """What every manifest says of the release before it."""

    previous: PreviousEntry | None = None
    """None in the first, and in those of before this was written down."""


class CheckedManifest(ManifestHeader):
    """`manifest.json`, as far as it is checked."""

    lineage: CheckedLineage
    counts: CheckedCounts
    content: dict[Config, str] | None = None
    """None in releases of before the rows were digested."""
    files: tuple[File, ...]


class ModelBase(_ManifestPart):
    """The model that was trained."""

    name: str
    commit: str | None
    revision: str


class ModelData(_ManifestPart):
    """The rows of a training."""

    name: str
    revision: str
    sha256: str
    repo: str | None
    tag: str | None
    commit: str | None


class CheckedModelLineage(_ManifestPart):
    """What a model says it was made from, as far as it is checked."""

    form: CheckpointForm
    method: Method
    base: ModelBase
    data: ModelData
    on_policy: bool | None


class ModelManifest(_ManifestPart):
    """A model's `manifest.json`, as far as it is checked."""

    lineage: CheckedModelLineage
    files: tuple[Hashed, ...]


ManifestT = TypeVar("ManifestT", bound=_ManifestPart)


class UnreadableError(Exception):
    """A Parquet file is none; the message says which, and why."""


def read_manifest(folder: Path, findings: Findings, kind: type[ManifestT]) -> ManifestT | None:
    """The manifest; None where it is not there or not whole."""
    try:
        found = kind.model_validate(json.loads((folder / MANIFEST).read_bytes()))
    except FileNotFoundError:
        findings.wrong("manifest", MANIFEST, "a file", "not there: this is no release of plum-hub")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        findings.wrong("manifest", ".".join(map(str, first["loc"])), "a value", first["msg"])
    except (OSError, ValueError, RecursionError) as error:
        findings.wrong("manifest", MANIFEST, "JSON", str(error))
    else:
        findings.compared["manifest"] += 1
        return found
    return None


def check_files(folder: Path, manifest: CheckedManifest | ModelManifest, findings: Findings) -> None:
    """Hold every file against the manifest."""
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for file in manifest.files:
        path = there.pop(file.path, None)
        if path is None:
            findings.wrong("files", file.path, f"sha256 {file.sha256}", "not there")
            continue
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        findings.same("files", file.path, f"{file.size} bytes, sha256 {file.sha256}", f"{_size(path)}, sha256 {sha256}")
    for name in sorted(there.keys() - _UNLISTED):
        findings.wrong("files", name, "not in the manifest", _size(there[name]))


def _size(path: Path) -> str:
    return f"{path.stat().st_size} bytes"


def check_schemas(folder: Path, manifest: CheckedManifest, findings: Findings) -> None:
    """Whether every config has the columns that it should have, none of them null where a row must have a value."""
    listed = {file.path: file.rows for file in manifest.files}
    for config in CONFIGS:
        wanted = schema(config, conversational=manifest.counts.conversational)
        for path in tables(folder, config):
            name = path.relative_to(folder).as_posix()
            try:
                file = opened(path)
                found = file.schema_arrow.remove_metadata()
                findings.same("counts", f"rows of {name}", listed.get(name), file.metadata.num_rows)
                if found.equals(wanted):
                    _check_nulls(path, findings, name)
                else:
                    findings.wrong("schemas", name, _columns(wanted), _columns(found))
            except UnreadableError as error:
                findings.wrong("schemas", name, "a Parquet file", str(error))


def check_content(folder: Path, manifest: CheckedManifest, findings: Findings) -> None:
    """Digest the rows of every config again, which have the columns that they should have.

    Raises:
        UnreadableError: a file cannot be read to its end.
    """
    import pyarrow as pa

    for config, digest in (manifest.content or {}).items():
        rows = RowsDigest()
        wanted = schema(config, conversational=manifest.counts.conversational)
        for path in tables(folder, config):
            for batch in batches(path):
                rows.add(pa.Table.from_batches([batch]).cast(wanted))
        findings.same("content", f"rows of {config}", digest, rows.hexdigest())
    if manifest.content is not None:
        there = sorted(config for config in CONFIGS if tables(folder, config))
        findings.same("content", "configs", sorted(manifest.content), there)


def _columns(found: "pa.Schema") -> str:
    return ", ".join(f"{field.name} {field.type}" for field in found)


def tables(folder: Path, config: Config) -> list[Path]:
    """The Parquet files of a config, in order."""
    return sorted((folder / config).glob("*.parquet"))


def opened(path: Path) -> Any:
    """The Parquet file at `path`.

    Raises:
        UnreadableError: it is none.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise UnreadableError(f"{path.name}: {error}") from error


def batches(path: Path) -> "Iterator[pa.RecordBatch]":
    """The rows of a Parquet file, some thousands at a time.

    Raises:
        UnreadableError: it cannot be read to its end.
    """
    import pyarrow as pa

    stream = opened(path).iter_batches(batch_size=2_000)
    while True:
        try:
            batch = next(stream, None)
        except (OSError, pa.ArrowException) as error:
            raise UnreadableError(f"{path.name}: {error}") from error
        if batch is None:
            return
        yield batch


def _check_nulls(path: Path, findings: Findings, name: str) -> None:
    """Count the columns of a file, each of which has a value in every row where it must."""
    missing: Counter[str] = Counter()
    for batch in batches(path):
        missing.update({column: batch.column(column).null_count for column in batch.schema.names})
    for column, nulls in missing.items():
        findings.same("schemas", f"{name}, {column}, rows that are null", 0, 0 if column in _NULLABLE else nulls)
