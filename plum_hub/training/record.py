"""The content of `training.json`: one model writes the file and reads it back."""

import json
from typing import Any, Literal

from pydantic import AliasChoices, Field, model_serializer

from plum_hub.file_record import FileRecord
from plum_hub.training.balance import LabelWeights
from plum_hub.training.preflight import Preflight
from plum_hub.training.settings import TrainingSettings


class ModelRevision(FileRecord):
    """A model by public name and revision."""

    name: str
    """Its repository, or the last part of a folder's path."""
    revision: str
    """Commit, or `sha256:…` of a folder's files."""


class ResolvedSettings(FileRecord):
    """What `auto` and unset settings resolved to when the training first started."""

    optional_keys = frozenset({"batch_size", "accumulation"})

    weights: Literal["lora", "full"]
    """Which weights are trained: adapters or all."""
    precision: Literal["bf16", "fp32"]
    """What is computed in."""
    gradient_checkpointing: bool
    """Whether activations are recomputed in the backward pass."""
    reference: Literal["precomputed", "live"]
    """When the reference model's log-probabilities are computed: before the first step, or at each."""
    learning_rate: float
    """The peak learning rate."""
    batch_size: int | None = None
    """Rows (dpo: pairs) per device batch; None in trainings that had a fixed default."""
    accumulation: int | None = None
    """Device batches per optimiser step; None in trainings that had a fixed default."""

    def apply(self, settings: TrainingSettings) -> TrainingSettings:
        """Fix the resolved settings, so that a resumed training does not resolve them again.

        Args:
            settings: Settings as the user gave them.

        Returns:
            The settings with every resolved value in place.
        """
        return settings.model_copy(update=self.model_dump())


class DataRecord(FileRecord):
    """The rows of a training, by name and digest."""

    name: str
    """Run, repository or file."""
    revision: str
    """Commit, or `sha256:…` of a run's recipe or of a file."""
    rows: int
    """Rows that were read."""
    sha256: str
    """SHA-256 of the rows as JSON, in the order in which they were read."""
    written_by: ModelRevision | None
    """Model that sampled the answers; None where the source does not say."""


class EpochRows(FileRecord):
    """Rows of one KTO epoch."""

    rows: int
    """Rows that the epoch trains on."""
    left_out: dict[str, int]
    """Rows without a place in a valid batch, by reason."""


class TrainingRows(FileRecord):
    """How many rows were read, left out and trained on."""

    optional_keys = frozenset({"columns_not_read", "merged", "sequences"})

    read: int
    """Rows of the source."""
    left_out: dict[str, int]
    """Rows that do not fit `max_length`, or whose prompt is not a prefix, by reason."""
    kept: int
    """Rows that fit, and are trained on."""
    chosen: int
    """Chosen answers among them."""
    rejected: int
    """Rejected answers among them."""
    instructions: int
    """Different instructions among them."""
    longest: int
    """Tokens of the longest row that was kept."""
    epochs: tuple[EpochRows, ...]
    """One entry per KTO epoch; empty for the other methods."""
    merged: int | None = None
    """Rows in which one token spans the end of the prompt and the beginning of the answer, and is learned with it."""
    columns_not_read: list[str] | None = None
    """Columns by which TRL would train differently, and that were ignored."""
    sequences: int | None = None
    """Packed sequences; None without packing."""


class MemoryRecord(FileRecord):
    """Memory in GB (10^9 bytes) when the training started."""

    estimated: float
    """What the training was expected to need."""
    free: float
    """What was free."""


class TrainingTime(FileRecord):
    """How long the last start of a training took."""

    of_last_start: float = Field(validation_alias=AliasChoices("of the last start", "of_last_start"))
    """Seconds."""
    from_step: int = Field(validation_alias=AliasChoices("from step", "from_step"))
    """Step that the last start resumed from; 0 where it was the first."""

    @model_serializer(mode="plain")
    def _with_spaces(self) -> dict[str, Any]:
        return {"of the last start": self.of_last_start, "from step": self.from_step}


class TrainingRecord(FileRecord):
    """Everything that `training.json` says: settings, model, data, row order, versions and outcome."""

    optional_keys = frozenset({"preflight", "seconds", "peak_gb"})

    finished: bool
    """Whether the last step was made and the weights are written."""
    settings: TrainingSettings
    decided: ResolvedSettings
    class_weights: LabelWeights
    model: ModelRevision
    """Model that is trained."""
    data: DataRecord
    on_policy: bool | None
    """Whether the trained model sampled the answers; None where the source does not say who did."""
    processes: int
    """Processes that train together, one per GPU."""
    rows: TrainingRows
    steps: int
    """Optimiser steps of the whole training."""
    memory_gb: MemoryRecord
    versions: dict[str, str]
    """Versions of Python and of the packages that decide the result."""
    preflight: Preflight | None = None
    """KTO only."""
    seconds: TrainingTime | None = None
    """None until the training is finished."""
    peak_gb: float | None = None
    """Peak memory of the GPU, else of the process, in GB (10^9 bytes); None until the training is finished."""

    def to_json(self) -> str:
        """Serialise the record as `training.json`.

        Returns:
            Indented JSON that ends with a newline.
        """
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
