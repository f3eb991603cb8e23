"""What a release was made from, and what was counted while it was written: the facts of the card and the manifest."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from plum_hub.engines.base import EngineIdentity, Sampling
from plum_hub.execution.base import Limits

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
class RowsLineage:
    """What decided the rows of a dataset: the part of its lineage that `verify` checks against the recipe."""

    policy: ModelProvenance
    samples_per_suite: int
    generator: ModelProvenance | None
    """None where the suites were taken from a published dataset that does not name it."""
    suites_from: str | None = None
    """`REPO@TAG` of the published dataset that the suites were taken from; None where they were generated."""
    harness_version: str
    """Version of the sandbox that judged the samples."""
    checker_version: str
    """Version of the static check."""
    extraction: str = ""
    """Version of the rules that extracted programs from answers; "" in releases from before it was recorded."""
    limits: Limits
    prompts: Mapping[str, str]
    """Digest of each prompt file, by its name."""
    packages: Mapping[str, str]
    """Versions of Python and of each package that can change a row."""


@dataclass(frozen=True, kw_only=True)
class Lineage(RowsLineage):
    """What a dataset was made from, and what was measured on the way: the facts of its card and manifest."""

    sources: tuple[InstructionSource, ...]
    instructions: int
    """Instructions that the `instructions` stage kept."""
    self_consistency: SelfConsistency | None = None
    """None where this run generated no response."""
    decontamination: Decontamination

    def to_json(self) -> dict[str, Any]:
        """Return the lineage as JSON values. A model that lies in a local folder is named by the folder's last part."""
        values = asdict(self)
        for row, source in zip(values["sources"], self.sources, strict=True):
            row["name"] = source.public_name
        for role, author in (("policy", self.policy), ("generator", self.generator)):
            if author is not None:
                values[role]["identity"]["model"] = author.name
        return values
