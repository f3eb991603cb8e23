"""The folder of a training: its record, metrics, intermediate checkpoints and final weights.

checkpoint/
  training.json         `TrainingRecord`: settings, model, rows, order and versions; `finished` once it is complete
  metrics.jsonl         one line per optimiser step
  report/               loss and reward curves, as PNG
  tensorboard/          the same metrics, with `report_to`
  steps/checkpoint-N/   weights, optimiser and position after step N; `complete`, written last, has the size of every
                        file; removed at the end
  adapter_model.safetensors (lora) or model.safetensors (full), and the tokenizer
  merged/               with `merge`, the whole model with the adapters merged
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from plum_hub.engines.adapter import is_adapter
from plum_hub.engines.revision import folder_sha256
from plum_hub.errors import TrainingError
from plum_hub.files import locked, write_whole, writing
from plum_hub.lines import appending, object_of, whole_lines
from plum_hub.training.record import TrainingRecord

CHECKPOINT = "checkpoint"
"""Name of the checkpoint folder within a run."""
STEPS, MERGED, METRICS, REPORT, TENSORBOARD = "steps", "merged", "metrics.jsonl", "report", "tensorboard"
RECORD = "training.json"
_COMPLETE = "complete"
_LOCK = ".lock"
_SEALED = ("settings", "model", "data", "processes")
"""Sections of the record that must not change between starts of one training."""


class TrainingFolder:
    """The folder of one training."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self) -> TrainingRecord | None:
        """Read `training.json`.

        Returns:
            The record; None where no training has started.

        Raises:
            TrainingError: The file cannot be read or is not such a record.
        """
        path = self.path / RECORD
        if not path.exists():
            return None
        try:
            return TrainingRecord.from_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise TrainingError(f"{path}: cannot be read ({error}); name another folder with --out DIR") from error

    def check(self, record: TrainingRecord) -> None:
        """Check that the folder is free, or holds an earlier start of the same training.

        Args:
            record: Record of the training that is about to start.

        Raises:
            TrainingError: The folder holds another training, whose differences the message names, or other files.
        """
        earlier = self.record()
        if earlier is None:
            if self.path.exists() and not self._is_free():
                raise TrainingError(
                    f"{self.path}: holds files that do not belong to a training; name a folder with --out DIR"
                )
            return
        before, after = earlier.model_dump(mode="json"), record.model_dump(mode="json")
        before["settings"]["merge"] = after["settings"]["merge"]  # what is made of the trained adapters can come later
        changes = [
            f"{key}: {old} -> {new}"
            for section in _SEALED
            for key, old, new in _differences(section, before[section], after[section])
        ]
        if changes:
            raise TrainingError(
                f"{self.path}: holds another training ({'; '.join(changes[:4])}); continue with its settings, or name "
                "a folder with --out DIR"
            )

    def _is_free(self) -> bool:
        """Tell whether only leftovers of a start that ended before its first step are here."""
        if not self.path.is_dir() or self._steps():
            return False
        return all(path.name in (_LOCK, STEPS) or path.suffix == ".new" for path in self.path.iterdir())

    def write(self, record: TrainingRecord) -> None:
        """Replace `training.json` in one step.

        Args:
            record: Its new content.
        """
        write_whole(self.path / RECORD, record.to_json())

    @contextmanager
    def whole(self, name: str) -> Iterator[Path]:
        """Write a folder of the checkpoint so that it is there whole or not at all.

        Args:
            name: The folder's name; an earlier one of that name is replaced.

        Yields:
            The folder to write into, which gets its name at the end of the block.
        """
        new, final = self.path / f"{name}.new", self.path / name
        shutil.rmtree(new, ignore_errors=True)  # left by a kill
        yield new
        shutil.rmtree(final, ignore_errors=True)
        new.rename(final)

    def last_step(self) -> Path | None:
        """Find the newest complete checkpoint.

        Returns:
            Its folder; None where there is none.
        """
        return max(filter(_is_whole, self._steps()), key=_number, default=None)

    def clean(self) -> list[Path]:
        """Remove incomplete checkpoints, as a kill or a full disk leaves them, and damaged ones.

        Returns:
            Those that were complete once.
        """
        partial = [step for step in self._steps() if not _is_whole(step)]
        damaged = [step for step in partial if (step / _COMPLETE).exists()]
        for step in partial:
            shutil.rmtree(step)
        return damaged

    def _steps(self) -> list[Path]:
        return [*(self.path / STEPS).glob("checkpoint-*")]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for the time of the block.

        Yields:
            Nothing.

        Raises:
            TrainingError: Another process is training here.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        busy = TrainingError(
            f"{self.path}: another plum-hub process is training here; wait for it, or name another folder: --out DIR"
        )
        with ExitStack() as held:
            with writing(self.path):
                held.enter_context(locked(self.path / _LOCK, lambda: busy))
            yield

    @contextmanager
    def metrics(self, done: int, *, kept: bool) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Open the metrics for appending, and drop those of steps that will be taken again.

        Args:
            done: Last step whose metrics stay.
            kept: Whether this process writes metrics: only the first of several does.

        Yields:
            A function that appends the metrics of one step; without `kept` it does nothing.
        """
        if not kept:
            yield lambda _: None
            return
        path = self.path / METRICS
        lines = [line for number, line in whole_lines(path) if _step(path, number, line) <= done]
        write_whole(path, b"".join(lines))
        with appending(path, plain=True) as append:
            yield append

    def tokens(self) -> int:
        """Read how many tokens the steps so far were trained on.

        Returns:
            The count of the last line of the metrics; 0 where there is none.

        Raises:
            RunError: The metrics cannot be read.
        """
        last = [line for _, line in whole_lines(self.path / METRICS)][-1:]
        count = object_of(last[0]).get("num_tokens") if last else None
        return int(count) if isinstance(count, int | float) else 0

    def finish(self, record: TrainingRecord) -> None:
        """Write the final record, and remove intermediate checkpoints and what the libraries leave behind.

        The libraries leave a card that is not ours, and their arguments with paths of this machine.

        Args:
            record: Record with `finished` set.
        """
        for name in ("README.md", "training_args.bin", _LOCK):
            (self.path / name).unlink(missing_ok=True)
        self.write(record)
        self.remove_steps()

    def remove_steps(self) -> None:
        """Remove intermediate checkpoints, which a finished training does not need."""
        shutil.rmtree(self.path / STEPS, ignore_errors=True)


def trained_models(folder: Path) -> dict[str, Path]:
    """Find the models that a training left: its own weights, whole or as adapters, and the merged ones.

    Args:
        folder: Folder of the training.

    Returns:
        The folder of each, by the revision under which it is evaluated: `sha256:…` of its files. Empty where no
        weights are kept.

    Raises:
        RunError: A file cannot be read.
    """
    return {
        f"sha256:{folder_sha256(model)}": model
        for model in (folder, folder / MERGED)
        if is_adapter(model) or (model / "config.json").is_file()
    }


def mark_complete(step: Path) -> None:
    """Flush every file of a checkpoint to disk, then mark it as complete.

    Args:
        step: Folder of the checkpoint.
    """
    sizes = {}
    for path in step.rglob("*"):  # DeepSpeed and sharded weights have folders
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sizes[str(path.relative_to(step))] = path.stat().st_size
    write_whole(step / _COMPLETE, json.dumps(sizes))


def _is_whole(step: Path) -> bool:
    """Tell whether a checkpoint is complete, and its files are as long as when they were written."""
    try:
        sizes = json.loads((step / _COMPLETE).read_bytes() or "{}")  # earlier versions wrote no sizes
        return all((step / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def _step(path: Path, number: int, line: bytes) -> float:
    """Read the step number of a line of metrics."""
    try:
        return float(object_of(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise TrainingError(f"{path}:{number}: is not a line of metrics ({error}); delete this line") from error


def _number(step: Path) -> int:
    return int(step.name.rpartition("-")[2])


def _differences(name: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield every differing leaf of two JSON values, with its dotted key."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from _differences(f"{name}.{key}", before.get(key), after.get(key))
    elif before != after:
        yield name, before, after
