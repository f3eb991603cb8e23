"""What a published model was trained from: the facts of its card and manifest."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from plum_hub.release.schemas import Method

CheckpointForm: TypeAlias = Literal["adapter", "merged", "full"]
"""What is published: LoRA adapters, the base with the adapters merged into it, or weights that were all trained."""


@dataclass(frozen=True, kw_only=True)
class BaseModelRef:
    """The model that was trained."""

    name: str
    """A repository on a Hub, or the last part of a local folder's path."""
    commit: str | None
    """Commit of the repository; None for a folder."""
    revision: str
    """What was trained: that commit, or `sha256:…` of the folder's files."""
    weights: str | None
    """Where the weights come from if they are not the original ones, as in "dequantised from Q4_K_M"."""
    license: str | None
    """The licence that its card states; None where it states none."""


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """The rows of a training."""

    name: str
    """A run, a file, or a repository."""
    revision: str
    """A commit, or `sha256:…` of the run's recipe or of the file."""
    rows: int
    """How many."""
    sha256: str
    """Digest of the rows as the training read them."""
    repo: str | None
    """The dataset on a Hub that holds exactly these rows; None, like `tag` and `commit`, where none is known."""
    tag: str | None
    """Tag of that dataset's version."""
    commit: str | None
    """The commit that the tag stands for."""
    licenses: tuple[str | None, ...]
    """Licences of the sources; None for each source that states none."""
    config: Method | None = None
    """The config of `repo` that has the rows; None where it is not a release of plum-hub, and in releases from before
    it was recorded."""


@dataclass(frozen=True, kw_only=True)
class ModelLineage:
    """What a model was made from."""

    form: CheckpointForm
    """What is published: `adapter`, `merged` (the base with the adapters in it), or `full`."""
    method: Method
    """`kto`, `dpo` or `sft`."""
    base: BaseModelRef
    data: TrainedOn
    on_policy: bool | None
    """Whether the base sampled the rows itself; None where it is not known who did."""
