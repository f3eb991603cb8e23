"""Paths within a folder of rounds, and the records of finished rounds."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from plum_hub.engines.base import in_a_line
from plum_hub.engines.revision import NOTE
from plum_hub.errors import RunError
from plum_hub.files import write_whole, writing
from plum_hub.lines import appending, replacing
from plum_hub.recipe import Recipe, differences
from plum_hub.rounds.record import RoundRecord
from plum_hub.run import Run
from plum_hub.training.checkpoint import CHECKPOINT, MERGED, METRICS, RECORD
from plum_hub.training.settings import TrainingSettings


class RoundsFolder:
    """The folder of all rounds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def round(self, number: int) -> Path:
        """Return the folder of a round's run.

        Args:
            number: Number of the round; 0 is the run with all test suites.

        Returns:
            The run that the round trains on.
        """
        return self.path / "rounds" / f"{number:04}"

    def held_out(self, number: int) -> Path:
        """Return the folder of a round's held-out run.

        Args:
            number: Number of the round; 0 is the model that the first round begins with.

        Returns:
            The run in which the model that the round ended with answers the held-out instructions.
        """
        return self.round(number) / "held-out"

    def model(self, number: int, name: str) -> Path:
        """Return the folder of the whole model that a round ended with.

        Args:
            number: Number of the round.
            name: Name of the model that the first round began with.

        Returns:
            The folder, whose name tells the model and the round.
        """
        return self.round(number) / f"{name}-round-{number}"

    def records(self) -> list[RoundRecord]:
        """Read the records of all finished rounds.

        Returns:
            One record per round, in order.

        Raises:
            RunError: rounds.jsonl is damaged.
        """
        path = self.path / "rounds.jsonl"
        return RoundRecord.read_all(path, "the record of a round", "delete this line to run the round again")

    def append(self, record: RoundRecord) -> None:
        """Append the record of a finished round.

        Args:
            record: Its record.
        """
        with appending(self.path / "rounds.jsonl") as append:
            append(record.model_dump(mode="json"))

    def replace(self, records: Iterable[RoundRecord]) -> None:
        """Write the records of all finished rounds anew.

        Args:
            records: One record per round, in order.
        """
        with replacing(self.path / "rounds.jsonl") as append:
            for record in records:
                append(record.model_dump(mode="json"))

    def check(self, recipe: Recipe, settings: Mapping[str, object]) -> None:
        """Check that the folder is free, or holds rounds with this recipe and these settings; then keep the settings.

        Args:
            recipe: Recipe of the run on all instructions.
            settings: Training settings as JSON values. They may change until something was trained.

        Raises:
            RunError: The folder holds other rounds, whose differences the message names, or something else.
        """
        path = self.path / "settings.json"
        first = self.round(0)
        changes = []
        if (first / "recipe.yaml").exists():
            old = Run.open(first).recipe
            changes = differences(old, recipe.filled().adopting(old))
        if path.exists():
            trained = (self.round(1) / CHECKPOINT / RECORD).exists()
            before = _read_settings(path) if trained else settings
            changes += [
                f"{key}: {before.get(key)} -> {value}" for key, value in settings.items() if before.get(key) != value
            ]
        elif self.path.exists() and (
            not self.path.is_dir() or any(entry.suffix != ".new" for entry in self.path.iterdir())
        ):
            raise RunError(f"{self.path}: not a folder of rounds; name another with --run DIR")
        if changes:
            raise RunError(
                f"{self.path}: holds rounds with other settings ({'; '.join(changes[:4])}); continue with their "
                "settings, or name another folder with --run DIR"
            )
        write_whole(path, json.dumps(settings, indent=2) + "\n")


def _read_settings(path: Path) -> Mapping[str, object]:
    """Read training settings; keys that the version which wrote them did not know have their defaults."""
    try:
        return TrainingSettings.model_validate_json(path.read_bytes()).model_dump(mode="json")
    except ValueError as error:
        raise RunError(
            f"{path}: cannot be read ({in_a_line(error)}); restore it, or name another folder with --run DIR"
        ) from error


def keep_model(checkpoint: Path, model: Path, weights: str) -> None:
    """Give a checkpoint's whole model a folder of its own, complete or not at all.

    Files are hard-linked where the file system allows it, else copied.

    Args:
        checkpoint: Folder of a finished training.
        model: Folder to make.
        weights: Description of the weights, for cards.
    """
    merged = checkpoint / MERGED
    partial = model.with_name(f"{model.name}.partial")
    with writing(model):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for file in (merged if merged.is_dir() else checkpoint).iterdir():
            if file.is_file() and file.name not in (RECORD, METRICS):
                _link(file, partial / file.name)
        (partial / NOTE).write_text(json.dumps({"weights": weights}, indent=2) + "\n", encoding="utf-8")
        partial.replace(model)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system has no hard links
        shutil.copy2(source, target)
