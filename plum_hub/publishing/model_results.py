"""Scores of a model and of its base from evaluations, for the card.

An evaluation counts for one of them only if it evaluated exactly those weights, by their digest or commit.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from plum_hub.cards import ModelResults
from plum_hub.errors import UsageError
from plum_hub.evaluation.cards import eval_results, model_index, table
from plum_hub.evaluation.comparison import PairedComparison, compare
from plum_hub.evaluation.folder import EvaluationFolder
from plum_hub.publishing.model_checkpoint import TrainedCheckpoint
from plum_hub.records import Score
from plum_hub.training.checkpoint import trained_models


@dataclass(frozen=True)
class MeasuredScores:
    """Scores for a card, and the files of `.eval_results`."""

    results: ModelResults | None
    """None where no evaluation was given."""
    files: dict[str, str]
    """Content of each file, by name."""


def read_scores(folders: Sequence[Path], trained: TrainedCheckpoint, name: str) -> MeasuredScores:
    """Read the evaluations of a model and its base, in either order.

    Args:
        folders: Folders of evaluations, at most one of each.
        trained: The model.
        name: Name of the model in the `model-index`.

    Returns:
        Scores, and the comparison where both were evaluated.

    Raises:
        RunError: A folder has no valid scores.
        UsageError: An evaluation is of another model, two are of the same, or none is of this model.
    """
    base_revision = trained.record.model.revision
    own = trained_models(trained.folder)
    found: dict[str, Path] = {}
    for folder in folders:
        scores = _scores(folder)
        revisions = {score.model_revision for score in scores}
        role = (
            "model"
            if len(revisions) == 1 and revisions <= own.keys()
            else "base"
            if revisions == {base_revision}
            else ""
        )
        if not role:
            raise UsageError(
                f"--results {folder}: evaluated {scores[0].model} at {', '.join(sorted(revisions))}, which is neither "
                f"this model ({' or '.join(own)}) nor its base ({base_revision}); evaluate one of them"
            )
        if role in found:
            raise UsageError(f"--results: {found[role]} and {folder} both evaluated the {role}; give one of them")
        found[role] = folder
    if "model" not in found:
        if found:
            raise UsageError("--results: the base was evaluated and the model not; evaluate it, and give both folders")
        return MeasuredScores(None, {})
    measured = own[_scores(found["model"])[0].model_revision]
    return _results(found, merged=measured != trained.folder, name=name)


def _results(found: dict[str, Path], *, merged: bool, name: str) -> MeasuredScores:
    """Put the scores into the forms that the card and the Hub need."""
    scores = _scores(found["model"])
    base = _scores(found["base"]) if "base" in found else None
    comparison = compare(found["base"], found["model"]) if base else PairedComparison((), ())
    index: list[Any] = yaml.safe_load(model_index(scores, name))["model-index"]
    results = ModelResults(
        merged=merged,
        table=table(scores),
        base_table=table(base) if base else None,
        gains=tuple(asdict(gain) for gain in comparison.gains),
        notes=comparison.notes,
        index=index,
    )
    return MeasuredScores(results, eval_results(scores))


def _scores(folder: Path) -> tuple[Score, ...]:
    return EvaluationFolder(folder).scores().scores
