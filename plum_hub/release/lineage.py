"""What a release was made from, and what was counted while it was written: the facts of the card and the manifest."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from plum_hub.engines.base import EngineIdentity, Sampling
from plum_hub.execution.base import Limits
from plum_hub.release.schemas import Config

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def hub_id(name: str, revision: str) -> str | None:
    """`name` where it is a repository on a Hub; None for a path, whose revision is the sha256 of what lies there."""
    return name if _HUB_ID.fullmatch(name) and not revision.startswith("sha256:") else None


def published_name(name: str, revision: str) -> str:
    """`name` as it may be published: a path on this machine is cut to its last part."""
    return hub_id(name, revision) or PurePath(name).name


@dataclass(frozen=True, kw_only=True)
class InstructionSource:
    """Where instructions come from. `license` is what the source states about itself, None where it states nothing."""

    name: str
    revision: str
    license: str | None

    @property
    def public_name(self) -> str:
        """Its published name."""
        return published_name(self.name, self.revision)


@dataclass(frozen=True, kw_only=True)
class ModelProvenance:
    """A model that wrote text: the generator of suites or the policy. `weights` says what the weights are where that
    is known and not plain, as in "dequantised from Q4_K_M"; `dtype` the numbers that its engine computed in, where that
    is known."""

    identity: EngineIdentity
    sampling: Sampling
    weights: str | None = None
    dtype: str | None = None

    @property
    def name(self) -> str:
        """The model's published name; a server's own name for it may hold slashes too, so only a path is cut."""
        path = PurePath(self.identity.model)
        return path.name if path.is_absolute() else self.identity.model


@dataclass(frozen=True, kw_only=True)
class SelfConsistency:
    """How many of the generator's responses passed their own tests (the paper's Table 1)."""

    responses: int
    passed: int

    @property
    def percent(self) -> float:
        """The rate, from 0 to 100."""
        return 100 * self.passed / self.responses


@dataclass(frozen=True, kw_only=True)
class ContaminationReport:
    """A benchmark that the rows were held against, and how many of them were found in it."""

    benchmark: str
    revision: str
    tasks: int
    tests_run: bool
    """Whether samples were run against its tests; else only statements and solutions were compared."""
    instructions: int
    samples: int
    """How many instructions and samples were compared."""
    found: Mapping[str, int]
    """Rows by what found them: `instruction` (its text), and of samples `text`, `solution` and `behaviour`."""


@dataclass(frozen=True, kw_only=True)
class Decontamination:
    """What the rows were held against before the release, and what was found and left out."""

    ngram: int
    """Words of an n-gram."""
    overlap: float
    """A text was left out if it held a greater share of a statement's words."""
    smallest_solution: int
    """Nodes of the syntax tree of a solution that was looked for."""
    suspicious: float
    """The share of a statement's words in an instruction from which on its answers were run against the tests."""
    compared: tuple[ContaminationReport, ...]
    not_compared: tuple[str, ...]
    """Benchmarks of the recipe that were not at hand."""


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """What a dataset was made from."""

    sources: tuple[InstructionSource, ...]
    instructions: int
    """How many instructions were kept by the `instructions` stage."""
    policy: ModelProvenance
    samples_per_suite: int
    generator: ModelProvenance | None
    """None where the suites were taken from a published dataset that does not name it."""
    suites_from: str | None = None
    """`repo@tag` of the published dataset whose suites were used again."""
    self_consistency: SelfConsistency | None = None
    """None where no response was made in this run."""
    harness_version: str
    checker_version: str
    extraction: str = ""
    """Version of the rules that found programs in answers; "" where it was not recorded."""
    limits: Limits
    prompts: Mapping[str, str]
    """Digest of each prompt file, by its name."""
    packages: Mapping[str, str]
    """Versions of Python and of each package that could change a row, while rows were made."""
    decontamination: Decontamination
    """What the rows were held against."""

    def to_json(self) -> dict[str, Any]:
        """The lineage as JSON values; a model that lies in a folder goes by the folder's name."""
        values = asdict(self)
        for row, source in zip(values["sources"], self.sources, strict=True):
            row["name"] = source.public_name
        for role, author in (("policy", self.policy), ("generator", self.generator)):
            if author is not None:
                values[role]["identity"]["model"] = author.name
        return values


@dataclass(frozen=True, kw_only=True)
class ReleaseCounts:
    """What was seen and counted while a tree was written."""

    conversational: bool
    """Whether prompts are conversations; else they are plain text."""
    rows: Mapping[Config, int]
    """Rows of each config; a config without rows is not here, and not in the tree."""
    statuses: Mapping[str, int]
    """Verdicts by status."""
    chosen: int
    rejected: int
    dropped: Mapping[str, Mapping[str, int]]
    """Rows left out, by stage and reason."""
    pass_ratios: tuple[int, ...]
    """Suites by the share of their samples that pass them, in bins of equal width from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of the tree; `rows` is None where it is no table."""

    path: str
    sha256: str
    size: int
    rows: int | None


@dataclass(frozen=True)
class PreviousRelease:
    """The release before this one on its branch."""

    tag: str
    commit: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `manifest.json` says: the lineage, the counts, the columns, every other file of the tree, and the release
    before it, so that each release vouches for the tags before its own."""

    lineage: Lineage
    counts: ReleaseCounts
    columns: Mapping[Config, Mapping[str, str]]
    """The type of each column, by the config's name."""
    content: Mapping[Config, str]
    """Digest of each config's rows (`content.RowsDigest`), whatever bytes they are stored as."""
    files: tuple[FileEntry, ...]
    previous: PreviousRelease | None = None
    """None for the first, whose `manifest.json` has no such key."""

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON values."""
        previous = {} if self.previous is None else {"previous": asdict(self.previous)}
        return previous | {
            "lineage": self.lineage.to_json(),
            "counts": asdict(self.counts),
            "columns": self.columns,
            "content": self.content,
            "files": [asdict(file) for file in self.files],
        }
