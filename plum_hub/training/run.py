"""Stage `training`: from labelled rows to a checkpoint. What can be found wrong is found before the weights are loaded;
a training that was interrupted goes on from its last checkpoint."""

import os
import platform
import resource
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

from plum_hub.errors import TrainingError
from plum_hub.progress import Progress
from plum_hub.records import digest
from plum_hub.reports.curves import draw
from plum_hub.run import slug
from plum_hub.training import preflight
from plum_hub.training.balance import SMALLEST, LabelWeights, batch_size, class_weights
from plum_hub.training.base import PinnedModel, pinned, stand_in
from plum_hub.training.batch_order import BatchOrder, BatchShape, RowFacts, epochs
from plum_hub.training.checkpoint import CHECKPOINT, MERGED, METRICS, REPORT, STEPS, TrainingFolder
from plum_hub.training.data import PolicyRef, TrainingData, read_data
from plum_hub.training.device import DevicePlan, plan
from plum_hub.training.lengths import Fitting, Row, fitting
from plum_hub.training.settings import Batches, TrainingSettings

_PACKAGES = ("plum-hub", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


@dataclass(frozen=True)
class TrainingRequest:
    """A training, as it is asked for."""

    source: str
    """A run folder, `REPO[@REVISION]`, or a file."""
    model: str | None
    """None trains the model that wrote the samples."""
    out: Path | None
    """None: `checkpoint` in the run's folder, else `runs/train-SOURCE`; with the method behind it unless it is kto."""
    settings: TrainingSettings
    hub: str = "auto"
    allow_off_policy: bool = False
    processes: int = 1
    """How many will train together."""


@dataclass(frozen=True)
class PreparedTraining:
    """A training that can begin."""

    wanted: TrainingRequest
    folder: TrainingFolder
    base: PinnedModel
    data: TrainingData
    tokenizer: Any
    fitting: Fitting
    plan: DevicePlan
    orders: Sequence[BatchOrder]
    """KTO's epochs; empty for the other methods."""

    @property
    def rows(self) -> list[Row]:
        """What the trainer reads: for KTO every epoch, one after the other."""
        if self.wanted.settings.method != "kto":
            return self.fitting.rows
        return [self.fitting.rows[row] for order in self.orders for row in order.rows]

    @property
    def weights(self) -> LabelWeights:
        """KTO's class weights: those that are set, else from the label counts."""
        settings = self.wanted.settings
        if settings.method != "kto":
            return LabelWeights()
        if settings.desirable_weight or settings.undesirable_weight:
            return LabelWeights(settings.desirable_weight or 1.0, settings.undesirable_weight or 1.0)
        labels = [row["label"] for row in self.rows]
        return class_weights(sum(labels), len(labels) - sum(labels))

    def steps(self, rows: int) -> int:
        """Steps of the optimiser over so many of what the trainer reads."""
        settings, batches = self.wanted.settings, self.plan.batches
        times = 1 if settings.method == "kto" else settings.epochs
        return times * ceil(ceil(rows / (batches.size * self.wanted.processes)) / batches.to_a_step)

    def facts(self) -> dict[str, Any]:
        """What `training.json` says from the start."""
        writer = self.data.writer
        return {
            "finished": False,
            "settings": self.wanted.settings.model_dump(mode="json"),
            "decided": self.plan.decided(),
            "class_weights": asdict(self.weights),
            "model": {"name": self.base.name, "revision": self.base.revision},
            "data": self.data.facts() | {"written_by": writer and {"name": writer.name, "revision": writer.revision}},
            "on_policy": writer and writer.revision == self.base.revision,
            "processes": self.wanted.processes,
            "rows": self._counts(),
            "steps": self.steps(len(self.rows)),
            "memory_gb": {"estimated": self.plan.need.total / 1e9, "free": self.plan.available / 1e9},
            "versions": _versions(),
        }

    def _counts(self) -> dict[str, Any]:
        rows = self.fitting.rows
        rejected = len(rows) if "rejected" in rows[0] else sum(not row.get("label", True) for row in rows)
        return {
            "read": len(self.data.rows),
            "left_out": dict(self.fitting.left_out),
            "kept": len(rows),
            "chosen": sum(row.get("label", True) for row in rows),
            "rejected": rejected,
            "instructions": len({row["instruction_id"] for row in rows}),
            "longest": max(self.fitting.tokens),
            "epochs": [{"rows": len(order.rows), "left_out": dict(order.left_out)} for order in self.orders],
        } | ({"columns_not_read": list(self.data.not_read)} if self.data.not_read else {})


def prepare(wanted: TrainingRequest) -> PreparedTraining:
    """Read the rows, pin the model, keep what fits, lay out the order and estimate memory; load no weights.

    Raises:
        TrainingError: this cannot be trained, and why.
        PlumError: the source or the model cannot be had.
    """
    settings = wanted.settings
    if absent := [name for name in settings.report_to if find_spec(name) is None]:
        raise TrainingError(f"report_to: {absent[0]} is not installed: run  pip install {absent[0]}")
    data = read_data(wanted.source, settings.method, wanted.hub)
    base = _base(wanted, data.writer)
    config, tokenizer = base.config(), base.tokenizer()
    fits = fitting(data.rows, tokenizer, settings.max_length)
    folder = TrainingFolder(wanted.out or _default_out(wanted))
    begun = folder.facts() or {}
    auto = settings.model_copy(update=begun.get("decided", {}))  # what `auto` stood for when it began
    batches = _batches(auto, fits, wanted.processes)
    orders = _orders(fits, wanted, batches)
    longest = settings.max_length if settings.packing else max(fits.tokens)
    decided = plan(auto, config, batches, longest, wanted.processes)
    return PreparedTraining(wanted, folder, base, data, tokenizer, fits, decided, orders)


def check(prepared: PreparedTraining) -> preflight.Preflight:
    """What TRL will do with KTO's rows, read from a trainer of its own with a stand-in for the model.

    Raises:
        TrainingError: there is nothing to check, since only KTO depends on the order.
    """
    if prepared.wanted.settings.method != "kto":
        raise TrainingError("--preflight is for kto: dpo and sft do not depend on the order of their rows")
    from plum_hub.training.trainer import TrainingJob, arguments, trainer

    quiet()
    small = replace(prepared.plan, lora=False, bf16=False, checkpointed=False, precomputed=False, quantization="none")
    with tempfile.TemporaryDirectory() as steps:
        job = TrainingJob(prepared.wanted.settings, small, prepared.rows, prepared.weights, Path(steps))
        models = [stand_in(prepared.tokenizer) for _ in range(2)]  # or TRL would load a reference model
        one = trainer(job, arguments(job, gpu=False), models, prepared.tokenizer)
        return preflight.read(one, prepared.wanted.processes)


def train(prepared: PreparedTraining, progress: Progress) -> dict[str, Any]:
    """Train, or go on with it, and return what `training.json` says in the end.

    Raises:
        TrainingError: the folder holds another training; the preflight refuses; it diverged; weights could not be
            written. The last good checkpoint is kept.
    """
    facts, folder = prepared.facts(), prepared.folder
    folder.check(facts)
    if (begun := folder.facts()) and begun["finished"]:
        return begun
    progress.say(prepared.plan.line())
    quiet()
    with folder.lock() if os.environ.get("RANK", "0") == "0" else nullcontext():
        one, job = loaded(prepared)
        if prepared.wanted.settings.packing:
            facts["rows"]["sequences"] = len(one.train_dataset)
            facts["steps"] = prepared.steps(len(one.train_dataset))
        if prepared.wanted.settings.method == "kto":
            found = preflight.read(one, prepared.wanted.processes)
            found.check()
            facts["preflight"] = found.as_json()
            progress.say(
                f"order: {found.pairs:,} KL pairs, {found.same_prompt:,} of one prompt; {found.batches:,} batches, "
                f"{found.single_label:,} of one label; weights: chosen {job.weights.desirable:.3g}, rejected "
                f"{job.weights.undesirable:.3g}"
            )
        return _run(prepared, one, job, facts, progress)


def loaded(prepared: PreparedTraining) -> tuple[Any, Any]:
    """TRL's trainer with the weights loaded, and its job.

    Raises:
        TrainingError: other processes train beside this one than it was told of.
    """
    import torch

    from plum_hub.training.trainer import TrainingJob, arguments, trainer

    settings, plan, base = prepared.wanted.settings, prepared.plan, prepared.base
    job = TrainingJob(settings, plan, prepared.rows, prepared.weights, prepared.folder.path / STEPS)
    args = arguments(job, gpu=torch.cuda.is_available())  # before the weights: DeepSpeed prepares their loading
    if args.world_size != prepared.wanted.processes:
        raise TrainingError(
            f"{args.world_size} processes train together, and WORLD_SIZE says {prepared.wanted.processes}: start them "
            f"with --launch {args.world_size} or torchrun"
        )
    held = settings.method != "sft" and not plan.lora and not plan.precomputed
    models = [
        base.weights(bf16=plan.bf16 and plan.lora, quantization=plan.quantization) for _ in range(2 if held else 1)
    ]
    return trainer(job, args, models, prepared.tokenizer), job


def _run(prepared: PreparedTraining, one: Any, job: Any, facts: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Take the steps, and leave the model in the folder."""
    from plum_hub.training.trainer import TrainingListener, saving, take_steps

    folder, main = prepared.folder, one.is_world_process_zero()
    if main:
        folder.write(facts)
        folder.clean()
    last = folder.last_step()
    done = int(last.name.rpartition("-")[2]) if last else 0
    progress.begin("training", facts["steps"], done)
    began = time.monotonic()
    with folder.metrics(done, kept=main) as keep:
        take_steps(one, job, last, TrainingListener(keep, progress.advance))
    facts["seconds"] = {"of the last start": round(time.monotonic() - began, 1), "from step": done}
    with saving(folder.path):
        one.save_model(str(folder.path))
        if main and prepared.plan.lora and prepared.wanted.settings.merge:
            prepared.base.merged(folder.path).save_pretrained(folder.path / MERGED)
            prepared.tokenizer.save_pretrained(folder.path / MERGED)
    facts |= {"finished": True, "peak_gb": _peak() / 1e9}
    if main:
        draw(folder.path / METRICS, folder.path / REPORT)
        folder.finish(facts)
    progress.end()
    return facts


def _base(wanted: TrainingRequest, writer: PolicyRef | None) -> PinnedModel:
    """The model to train.

    Raises:
        TrainingError: nobody says which; or it did not write the samples and that is not allowed.
    """
    if wanted.model is None:
        if writer is None or writer.model is None:
            raise TrainingError(
                f"{wanted.source}: {'does not say who wrote it' if writer is None else f'was written by {writer.name}'}"
                ", so there is no model here to train: name one with --model"
            )
        return pinned(writer.model, writer.revision)
    same = writer is not None and wanted.model.partition("@")[0] == writer.model and not Path(wanted.model).is_dir()
    base = pinned(wanted.model, writer.revision if same and writer else None)
    if writer is not None and writer.revision != base.revision and not wanted.allow_off_policy:
        raise TrainingError(
            f"the samples were written by {writer.name} at {writer.revision}, and {base.name} is at {base.revision}: "
            "train the model that wrote them (leave --model out), or say --allow-off-policy, which is recorded"
        )
    return base


def _batches(settings: TrainingSettings, fits: Fitting, processes: int) -> Batches:
    """How many rows make a batch, and how many batches a step.

    Raises:
        TrainingError: kto has rows of one label only.
    """
    if settings.method != "kto":
        return settings.batches(SMALLEST, processes)
    chosen = sum(row["label"] for row in fits.rows)
    rejected = len(fits.rows) - chosen
    if not chosen or not rejected:
        raise TrainingError(
            f"all {len(fits.rows):,} rows are {'chosen' if chosen else 'rejected'}: kto needs both labels"
            + ("; train on the chosen alone with --method sft" if chosen else "")
        )
    return settings.batches(batch_size(chosen, rejected), processes)


def _orders(fits: Fitting, wanted: TrainingRequest, batches: Batches) -> list[BatchOrder]:
    """KTO's epochs.

    Raises:
        TrainingError: there is not one batch of both labels and different prompts.
    """
    settings = wanted.settings
    if settings.method != "kto":
        return []
    facts = [
        RowFacts(digest(row["prompt"]), row["label"], tokens)
        for row, tokens in zip(fits.rows, fits.tokens, strict=True)
    ]
    shape = BatchShape(batches.size, wanted.processes, settings.group_by_length)
    orders = epochs(facts, shape, settings.seed, settings.epochs)
    if not orders[0].rows:
        reasons = "; ".join(f"{count:,}: {reason}" for reason, count in orders[0].left_out.items())
        raise TrainingError(
            f"{len(facts):,} rows make no batch of {batches.size} for each of {wanted.processes} processes "
            f"({reasons}): get more prompts, or make batches smaller with --set batch_size=2"
        )
    return orders


def _default_out(wanted: TrainingRequest) -> Path:
    method = wanted.settings.method
    ending = "" if method == "kto" else f"-{method}"
    source = Path(wanted.source).expanduser()
    return source / f"{CHECKPOINT}{ending}" if source.is_dir() else Path(f"runs/train-{slug(wanted.source)}{ending}")


def _peak() -> int:
    """The most bytes that were held at a time, on the GPU where there is one."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES}


def quiet() -> None:
    """Silence the bars that libraries draw while they load and tokenise, and bitsandbytes' advice on kernels."""
    import logging

    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
