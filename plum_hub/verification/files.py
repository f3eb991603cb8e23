"""The files of a downloaded release: its manifest, their hashes, and whether they hold what they should."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from plum_hub.release.content import RowsDigest
from plum_hub.release.manifest import MANIFEST, ManifestT, ModelManifest, VerifiableManifest, read_manifest
from plum_hub.release.reading import UnreadableError, config_files, open_parquet, read_batches
from plum_hub.release.schemas import CONFIGS, schema
from plum_hub.verification.findings import Findings

if TYPE_CHECKING:
    import pyarrow as pa

_UNLISTED = {MANIFEST, ".gitattributes"}
"""Files that no manifest names: itself, and the Hub's own."""
_NULLABLE = {"code", "license", "cpu_seconds", "peak_memory_mb"}


def check_manifest(folder: Path, findings: Findings, kind: type[ManifestT]) -> ManifestT | None:
    """The manifest; None where it is not there or not whole."""
    try:
        found = read_manifest(folder, kind)
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


def check_files(folder: Path, manifest: VerifiableManifest | ModelManifest, findings: Findings) -> None:
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


def check_schemas(folder: Path, manifest: VerifiableManifest, findings: Findings) -> None:
    """Whether every config has the columns that it should have, none of them null where a row must have a value."""
    listed = {file.path: file.rows for file in manifest.files}
    for config in CONFIGS:
        wanted = schema(config, conversational=manifest.counts.conversational)
        for path in config_files(folder, config):
            name = path.relative_to(folder).as_posix()
            try:
                file = open_parquet(path)
                found = file.schema_arrow.remove_metadata()
                findings.same("counts", f"rows of {name}", listed.get(name), file.metadata.num_rows)
                if found.equals(wanted):
                    _check_nulls(path, findings, name)
                else:
                    findings.wrong("schemas", name, _columns(wanted), _columns(found))
            except UnreadableError as error:
                findings.wrong("schemas", name, "a Parquet file", str(error))


def check_content(folder: Path, manifest: VerifiableManifest, findings: Findings) -> None:
    """Digest the rows of every config again, which have the columns that they should have.

    Raises:
        UnreadableError: a file cannot be read to its end.
    """
    import pyarrow as pa

    for config, digest in (manifest.content or {}).items():
        rows = RowsDigest()
        wanted = schema(config, conversational=manifest.counts.conversational)
        for path in config_files(folder, config):
            for batch in read_batches(path):
                rows.add(pa.Table.from_batches([batch]).cast(wanted))
        findings.same("content", f"rows of {config}", digest, rows.hexdigest())
    if manifest.content is not None:
        there = sorted(config for config in CONFIGS if config_files(folder, config))
        findings.same("content", "configs", sorted(manifest.content), there)


def _columns(found: "pa.Schema") -> str:
    return ", ".join(f"{field.name} {field.type}" for field in found)


def _check_nulls(path: Path, findings: Findings, name: str) -> None:
    """Count the columns of a file, each of which has a value in every row where it must."""
    missing: Counter[str] = Counter()
    for batch in read_batches(path):
        missing.update({column: batch.column(column).null_count for column in batch.schema.names})
    for column, nulls in missing.items():
        findings.same("schemas", f"{name}, {column}, rows that are null", 0, 0 if column in _NULLABLE else nulls)
