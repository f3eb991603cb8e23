"""What evaluations say of a model and of its base, for the card. An evaluation is taken for one of them only if it
asked exactly those weights, by their digest or commit."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from plum_hub.cards import ModelResults
from plum_hub.engines.revision import folder_sha256
from plum_hub.errors import UsageError
from plum_hub.evaluation.cards import eval_results, model_index, table
from plum_hub.evaluation.comparison import PairedComparison, compare
from plum_hub.evaluation.folder import EvaluationFolder
from plum_hub.publishing.model_checkpoint import TrainedCheckpoint
from plum_hub.records import Score
from plum_hub.training.checkpoint import MERGED


@dataclass(frozen=True)
class MeasuredScores:
    """Scores for a card, and the files of `.eval_results`."""

    results: ModelResults | None
    files: dict[str, str]


def measured(folders: Sequence[Path], trained: TrainedCheckpoint, base_revision: str, name: str) -> MeasuredScores:
    """Sort evaluations' folders into those of the model and its base, and read them.

    Args:
        folders: at most one of each.
        trained: the model.
        base_revision: which base was trained.
        name: of the model, in the `model-index`.

    Raises:
        RunError: a folder has no scores.
        UsageError: an evaluation asked another model, or two asked the same; or nothing measured this one.
    """
    whole = trained.folder / MERGED if trained.facts["decided"]["weights"] == "lora" else trained.folder
    own = f"sha256:{folder_sha256(whole)}" if (whole / "config.json").is_file() else None
    found: dict[str, Path] = {}
    for folder in folders:
        scores = _scores(folder)
        revisions = {score.model_revision for score in scores}
        role = "model" if revisions == {own} else "base" if revisions == {base_revision} else ""
        if not role:
            raise UsageError(
                f"--results {folder}: asked {scores[0].model} at {', '.join(sorted(revisions))}, which is neither this "
                f"model ({own or 'has no merged weights'}) nor its base ({base_revision}); evaluate one of them"
            )
        if role in found:
            raise UsageError(f"--results: {found[role]} and {folder} both asked the {role}; give one of them")
        found[role] = folder
    if "model" not in found:
        if found:
            raise UsageError("--results: the base was measured and the model not; evaluate it, and give both folders")
        return MeasuredScores(None, {})
    return _measured(found, merged=own is not None and trained.form != "full", name=name)


def _measured(found: dict[str, Path], *, merged: bool, name: str) -> MeasuredScores:
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
