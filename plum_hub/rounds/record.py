"""The content of `rounds.jsonl`: one model writes each line and reads it back."""

from typing import Self

from plum_hub.file_record import FileRecord
from plum_hub.publishing.repository import Released
from plum_hub.rounds.gain import RoundGain
from plum_hub.training.record import ModelRevision


class RoundDataset(FileRecord):
    """Where the dataset of a round was published; everything is None with `--hub none`."""

    repo: str | None
    """The repository, as NAMESPACE/NAME."""
    tag: str | None
    """Tag of the version."""
    commit: str | None
    """The commit that the tag stands for."""
    hub: str | None
    """Value of `--hub` that finds it again."""


class RoundModel(FileRecord):
    """The model that a round ended with, and where it was published."""

    optional_keys = frozenset({"repo", "tag", "commit", "hub"})

    name: str
    """Its folder."""
    revision: str
    """`sha256:…` of the folder's files."""
    repo: str | None = None
    """The repository, as NAMESPACE/NAME."""
    tag: str | None = None
    """Tag of the version."""
    commit: str | None = None
    """The commit that the tag stands for."""
    hub: str | None = None
    """Value of `--hub` that finds it again."""


class RoundRows(FileRecord):
    """Rows that a round trained on."""

    kept: int
    """Rows that were trained on."""
    chosen: int
    """Those that are chosen."""
    rejected: int
    """Those that are rejected."""


class RoundInstructions(FileRecord):
    """Instructions that a round trained on."""

    instructions: int
    """How many."""
    ids: str
    """Digest of their ids."""


class RoundRecord(FileRecord):
    """Everything that `rounds.jsonl` says of one round."""

    round: int
    """Number of the round, from 1."""
    at: str
    """When the round ended: ISO 8601, in UTC."""
    dataset: RoundDataset
    checkpoint: str
    """Path within the folder of rounds."""
    start: ModelRevision
    """Model that the round began with."""
    model: RoundModel
    rows: RoundRows
    steps: int
    """Optimiser steps of the round's training."""
    trained_on: RoundInstructions
    samples_each: int | None
    """Samples per instruction."""
    gain: RoundGain
    decision: str
    """Whether another round follows, and why."""

    def released(self, dataset: Released, model: Released) -> Self:
        """Say where a round was published.

        Args:
            dataset: The release of its dataset.
            model: The release of its model.

        Returns:
            The record with both.
        """
        places = [{"repo": one.repo, "tag": one.tag, "commit": one.commit, "hub": one.hub} for one in (dataset, model)]
        return self.model_copy(
            update={"dataset": RoundDataset(**places[0]), "model": self.model.model_copy(update=places[1])}
        )
