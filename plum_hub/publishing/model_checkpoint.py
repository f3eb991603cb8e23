"""Open the folder that `plum-hub train` left, to publish its weights."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal

from plum_hub.errors import TrainingError
from plum_hub.files import link_out
from plum_hub.release.model_lineage import CheckpointForm
from plum_hub.training.checkpoint import CHECKPOINT, MERGED, RECORD, TrainingFolder
from plum_hub.training.record import TrainingRecord

WeightsChoice = Literal["adapter", "merged"]
"""Which weights of a LoRA training are published: the adapters, or the whole model with the adapters merged."""


@dataclass(frozen=True)
class TrainedCheckpoint:
    """A finished training, and the form in which its weights are published."""

    folder: Path
    record: TrainingRecord
    """Content of `training.json`."""
    form: CheckpointForm

    @property
    def model(self) -> Path:
        """Folder with the weights."""
        return self.folder / MERGED if self.form == "merged" else self.folder


def open_checkpoint(path: Path, weights: WeightsChoice | None) -> TrainedCheckpoint:
    """Open a finished training.

    Args:
        path: Checkpoint folder, or a run with a single checkpoint.
        weights: Which weights of a LoRA training; None for the adapters.

    Returns:
        The training, with its weights present.

    Raises:
        TrainingError: There is no training, it is not finished, or it lacks these weights.
    """
    folder = _folder(path)
    if (link := link_out(folder)) is not None:
        raise TrainingError(
            f"{link}: is a link out of the checkpoint, and would publish another file; put the file in its place"
        )
    record = TrainingFolder(folder).record()
    if record is None:
        raise TrainingError(
            f"{path}: is not a checkpoint of  plum-hub train  (it has no training.json); name the folder that it wrote"
        )
    if not record.finished:
        raise TrainingError(f"{folder}: the training is not finished; run the same  plum-hub train  command again")
    lora = record.decided.weights == "lora"
    if weights and not lora:
        raise TrainingError(f"{folder}: all weights were trained, so there are no adapters; leave --{weights} out")
    form: CheckpointForm = (weights or "adapter") if lora else "full"
    trained = TrainedCheckpoint(folder, record, form)
    required = "adapter_model.safetensors" if form == "adapter" else "config.json"
    if not (trained.model / required).is_file():
        raise TrainingError(
            f"{folder}: has no {MERGED}/ with a whole model; train with --set merge=true, or push the adapters"
            if form == "merged"
            else f"{folder}: lacks {required}; restore the file, or train again with --out DIR"
        )
    return trained


def _folder(path: Path) -> Path:
    """Find the checkpoint folder; a run must have exactly one."""
    path = path.expanduser()
    if not path.is_dir():
        raise TrainingError(f"{path}: there is no such folder; name a run, or the folder of a checkpoint")
    if not (path / "recipe.yaml").is_file():
        return path
    found = sorted(record.parent for record in path.glob(f"{CHECKPOINT}*/{RECORD}"))
    if not found:
        raise TrainingError(f"{path}: the run has no checkpoint; make one with  plum-hub train {quote(str(path))}")
    if len(found) > 1:
        raise TrainingError(f"{path}: has several checkpoints; name one of: {', '.join(map(str, found))}")
    return found[0]
