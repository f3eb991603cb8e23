"""`manifest.json` of a released dataset and of a published model: one typed model, which is written and read back.

A release that an earlier version wrote lacks what was not recorded then, so reading asks for less than writing gives:
`ManifestHeader` and `VerifiableManifest` are the parts of a dataset's `Manifest` that every release has.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from plum_hub.release.lineage import Lineage, RowsLineage
from plum_hub.release.model_lineage import ModelLineage
from plum_hub.release.schemas import Config, Evidence
from plum_hub.statistics import Distribution

CARD, MANIFEST, RECIPE = "README.md", "manifest.json", "recipe.yaml"
"""Names of a release's files."""


@dataclass(frozen=True, kw_only=True)
class HashedFile:
    """One file of a release."""

    path: str
    """Relative to the release's folder, with `/`."""
    sha256: str
    """SHA-256 of its content, as 64 hexadecimal digits."""
    size: int
    """In bytes."""


@dataclass(frozen=True, kw_only=True)
class FileEntry(HashedFile):
    """One file of a dataset."""

    rows: int | None
    """Rows of a table; None for any other file."""


@dataclass(frozen=True)
class PreviousRelease:
    """The release before this one on its branch."""

    tag: str
    """Its tag, as in `v1.0.0`."""
    commit: str
    """The commit that this tag stood for when the new release was made."""


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """What the rows of a release add up to: the counts that `verify` checks."""

    conversational: bool
    """Whether prompts are conversations; else they are plain text."""
    rows: Mapping[Config, int]
    """Rows of each config. A config without rows is neither here nor in the release."""
    statuses: Mapping[str, int]
    """Verdicts by status."""
    chosen: int
    """Samples labelled chosen."""
    rejected: int
    """Samples labelled rejected."""
    dropped: Mapping[str, Mapping[str, int]]
    """Rows that were left out, by stage and reason."""
    strength: Distribution | None = None
    """Mutation scores of the suites, for which `test_suites` has more columns; absent if they were not measured."""
    dual_agreement: Distribution | None = None
    """Dual agreement of the suites' samples and cases, for which `test_suites` has more columns; absent if the strength
    was not measured, and in releases from before it was recorded."""
    agreement: Distribution | None = None
    """Mean shares of the voters that pass a suite's cases, for which `test_suites` has more columns; absent without a
    vote."""
    roles: Mapping[str, int] | None = None
    """Cases of the suites by their role, for which `test_suites` has a column more; absent if the recipe asks for no
    roles."""
    pass_ratios: tuple[int, ...] | None = None
    """Suites by the share of their samples that pass them: a histogram with bins of equal width from 0 to 1; None in
    releases from before it was recorded."""

    @property
    def evidence(self) -> frozenset[Evidence]:
        """The evidence about the suites, for which `test_suites` has more columns."""
        summaries: dict[Evidence, Distribution | None] = {
            "strength": self.strength,
            "discrimination": self.dual_agreement,
            "vote": self.agreement,
        }
        found: list[Evidence] = [name for name, summary in summaries.items() if summary is not None]
        return frozenset(found if self.roles is None else [*found, "roles"])


@dataclass(frozen=True, kw_only=True)
class ReleaseCounts(RowCounts):
    """Everything that was counted while the tables of a release were written."""

    pass_ratios: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ManifestHeader:
    """The part of a manifest that links it to the release before, so that each release vouches for earlier tags."""

    previous: PreviousRelease | None = None
    """None for the first release, and in releases from before it was recorded."""


@dataclass(frozen=True, kw_only=True)
class VerifiableManifest(ManifestHeader):
    """The part of a dataset's manifest that `verify` needs."""

    lineage: RowsLineage
    counts: RowCounts
    content: Mapping[Config, str] | None = None
    """Digest of each config's rows (`content.RowsDigest`), whatever bytes store them; None in releases from before it
    was recorded."""
    files: tuple[FileEntry, ...]
    """Every file of the release but the manifest."""


@dataclass(frozen=True, kw_only=True)
class Manifest(VerifiableManifest):
    """A dataset's whole manifest, as it is written."""

    lineage: Lineage
    counts: ReleaseCounts
    columns: Mapping[Config, Mapping[str, str]]
    """The type of each column, by config and column name."""
    content: Mapping[Config, str]

    def to_json(self) -> dict[str, object]:
        """Return the manifest as JSON values, without `previous` and the summaries of evidence that there is not."""
        previous = {} if self.previous is None else {"previous": asdict(self.previous)}
        counts = {name: value for name, value in asdict(self.counts).items() if value is not None}
        return _as_read(
            previous
            | {
                "lineage": self.lineage.to_json(),
                "counts": counts,
                "columns": self.columns,
                "content": self.content,
                "files": [asdict(file) for file in self.files],
            }
        )


@dataclass(frozen=True, kw_only=True)
class ModelManifest:
    """A model's manifest."""

    lineage: ModelLineage
    files: tuple[HashedFile, ...]
    """Every file of the release but the manifest."""

    def to_json(self) -> dict[str, object]:
        """Return the manifest as JSON values."""
        return _as_read({"lineage": asdict(self.lineage), "files": [asdict(file) for file in self.files]})


def _as_read(values: dict[str, object]) -> dict[str, object]:
    """Return values as reading the file would give them, so that manifests can be compared: lists, no tuples."""
    found: dict[str, object] = json.loads(json.dumps(values))
    return found


ManifestT = TypeVar("ManifestT", ManifestHeader, VerifiableManifest, Manifest, ModelManifest)


def read_manifest(folder: Path, kind: type[ManifestT]) -> ManifestT:
    """Read the manifest of a release, or the part of it that is needed.

    Args:
        folder: The release's folder.
        kind: What to read. Keys that it does not know are ignored, so releases of later versions can be read too.

    Returns:
        The manifest, or the part.

    Raises:
        FileNotFoundError: There is no manifest.
        OSError: It cannot be read.
        pydantic.ValidationError: A value is missing or has the wrong type; a `ValueError`.
        ValueError: It is not JSON.
        RecursionError: It is nested too deeply.
    """
    return TypeAdapter(kind).validate_python(json.loads((folder / MANIFEST).read_bytes()))


def hashed_file(root: Path, path: Path) -> HashedFile:
    """Hash a file for the manifest.

    Args:
        root: The release's folder.
        path: A file in it.

    Returns:
        The file's entry.
    """
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return HashedFile(path=path.relative_to(root).as_posix(), sha256=sha256, size=path.stat().st_size)
