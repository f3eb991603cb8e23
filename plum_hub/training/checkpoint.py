"""The folder of a training, which knows what began it, where it stands and how it ended.

checkpoint/
  training.json         settings, model, rows, order and versions; `finished` says whether it came to its end
  metrics.jsonl         one line a step
  report/               its curves, as PNG
  tensorboard/          with `report_to` the same metrics for it
  steps/checkpoint-N/   weights, optimiser and position after step N; `complete` is written last; gone at the end
  adapter_model.safetensors (lora) or model.safetensors (full), and the tokenizer
      merged/               with `merge` the whole model, adapters added
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from plum_hub.errors import TrainingError
from plum_hub.files import locked, write_whole, writing
from plum_hub.lines import appending, object_of, whole_lines

CHECKPOINT = "checkpoint"
"""The folder's name in a run."""
STEPS, MERGED, METRICS, REPORT, TENSORBOARD = "steps", "merged", "metrics.jsonl", "report", "tensorboard"
FACTS = "training.json"
_COMPLETE = "complete"
_LOCK = ".lock"
_SEALED = ("settings", "model", "data", "processes")
"""The facts that a training may not change between its starts."""


class _Named(BaseModel):
    """What has a name and a revision."""

    name: str
    revision: str


class _Facts(BaseModel):
    """What `training.json` must say to be gone on with or published; it says more."""

    model_config = ConfigDict(strict=True)

    finished: bool
    settings: dict[str, Any]
    decided: dict[str, Any]
    model: _Named
    data: _Named

    @model_validator(mode="after")
    def _told(self) -> Self:
        if not isinstance(self.decided.get("weights"), str) or not isinstance(self.settings.get("method"), str):
            raise ValueError("settings.method and decided.weights are to be texts")
        return self


class TrainingFolder:
    """The folder of one training."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def facts(self) -> dict[str, Any] | None:
        """What `training.json` says; None where no training began.

        Raises:
            TrainingError: it cannot be read.
        """
        path = self.path / FACTS
        if not path.exists():
            return None
        try:
            found = object_of(path.read_bytes())
            _Facts.model_validate(found)
        except (OSError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
            raise TrainingError(f"{path}: cannot be read ({why}); name another folder with --out DIR") from error
        return found

    def check(self, facts: Mapping[str, Any]) -> None:
        """Find that nothing is here, or the very training that `facts` describe.

        Raises:
            TrainingError: the folder holds another training, or something else; the message names what differs.
        """
        begun = self.facts()
        if begun is None:
            if self.path.exists() and not self._is_free():
                raise TrainingError(f"{self.path}: holds something that is no training; name a folder with --out DIR")
            return
        differing = [
            f"{key}: {before} -> {after}"
            for section in _SEALED
            for key, before, after in _differences(section, begun.get(section), facts[section])
        ]
        if differing:
            raise TrainingError(
                f"{self.path}: holds another training ({'; '.join(differing[:4])}); go on with its settings, or name a "
                "folder with --out DIR"
            )

    def _is_free(self) -> bool:
        """Whether nothing lies here but what a start leaves that ended before its first step."""
        if not self.path.is_dir() or self._steps():
            return False
        return all(path.name in (_LOCK, STEPS) or path.suffix == ".new" for path in self.path.iterdir())

    def write(self, facts: Mapping[str, Any]) -> None:
        """Put `training.json` there, whole."""
        write_whole(self.path / FACTS, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")

    def last_step(self) -> Path | None:
        """The newest complete checkpoint."""
        return max((step for step in self._steps() if (step / _COMPLETE).exists()), key=_number, default=None)

    def clean(self) -> None:
        """Remove checkpoints that a kill or a full disk left torn."""
        for step in self._steps():
            if not (step / _COMPLETE).exists():
                shutil.rmtree(step)

    def _steps(self) -> list[Path]:
        return [*(self.path / STEPS).glob("checkpoint-*")]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this training.

        Raises:
            TrainingError: another process trains here.
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
        """Give a function that appends a step's metrics, and forget those of steps after `done`, which are taken again.
        Where they are not to be kept (in all processes but the first) it does nothing."""
        if not kept:
            yield lambda _: None
            return
        path = self.path / METRICS
        stand = [line for number, line in whole_lines(path) if _step(path, number, line) <= done]
        with writing(path):
            path.write_bytes(b"".join(stand))
        with appending(path) as append:
            yield append

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Say that it came to its end, and remove what only an interruption would need, and what the libraries leave:
        a card that is not ours, and their arguments with this machine's paths in them."""
        for name in ("README.md", "training_args.bin", _LOCK):
            (self.path / name).unlink(missing_ok=True)
        self.write(facts)
        shutil.rmtree(self.path / STEPS, ignore_errors=True)


def complete(step: Path) -> None:
    """Mark a checkpoint as whole, after everything of it is on disk."""
    for path in step.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (step / _COMPLETE).touch()


def _step(path: Path, number: int, line: bytes) -> float:
    """The step that a line of metrics tells of."""
    try:
        return float(object_of(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise TrainingError(f"{path}:{number}: is no line of metrics ({error}); delete this line") from error


def _number(step: Path) -> int:
    return int(step.name.rpartition("-")[2])


def _differences(name: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from _differences(f"{name}.{key}", before.get(key), after.get(key))
    elif before != after:
        yield name, before, after
