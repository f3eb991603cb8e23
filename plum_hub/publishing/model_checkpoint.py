"""The folder that `plum-hub train` left, opened to be published."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from plum_hub.errors import TrainingError
from plum_hub.release.model_lineage import CheckpointForm
from plum_hub.training.checkpoint import CHECKPOINT, FACTS, MERGED, TrainingFolder

WeightsChoice = Literal["adapter", "merged"]


@dataclass(frozen=True)
class TrainedCheckpoint:
    """A training that came to its end."""

    folder: Path
    facts: dict[str, Any]
    """What `training.json` says."""
    form: CheckpointForm

    @property
    def model(self) -> Path:
        """The folder with the weights."""
        return self.folder / MERGED if self.form == "merged" else self.folder


def opened(path: Path, wish: WeightsChoice | None) -> TrainedCheckpoint:
    """The finished training in a folder, or of a run that has one.

    Args:
        path: the checkpoint's folder, or the run's.
        wish: which of LoRA's weights; None for the adapters.

    Raises:
        TrainingError: there is none, it is not finished, or it has no such weights.
    """
    folder = _folder(path)
    facts = TrainingFolder(folder).facts()
    if facts is None:
        raise TrainingError(
            f"{path}: is no checkpoint of  plum-hub train  (it has no training.json); name the folder that it wrote"
        )
    if not facts.get("finished"):
        raise TrainingError(f"{folder}: the training is not finished; run the same  plum-hub train  command again")
    lora = facts["decided"]["weights"] == "lora"
    if wish and not lora:
        raise TrainingError(f"{folder}: all weights were trained, there are no adapters; leave --{wish} out")
    form: CheckpointForm = (wish or "adapter") if lora else "full"
    trained = TrainedCheckpoint(folder, facts, form)
    wanted = "adapter_model.safetensors" if form == "adapter" else "config.json"
    if not (trained.model / wanted).is_file():
        raise TrainingError(
            f"{folder}: has no {MERGED}/ with a whole model; train with --set merge=true, or push the adapters"
            if form == "merged"
            else f"{folder}: lacks {wanted}; bring the file back, or train anew with --out DIR"
        )
    return trained


def _folder(path: Path) -> Path:
    """The checkpoint's folder."""
    path = path.expanduser()
    if not path.is_dir():
        raise TrainingError(f"{path}: there is no such folder; name a run, or the folder of a checkpoint")
    if not (path / "recipe.yaml").is_file():
        return path
    found = sorted(facts.parent for facts in path.glob(f"{CHECKPOINT}*/{FACTS}"))
    if not found:
        raise TrainingError(f"{path}: the run has no checkpoint; make one with  plum-hub train {path}")
    if len(found) > 1:
        raise TrainingError(f"{path}: has several checkpoints; name one of: {', '.join(map(str, found))}")
    return found[0]
