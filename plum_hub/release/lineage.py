"""What a released dataset was made from: the facts of its card and manifest."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Self

from plum_hub.engines.base import EngineIdentity, Sampling
from plum_hub.execution.base import Limits

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_SOURCE = re.compile(rf"{_HUB_ID.pattern}(?:@[^:]+)?(?::.+)?")
"""A dataset on a Hub, as a recipe names it: perhaps at a revision, perhaps with the column of the tasks."""


def hub_id(name: str, revision: str) -> str | None:
    """Tell whether a source or model is a repository on a Hub.

    Args:
        name: Its name: `NAMESPACE/NAME`, or a path.
        revision: Its revision; that of a path is `sha256:…` of its content.

    Returns:
        The name of the repository, or None for a path.
    """
    return name if _HUB_ID.fullmatch(name) and not revision.startswith("sha256:") else None


def published_name(name: str, revision: str) -> str:
    """Shorten a name to what may be published, which excludes the paths of this machine.

    Args:
        name: The name of a source or model: `NAMESPACE/NAME[@REVISION][:COLUMN]`, or a path.
        revision: Its revision; that of a path is `sha256:…` of its content.

    Returns:
        The name of the repository as it is given, or the last part of the path.
    """
    if name.startswith("hf://"):  # a file of a dataset
        return name
    is_path = revision.startswith("sha256:") or not _HUB_SOURCE.fullmatch(name)
    return PurePath(name).name if is_path else name


@dataclass(frozen=True, kw_only=True)
class InstructionSource:
    """A dataset or file that instructions come from."""

    name: str
    """The dataset's repository, or the path of the file."""
    revision: str
    """A commit, or `sha256:…` of a file's content."""
    license: str | None
    """The licence that the source states; None where it states none."""

    @property
    def public_name(self) -> str:
        """The name without the path of this machine."""
        return published_name(self.name, self.revision)


@dataclass(frozen=True, kw_only=True)
class ModelProvenance:
    """A model that generated text: the generator of the suites, or the policy."""

    identity: EngineIdentity
    sampling: Sampling
    weights: str | None = None
    """Where the weights come from if they are not the original ones, as in "dequantised from Q4_K_M"."""
    dtype: str | None = None
    """The data type that the engine computed in; None where it is not known."""

    @property
    def name(self) -> str:
        """The model's published name. Only a path is shortened: a server's own model names may contain slashes too."""
        path = PurePath(self.identity.model)
        return path.name if path.is_absolute() else self.identity.model


@dataclass(frozen=True, kw_only=True)
class SelfConsistency:
    """How many of the generator's responses passed their own tests (PLUM, arXiv 2406.06887, Table 1)."""

    responses: int
    """Answers of the generator."""
    passed: int
    """Those whose reference passes their own tests."""

    @property
    def percent(self) -> float:
        """The share that passed, from 0 to 100."""
        return 100 * self.passed / self.responses


@dataclass(frozen=True)
class AddedCases:
    """What was added to suites to make them stronger (`suites.strengthen`)."""

    suites: int
    """Suites in all."""
    strengthened: int
    """Suites that got cases."""
    cases: int
    """Cases that were added."""

    @classmethod
    def of(cls, counts: Iterable[int]) -> Self:
        """Sum up suites.

        Args:
            counts: The number of added cases of each suite.

        Returns:
            The sums.
        """
        more = list(counts)
        return cls(suites=len(more), strengthened=sum(map(bool, more)), cases=sum(more))


@dataclass(frozen=True, kw_only=True)
class ContaminationReport:
    """How much of a benchmark was found in the rows."""

    benchmark: str
    """Its usual name, as in `humaneval+`."""
    revision: str
    """Commit of the benchmark, or `sha256:…` of its file."""
    tasks: int
    """Tasks of the benchmark."""
    tests_run: bool
    """Whether samples were run against the benchmark's tests; else only statements and solutions were compared."""
    instructions: int
    """Instructions that were compared."""
    samples: int
    """Samples that were compared."""
    found: Mapping[str, int]
    """Rows that were found, by how: instructions by their text (`instruction`), samples by `text`, `solution` and
    `behaviour`."""


@dataclass(frozen=True, kw_only=True)
class Decontamination:
    """Which benchmarks the rows were compared with before the release, how, and what was found and left out."""

    ngram: int
    """Words in an n-gram."""
    overlap: float
    """Share of a task statement's words, from 0 to 1, above which a text that contains them was left out."""
    smallest_solution: int
    """Syntax-tree nodes that a benchmark's solution must have to be searched for."""
    suspicious: float
    """Share of a task statement's words in an instruction, from 0 to 1, from which its answers were run against the
    benchmark's tests."""
    compared: tuple[ContaminationReport, ...]
    not_compared: tuple[str, ...]
    """Benchmarks of the recipe that were not available."""


@dataclass(frozen=True, kw_only=True)
class RowsLineage:
    """What decided the rows of a dataset: the part of its lineage that `verify` checks against recipe and rows."""

    sources: tuple[InstructionSource, ...]
    policy: ModelProvenance
    samples_per_suite: int
    """Answers that the policy was asked for each suite (`samples.per_instruction`)."""
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

    instructions: int
    """Instructions that the `instructions` stage kept."""
    self_consistency: SelfConsistency | None = None
    """None where this run generated no response."""
    added_cases: AddedCases | None = None
    """None where the recipe asks for none, and in releases from before it was recorded."""
    decontamination: Decontamination

    def to_json(self) -> dict[str, object]:
        """Return the lineage as JSON values. A model that lies in a local folder is named by the folder's last part."""
        values = asdict(self)
        for row, source in zip(values["sources"], self.sources, strict=True):
            row["name"] = source.public_name
        for role, author in (("policy", self.policy), ("generator", self.generator)):
            if author is not None:
                values[role]["identity"]["model"] = author.name
        if self.added_cases is None:
            del values["added_cases"]
        return values
