"""Which evaluations are of a training's model, and which of the model that it began with."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from plum_hub.home import expanded
from plum_hub.reports.results import FoundEvaluation, FoundTraining, TrainedResult
from plum_hub.reports.sources import FoundFolder
from plum_hub.training.checkpoint import MERGED, trained_models

_BASE = "base"
"""Name of the folder in which an experiment evaluates the model that it trains."""


class _InFolder(Protocol):
    @property
    def found(self) -> FoundFolder: ...


_InFolderT = TypeVar("_InFolderT", bound=_InFolder)


def matched(
    trainings: Sequence[FoundTraining], evaluations: Sequence[FoundEvaluation]
) -> tuple[list[TrainedResult], list[str]]:
    """Find the evaluations of each training's model, and of the model that it began with.

    An evaluation is of a trained model if it evaluated that folder or the digest of its files; else, as where weights
    are not kept beside the results, if it has the training's name. The base is found by its revision; else by the name
    `base`. Of several, the one is taken that shares the most folders; names decide only where this leaves one.

    Args:
        trainings: The trainings.
        evaluations: The evaluations.

    Returns:
        Every training whose model was evaluated, one entry for each of its evaluations; and one line for each training
        or evaluation whose counterpart is missing or not clear.
    """
    results, notes = [], []
    exact = _by_weights(trainings, evaluations)
    known = [one for of in exact for one in of]
    for training, own in zip(trainings, exact, strict=True):
        found, note = (own, None) if own else _by_name(training, trainings, _without(evaluations, known))
        notes += [note] if note and evaluations else []
        for after in found:
            before, note = _base(training, after, trainings, _without(evaluations, [after]))
            results.append(TrainedResult(training.facts, after, before))
            notes += [note] if note else []
    return results, notes


def _by_weights(
    trainings: Sequence[FoundTraining], evaluations: Sequence[FoundEvaluation]
) -> list[list[FoundEvaluation]]:
    """Return for each training the evaluations of its weights. Of copies of a training, the nearest has them."""
    revisions = [trained_models(training.found.path) for training in trainings]
    found: list[list[FoundEvaluation]] = [[] for _ in trainings]
    for one in evaluations:
        owners = [
            training
            for training, own in zip(trainings, revisions, strict=True)
            if one.facts.revision in own or _names(one, training.found.path)
        ]
        for training in _nearest(one, owners):
            found[trainings.index(training)].append(one)
    return found


def _names(evaluation: FoundEvaluation, folder: Path) -> bool:
    """Tell whether an evaluation was started with the folder of a training."""
    model = (evaluation.record.model or {}).get("model")
    if not isinstance(model, str) or "\0" in model:
        return False
    return os.path.realpath(expanded(model)) in {os.path.realpath(one) for one in (folder, folder / MERGED)}


def _by_name(
    training: FoundTraining, trainings: Sequence[FoundTraining], evaluations: Iterable[FoundEvaluation]
) -> tuple[list[FoundEvaluation], str | None]:
    """Return the evaluation that has a training's name, or a line that says why none is taken."""
    name, called = training.found.path.name, training.facts.name
    rivals = [one for one in trainings if one.found.path.name == name]
    alike = [
        one for one in evaluations if one.found.path.name == name and one.facts.revision != training.facts.revision
    ]
    near = [one for one in _nearest(training, alike) if training in _nearest(one, rivals)]
    if not near:
        return [], f"{called}: none of the evaluations is of its model; evaluate it, and name that folder too"
    sharing = _nearest(near[0], rivals)
    if len(near) > 1 or len(sharing) > 1:
        either = near if len(near) > 1 else sharing
        return [], (
            f"{called}: no scores are taken for its model, because {_listed(either)} have the same name and are "
            "equally near; report one of them"
        )
    return near, None


def _base(
    training: FoundTraining,
    after: FoundEvaluation,
    trainings: Sequence[FoundTraining],
    evaluations: Sequence[FoundEvaluation],
) -> tuple[FoundEvaluation | None, str | None]:
    """Return the evaluation of a training's base to compare with, or a line that says why there is none.

    One under the same protocol comes first, then one that asked as often at the same temperature, one with more of the
    same benchmarks, and the nearest. Of several with the same outcomes it does not matter which.
    """
    bases = [one for one in evaluations if one.facts.revision == training.facts.revision] or [
        one
        for one in _nearest(training, [one for one in evaluations if one.found.path.name == _BASE])
        if training in _nearest(one, trainings)
    ]

    def rank(one: FoundEvaluation) -> tuple[bool, bool, int, int]:
        alike, shared = one.facts.asked == after.facts.asked, one.record.outcomes.keys() & after.record.outcomes.keys()
        return one.record.protocol == after.record.protocol, alike, len(shared), _shared_folders(one, after)

    usable = [one for one in bases if one.record.outcomes.keys() & after.record.outcomes.keys()]
    best = [one for one in usable if rank(one) == max(map(rank, usable))]
    if best and all(one.record.outcomes == best[0].record.outcomes for one in best):
        return best[0], None
    name, model = after.facts.name, training.facts.model
    if best:
        return None, (
            f"{name}: is compared with no base, because {_listed(best)} are evaluations of it and equally near; "
            "report one of them"
        )
    if bases:
        return None, f"{name}: its base was not evaluated on the same benchmarks; evaluate {model} on them too"
    return None, f"{name}: its base was not evaluated; evaluate {model} too"


def _shared_folders(one: _InFolder, other: _InFolder) -> int:
    return len(Path(os.path.commonpath([one.found.path.resolve(), other.found.path.resolve()])).parts)


def _nearest(to: _InFolder, among: Sequence[_InFolderT]) -> list[_InFolderT]:
    """Return those that share the most folders."""
    most = max((_shared_folders(to, one) for one in among), default=0)
    return [one for one in among if _shared_folders(to, one) == most]


def _without(evaluations: Iterable[FoundEvaluation], taken: Sequence[FoundEvaluation]) -> list[FoundEvaluation]:
    return [one for one in evaluations if all(one is not other for other in taken)]


def _listed(several: Iterable[FoundTraining | FoundEvaluation]) -> str:
    return " and ".join(one.facts.name for one in several)
