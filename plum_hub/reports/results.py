"""Trainings and evaluations, which of them belong together, and what was gained."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plum_hub.engines.revision import folder_sha256
from plum_hub.errors import RunError, UsageError
from plum_hub.evaluation.cards import terms
from plum_hub.evaluation.comparison import compare
from plum_hub.evaluation.folder import EvaluationFolder, ScoresRecord
from plum_hub.reports.content import EvaluationFacts, ReportedGain, TrainingFacts
from plum_hub.reports.sources import FoundFolder
from plum_hub.training.checkpoint import MERGED, METRICS, TrainingFolder
from plum_hub.training.curves import read_curves

_SHOWN = ("weights", "lora_rank", "lora_alpha", "learning_rate", "epochs", "batch_size", "accumulation", "beta", "seed")
"""Settings of a training that a reader wants to see."""


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
        terms=tuple(dict.fromkeys(terms(score) for score in quoted if not score.part)),
        scores=record.scores,
        notes=record.notes,
    )
    return FoundEvaluation(found, facts, record)


def matched(trainings: Sequence[FoundTraining], evaluations: Sequence[FoundEvaluation]) -> list[TrainedResult]:
    """Find the evaluations of each training's model, and of the model that it began with.

    An evaluation is of a trained model if it evaluated that folder or the digest of its files; else, as where weights
    are not kept beside the results, if it has the training's name. The base is found by its revision; else by the name
    `base`.

    Args:
        trainings: The trainings.
        evaluations: The evaluations.

    Returns:
        Every training whose model was evaluated; one entry for each of its evaluations.
    """
    results = []
    for training in trainings:
        revisions = set(_digests(training.found.path))
        own = [one for one in evaluations if _evaluates(one, training.found.path, revisions)]
        named = training.found.path.name
        own = own or [
            one for one in evaluations if one.found.path.name == named and one.facts.revision != training.facts.revision
        ]
        bases = [one for one in evaluations if one.facts.revision == training.facts.revision]
        bases = bases or [one for one in evaluations if one.found.path.name == "base" and one not in own]
        results += [TrainedResult(training.facts, after, _comparable(after, bases)) for after in own]
    return results


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
            notes.append(f"{result.after.facts.name}: its base was not evaluated; evaluate {result.training.model} too")
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
                training=result.training.name, method=result.training.method, before=before, after=after, gain=gain
            )
            for gain in comparison.gains
            if gain.reading == "official"
        ]
    return found, notes


def _digests(folder: Path) -> Iterator[str]:
    """Yield the digest of each whole model in the folder of a training."""
    for whole in (folder / MERGED, folder):
        if (whole / "config.json").is_file():
            yield f"sha256:{folder_sha256(whole)}"


def _evaluates(evaluation: FoundEvaluation, folder: Path, revisions: set[str]) -> bool:
    if evaluation.facts.revision in revisions:
        return True
    model = (evaluation.record.model or {}).get("model")
    if not isinstance(model, str) or not Path(model).is_absolute():
        return False
    return Path(model).resolve() in (folder.resolve(), (folder / MERGED).resolve())


def _comparable(after: FoundEvaluation, bases: Iterable[FoundEvaluation]) -> FoundEvaluation | None:
    """Return the base's evaluation under the same protocol; else any on a common benchmark."""
    shared = [one for one in bases if one.record.outcomes.keys() & after.record.outcomes.keys()]
    same = [one for one in shared if one.record.protocol == after.record.protocol]
    return next(iter([*same, *shared]), None)


def _without_paths(text: str, evaluations: Iterable[FoundEvaluation]) -> str:
    for one in evaluations:
        text = text.replace(str(one.found.path), one.facts.name)
    return text
