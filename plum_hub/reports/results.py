"""Trainings and evaluations, and what was gained. `matching` says which of them belong together."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from plum_hub.errors import RunError, UsageError
from plum_hub.evaluation.cards import terms
from plum_hub.evaluation.comparison import compare
from plum_hub.evaluation.folder import EvaluationFolder, ScoresRecord
from plum_hub.records import Score
from plum_hub.reports.content import EvaluationFacts, ReportedGain, TrainingFacts
from plum_hub.reports.sources import FoundFolder
from plum_hub.training.checkpoint import METRICS, TrainingFolder
from plum_hub.training.curves import read_curves

_SHOWN = ("weights", "lora_rank", "lora_alpha", "learning_rate", "epochs", "batch_size", "accumulation", "beta", "seed")
"""Settings of a training that a reader wants to see."""
_NORMAL = 1.96
"""Standard errors of a 95 % interval."""


@dataclass(frozen=True)
class FoundTraining:
    """A training and its folder."""

    found: FoundFolder
    facts: TrainingFacts


@dataclass(frozen=True)
class FoundEvaluation:
    """An evaluation and its folder."""

    found: FoundFolder
    facts: EvaluationFacts
    record: ScoresRecord


@dataclass(frozen=True)
class TrainedResult:
    """A training with the evaluation of its model, and that of its base if there is one."""

    training: TrainingFacts
    after: FoundEvaluation
    before: FoundEvaluation | None


def read_training(found: FoundFolder) -> FoundTraining:
    """Read a training.

    Args:
        found: A folder of kind `training`.

    Returns:
        What was trained, and its curves.

    Raises:
        RunError: There is no record.
        TrainingError: The record or the metrics are damaged.
    """
    record = TrainingFolder(found.path).record()
    if record is None:
        raise RunError(f"{found.path}: has no training.json; name the folder of a training")
    settings = {**record.settings.model_dump(mode="json"), **record.decided.model_dump(mode="json")}
    hidden = set() if settings["weights"] == "lora" else {"lora_rank", "lora_alpha"}
    hidden |= {"beta"} if record.settings.method == "sft" else set()
    facts = TrainingFacts(
        name=found.name,
        method=record.settings.method,
        model=Path(record.model.name).name if Path(record.model.name).is_absolute() else record.model.name,
        revision=record.model.revision,
        data=Path(record.data.name).name if Path(record.data.name).is_absolute() else record.data.name,
        data_revision=record.data.revision,
        on_policy=record.on_policy,
        finished=record.finished,
        steps=record.steps,
        instructions=record.rows.instructions,
        chosen=record.rows.chosen,
        rejected=record.rows.rejected,
        settings={key: settings[key] for key in _SHOWN if key not in hidden and settings.get(key) is not None},
        curves=tuple(read_curves(found.path / METRICS)),
    )
    return FoundTraining(found, facts)


def read_evaluation(found: FoundFolder) -> FoundEvaluation:
    """Read an evaluation.

    Args:
        found: A folder of kind `evaluation`.

    Returns:
        Its scores.

    Raises:
        RunError: The scores are damaged.
    """
    record = EvaluationFolder(found.path).scores()
    quoted = [score for score in record.scores if score.reading == "official"]
    first = quoted[0] if quoted else None
    facts = EvaluationFacts(
        name=found.name,
        model=Path(first.model).name if first and Path(first.model).is_absolute() else first.model if first else "",
        revision=first.model_revision if first else "",
        asked=_asked(first) if first else "",
        terms=tuple(dict.fromkeys(terms(score) for score in quoted if not score.part)),
        scores=record.scores,
        notes=record.notes,
    )
    return FoundEvaluation(found, facts, record)


def gains(results: Iterable[TrainedResult]) -> tuple[list[ReportedGain], list[str]]:
    """Compare each trained model with its base.

    Args:
        results: Trainings with their evaluations.

    Returns:
        The gains by the benchmarks' own rules, and one line for each pair that cannot be compared.
    """
    found, notes = [], []
    for result in results:
        if result.before is None:
            continue
        try:
            comparison = compare(result.before.found.path, result.after.found.path)
        except UsageError as error:
            notes.append(_without_paths(str(error), (result.before, result.after)))
            continue
        before, after = result.before.facts.name, result.after.facts.name
        notes += [f"{after} and {before}: {note}" for note in comparison.notes]
        found += [
            ReportedGain(
                training=result.training.name,
                method=result.training.method,
                before=before,
                after=after,
                asked=result.after.facts.asked,
                gain=gain,
            )
            for gain in comparison.gains
            if gain.reading == "official"
        ]
    return found, notes


def is_quoted(score: Score) -> bool:
    """Tell whether a score is what figures and the paper's tables show.

    Args:
        score: The score.

    Returns:
        True for pass@1 by the benchmark's own rules.
    """
    return score.metric == "pass@1" and score.reading == "official"


def interval(score: Score) -> tuple[float, float]:
    """Return the 95 % interval of a score, in per cent.

    Args:
        score: The score.

    Returns:
        1.96 standard errors to both sides, within 0 and 100.
    """
    low, high = score.value - _NORMAL * score.stderr, score.value + _NORMAL * score.stderr
    return 100 * max(0.0, low), 100 * min(1.0, high)


def _asked(score: Score) -> str:
    samples = f"{score.samples} sample{'s' * (score.samples > 1)} a problem"
    if score.temperature is None:
        return samples
    return f"{samples}, " + ("greedy" if score.temperature == 0 else f"temperature {score.temperature:g}")


def _without_paths(text: str, evaluations: Iterable[FoundEvaluation]) -> str:
    for one in evaluations:
        text = text.replace(str(one.found.path), one.facts.name)
    return text
