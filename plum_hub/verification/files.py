"""Checks on the files of a downloaded release: manifest, hashes, schemas and digests of rows."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from plum_hub.release.content import RowsDigest
from plum_hub.release.manifest import (
    MANIFEST,
    ManifestT,
    ModelManifest,
    RowCounts,
    VerifiableManifest,
    read_manifest,
)
from plum_hub.release.reading import UnreadableError, config_files, open_parquet, read_batches
from plum_hub.release.schemas import CONFIGS, Config, schema
from plum_hub.verification.findings import Findings

if TYPE_CHECKING:
    import pyarrow as pa

_UNLISTED = {MANIFEST, ".gitattributes"}
"""Files that a manifest does not name: itself, and the Hub's own."""
_NULLABLE = {
    "code",
    "license",
    "cpu_seconds",
    "peak_memory_mb",
    "mutation_score",
    "statement_coverage",
    "branch_coverage",
    "pass_rate",
    "dual_agreement",
}
"""Columns that may be null."""


def check_manifest(folder: Path, findings: Findings, kind: type[ManifestT]) -> ManifestT | None:
    """Read the manifest of a release.

    Args:
        folder: The release's folder.
        findings: Receives the result.
        kind: The part of the manifest that is needed.

    Returns:
        The manifest, or None if it is missing or incomplete.
    """
    try:
        found = read_manifest(folder, kind)
    except FileNotFoundError:
        findings.fail("manifest", MANIFEST, "a file", "not there: this is not a release of plum-hub")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        findings.fail("manifest", ".".join(map(str, first["loc"])), "a value", first["msg"])
    except (OSError, ValueError, RecursionError) as error:
        findings.fail("manifest", MANIFEST, "JSON", str(error))
    else:
        findings.compared["manifest"] += 1
        return found
    return None


def check_files(folder: Path, manifest: VerifiableManifest | ModelManifest, findings: Findings) -> None:
    """Compare the size and hash of every file with the manifest.

    Args:
        folder: The release's folder.
        manifest: Its manifest.
        findings: Receives the results.
    """
    present = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for file in manifest.files:
        path = present.pop(file.path, None)
        if path is None:
            findings.fail("files", file.path, f"sha256 {file.sha256}", "not there")
            continue
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        findings.compare(
            "files", file.path, f"{file.size} bytes, sha256 {file.sha256}", f"{_size(path)}, sha256 {sha256}"
        )
    for name in sorted(present.keys() - _UNLISTED):
        findings.fail("files", name, "not in the manifest", _size(present[name]))


def _size(path: Path) -> str:
    return f"{path.stat().st_size} bytes"


def check_schemas(folder: Path, manifest: VerifiableManifest, findings: Findings) -> None:
    """Check that every config has the columns of a release, without nulls where a value is required.

    Args:
        folder: The release's folder.
        manifest: Its manifest.
        findings: Receives the results.
    """
    listed = {file.path: file.rows for file in manifest.files}
    for config in CONFIGS:
        expected = _schema(config, manifest.counts)
        for path in config_files(folder, config):
            name = path.relative_to(folder).as_posix()
            try:
                file = open_parquet(path)
                found = file.schema_arrow.remove_metadata()
                findings.compare("counts", f"rows of {name}", listed.get(name), file.metadata.num_rows)
                if found.equals(expected):
                    _check_nulls(path, findings, name)
                else:
                    findings.fail("schemas", name, _columns(expected), _columns(found))
            except UnreadableError as error:
                findings.fail("schemas", name, "a Parquet file", str(error))


def check_content(folder: Path, manifest: VerifiableManifest, findings: Findings) -> None:
    """Compare the digest of every config's rows with the manifest. The schemas must have been checked before.

    Args:
        folder: The release's folder.
        manifest: Its manifest; one without digests is not checked.
        findings: Receives the results.

    Raises:
        UnreadableError: A file cannot be read to its end.
    """
    import pyarrow as pa

    for config, digest in (manifest.content or {}).items():
        rows = RowsDigest()
        expected = _schema(config, manifest.counts)
        for path in config_files(folder, config):
            for batch in read_batches(path):
                rows.add(pa.Table.from_batches([batch]).cast(expected))
        findings.compare("content", f"rows of {config}", digest, rows.hexdigest())
    if manifest.content is not None:
        present = sorted(config for config in CONFIGS if config_files(folder, config))
        findings.compare("content", "configs", sorted(manifest.content), present)


def _schema(config: Config, counts: RowCounts) -> "pa.Schema":
    return schema(config, conversational=counts.conversational, evidence=counts.evidence)


def _columns(found: "pa.Schema") -> str:
    return ", ".join(f"{field.name} {field.type}" for field in found)


def _check_nulls(path: Path, findings: Findings, name: str) -> None:
    """Check the columns of a file for nulls where a value is required."""
    missing: Counter[str] = Counter()
    for batch in read_batches(path):
        missing.update({column: batch.column(column).null_count for column in batch.schema.names})
    for column, nulls in missing.items():
        findings.compare("schemas", f"{name}, {column}, rows that are null", 0, 0 if column in _NULLABLE else nulls)
