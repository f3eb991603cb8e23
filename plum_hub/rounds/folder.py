"""What lies where in a folder of rounds, and what is remembered of each."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plum_hub.engines.revision import NOTE
from plum_hub.errors import RunError
from plum_hub.files import write_whole, writing
from plum_hub.lines import appending, object_of, whole_lines
from plum_hub.recipe import Recipe, differences
from plum_hub.run import Run
from plum_hub.training.checkpoint import CHECKPOINT, FACTS, MERGED, METRICS


class RoundsFolder:
    """The folder of all rounds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def round(self, number: int) -> Path:
        """The run that round `number` trains on; of 0 the run that holds all test suites."""
        return self.path / "rounds" / f"{number:04}"

    def held_out(self, number: int) -> Path:
        """The run in which the model that round `number` ended with answers the held-out instructions."""
        return self.round(number) / "held-out"

    def model(self, number: int, name: str) -> Path:
        """The whole model that round `number` ended with, under a name that says what it is."""
        return self.round(number) / f"{name}-round-{number}"

    def done(self) -> list[dict[str, Any]]:
        """What is remembered of the rounds that came to their end.

        Raises:
            RunError: rounds.jsonl is damaged.
        """
        path = self.path / "rounds.jsonl"
        found = []
        for number, line in whole_lines(path):
            try:
                found.append(object_of(line))
            except ValueError as error:
                raise RunError(
                    f"{path}:{number}: is no round ({error}); delete this line to have it made anew"
                ) from error
        return found

    def note(self, row: Mapping[str, Any]) -> None:
        """Remember a round."""
        with appending(self.path / "rounds.jsonl") as append:
            append(row)

    def check(self, recipe: Recipe, settings: Mapping[str, Any]) -> None:
        """Find that nothing is here, or rounds of this recipe and these settings of training, which are then kept. The
        settings may change until something was trained.

        Raises:
            RunError: the folder holds other rounds, or something else; the message names what differs.
        """
        path = self.path / "settings.json"
        first = self.round(0)
        changed = []
        if (first / "recipe.yaml").exists():
            old = Run.open(first).recipe
            changed = differences(old, recipe.filled().adopting(old))
        if path.exists():
            began = (self.round(1) / CHECKPOINT / FACTS).exists()
            before = json.loads(path.read_bytes()) if began else settings
            changed += [
                f"{key}: {before.get(key)} -> {value}" for key, value in settings.items() if before.get(key) != value
            ]
        elif self.path.exists() and (
            not self.path.is_dir() or any(one.suffix != ".new" for one in self.path.iterdir())
        ):
            raise RunError(f"{self.path}: holds something that is no folder of rounds; name another with --run DIR")
        if changed:
            raise RunError(
                f"{self.path}: holds rounds of another kind ({'; '.join(changed[:4])}); go on with their settings, or "
                "name another folder with --run DIR"
            )
        write_whole(path, json.dumps(settings, indent=2) + "\n")


def keep_model(checkpoint: Path, model: Path, weights: str) -> None:
    """Give a checkpoint's whole model a folder of its own, whole or not at all. Its files are not copied where the file
    system can give them a second name.

    Args:
        checkpoint: a finished training.
        model: the folder.
        weights: what the weights are, for cards.
    """
    merged = checkpoint / MERGED
    partial = model.with_name(f"{model.name}.partial")
    with writing(model):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for file in (merged if merged.is_dir() else checkpoint).iterdir():
            if file.is_file() and file.name not in (FACTS, METRICS):
                _second_name(file, partial / file.name)
        (partial / NOTE).write_text(json.dumps({"weights": weights}, indent=2) + "\n", encoding="utf-8")
        partial.replace(model)


def _second_name(file: Path, other: Path) -> None:
    try:
        os.link(file, other)
    except OSError:  # the file system has one name for a file
        shutil.copy2(file, other)
