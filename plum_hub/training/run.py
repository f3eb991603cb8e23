"""Stage `training`: from labelled rows to a checkpoint.

Problems are found before the weights are loaded where possible; an interrupted training resumes from its last
checkpoint.
"""

import os
import platform
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

from plum_hub.engines.tokenizer import context_of
from plum_hub.errors import TrainingError
from plum_hub.progress import Progress
from plum_hub.records import digest
from plum_hub.release.schemas import Method
from plum_hub.slug import slug
from plum_hub.spool import SelectedItems
from plum_hub.training import preflight
from plum_hub.training.balance import MIN_BATCH, LabelWeights, batch_size, class_weights
from plum_hub.training.base import PinnedModel, pin_model, placeholder_model
from plum_hub.training.batch_order import BatchOrder, BatchShape, RowFacts, epochs
from plum_hub.training.checkpoint import CHECKPOINT, MERGED, METRICS, REPORT, STEPS, TrainingFolder
from plum_hub.training.curves import draw
from plum_hub.training.data import PolicyRef, TrainingData, read_data
from plum_hub.training.device import DevicePlan, plan_device
from plum_hub.training.lengths import FittingRows, Row, fitting_rows
from plum_hub.training.record import (
    EpochRows,
    MemoryRecord,
    ModelRevision,
    TrainingRecord,
    TrainingRows,
    TrainingTime,
)
from plum_hub.training.settings import Batches, TrainingSettings

_WHOLE = 0.99
"""Share of what was learned from which on merged weights count as holding it all."""
_PACKAGES = ("plum-hub", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


@dataclass(frozen=True)
class TrainingRequest:
    """What to train on what."""

    source: str
    """Run folder, file, or repository as `REPO[@REVISION]`."""
    model: str | None
    """Model to train; None trains the model that wrote the samples."""
    out: Path | None
    """Checkpoint folder. None: `checkpoint` in the run's folder, else `runs/train-SOURCE`; for methods other than kto
    with `-METHOD` appended."""
    settings: TrainingSettings
    hub: str = "auto"
    """Hub of a source repository, as `--hub` takes it."""
    allow_off_policy: bool = False
    """Train a model that did not write the samples."""
    processes: int = 1
    """Number of processes that train together."""


@dataclass(frozen=True)
class PreparedTraining:
    """A training that is ready to start; no weights are loaded."""

    request: TrainingRequest
    folder: TrainingFolder
    base: PinnedModel
    data: TrainingData
    tokenizer: Any
    fitting: FittingRows
    plan: DevicePlan
    orders: Sequence[BatchOrder]
    """KTO's epochs; empty for the other methods."""
    labels: Sequence[bool] = ()
    """The labels of the rows that fit; empty for the other methods."""

    @property
    def rows(self) -> Sequence[Row]:
        """Rows that the trainer reads: for KTO every epoch, one after the other."""
        if self.request.settings.method != "kto":
            return self.fitting.rows
        return SelectedItems(self.fitting.rows, [row for order in self.orders for row in order.rows])

    @property
    def within_context(self) -> TrainingSettings:
        """The settings, with no sequence longer than the model takes."""
        return self.request.settings.model_copy(update={"max_length": self.fitting.limit})

    @property
    def columns_not_read(self) -> tuple[str, ...]:
        """Columns that might change the training, and are not read here or not rendered by the model's template."""
        return tuple(dict.fromkeys((*self.data.ignored_columns, *self.fitting.unseen)))

    @property
    def weights(self) -> LabelWeights:
        """KTO's class weights: as set, else from the label counts."""
        settings = self.request.settings
        if settings.method != "kto":
            return LabelWeights()
        if settings.desirable_weight or settings.undesirable_weight:
            return LabelWeights(settings.desirable_weight or 1.0, settings.undesirable_weight or 1.0)
        labels = Counter(self.labels[row] for order in self.orders for row in order.rows)
        return class_weights(labels[True], labels[False])

    def steps(self, rows: int) -> int:
        """Count the optimiser steps.

        Args:
            rows: Rows that the trainer reads, or packed sequences.

        Returns:
            Steps of the whole training.
        """
        settings, batches = self.request.settings, self.plan.batches
        passes = 1 if settings.method == "kto" else settings.epochs
        return passes * ceil(ceil(rows / (batches.size * self.request.processes)) / batches.accumulation)

    def record(self) -> TrainingRecord:
        """Describe the training as it starts.

        Returns:
            The content of `training.json` before the first step.
        """
        data = self.data.record()
        return TrainingRecord(
            finished=False,
            settings=self.request.settings,
            decided=self.plan.resolved(),
            class_weights=self.weights,
            model=ModelRevision(name=self.base.name, revision=self.base.revision),
            data=data,
            on_policy=None if data.written_by is None else data.written_by.revision == self.base.revision,
            processes=self.request.processes,
            rows=self._counts(),
            steps=self.steps(len(self.rows)),
            memory_gb=MemoryRecord(estimated=self.plan.need.total / 1e9, free=self.plan.available / 1e9),
            versions=_versions(),
        )

    def _counts(self) -> TrainingRows:
        labels: Counter[bool] = Counter()
        instructions = set()
        for row in self.fitting.rows:
            labels[row.get("label", True)] += 1
            labels[False] += "rejected" in row
            instructions.add(row["instruction_id"])
        return TrainingRows(
            read=len(self.data.rows),
            left_out=dict(self.fitting.left_out),
            kept=len(self.fitting.rows),
            chosen=labels[True],
            rejected=labels[False],
            instructions=len(instructions),
            longest=max(self.fitting.tokens),
            epochs=tuple(EpochRows(rows=len(order.rows), left_out=dict(order.left_out)) for order in self.orders),
            merged=self.fitting.merged or None,
            columns_not_read=list(self.columns_not_read) or None,
        )


def prepare(request: TrainingRequest) -> PreparedTraining:
    """Read the rows, pin the model, keep what fits, lay out the batches and estimate memory; load no weights.

    Args:
        request: What to train on what.

    Returns:
        The training, ready to start. Settings that an earlier start in the same folder resolved keep their values.

    Raises:
        TrainingError: This cannot be trained; the message says why.
        PlumError: The source or the model cannot be read.
    """
    settings = request.settings
    if absent := [name for name in settings.report_to if find_spec(name) is None]:
        raise TrainingError(f"report_to: {absent[0]} is not installed: run  pip install {absent[0]}")
    data = read_data(request.source, settings.method, request.hub)
    base = _base(request, data.policy)
    config, tokenizer = base.load_config(), base.load_tokenizer()
    fitting = fitting_rows(data.rows, tokenizer, settings.max_length, data.places, context_of(config, tokenizer))
    folder = TrainingFolder(request.out or _default_out(request))
    earlier = folder.record()
    resolved = earlier.decided.apply(settings) if earlier else settings
    facts = _facts(fitting, settings.method)
    labels = [row.label for row in facts]
    batches = _batches(resolved, labels, fitting.left_out, request.processes)
    orders = _orders(facts, request, batches)
    longest = fitting.limit if settings.packing else max(fitting.tokens)
    plan = plan_device(resolved, config, batches, longest, request.processes)
    return PreparedTraining(request, folder, base, data, tokenizer, fitting, plan, orders, labels)


def check(prepared: PreparedTraining) -> preflight.Preflight:
    """Read what TRL will do with KTO's rows from a trainer with a placeholder model.

    Args:
        prepared: A KTO training.

    Returns:
        Counts of KL pairs and labels over all batches.

    Raises:
        TrainingError: The method is not KTO, the only one that depends on the order of rows.
    """
    if prepared.request.settings.method != "kto":
        raise TrainingError("--preflight is for kto: dpo and sft do not depend on the order of their rows")
    from plum_hub.training.trainer import TrainingJob, make_trainer, trl_config

    _silence_libraries()
    small = replace(prepared.plan, lora=False, bf16=False, checkpointed=False, precomputed=False, quantization="none")
    with tempfile.TemporaryDirectory() as steps:
        job = TrainingJob(prepared.within_context, small, prepared.rows, prepared.weights, Path(steps))
        models = [placeholder_model(prepared.tokenizer) for _ in range(2)]  # else TRL would load a reference model
        trainer = make_trainer(job, trl_config(job, gpu=False), models, prepared.tokenizer)
        return preflight.read(trainer, prepared.request.processes)


def train(prepared: PreparedTraining, progress: Progress) -> TrainingRecord:
    """Train, or resume the training; if it is finished already, do nothing.

    Args:
        prepared: The training.
        progress: Progress reporter.

    Returns:
        The final content of `training.json`.

    Raises:
        TrainingError: The folder holds another training; the preflight check refuses; the training diverged; or weights
            could not be written. The last good checkpoint is kept.
    """
    record, folder = prepared.record(), prepared.folder
    folder.check(record)
    if (earlier := folder.record()) and earlier.finished:
        folder.remove_steps()  # it may have been killed before it did
        main = os.environ.get("RANK", "0") == "0"
        if main and prepared.plan.lora and prepared.request.settings.merge and not (folder.path / MERGED).exists():
            with folder.lock():
                _merge(prepared, progress)
            earlier = earlier.model_copy(update={"settings": record.settings})
            folder.write(earlier)
        return earlier
    progress.say(prepared.plan.line())
    _silence_libraries()
    with folder.lock() if os.environ.get("RANK", "0") == "0" else nullcontext():
        trainer, job = load_trainer(prepared)
        if prepared.request.settings.packing:
            sequences = len(trainer.train_dataset)
            rows = record.rows.model_copy(update={"sequences": sequences})
            record = record.model_copy(update={"rows": rows, "steps": prepared.steps(sequences)})
        if prepared.request.settings.method == "kto":
            found = preflight.read(trainer, prepared.request.processes)
            found.check()
            record = record.model_copy(update={"preflight": found})
            progress.say(
                f"order: {found.pairs:,} KL pairs, {found.same_prompt:,} of one prompt; {found.batches:,} batches, "
                f"{found.single_label:,} of one label; weights: chosen {job.weights.desirable:.3g}, rejected "
                f"{job.weights.undesirable:.3g}"
            )
        return _run(prepared, trainer, job, record, progress)


def load_trainer(prepared: PreparedTraining) -> tuple[Any, Any]:
    """Load the weights into one of TRL's trainers.

    Args:
        prepared: The training.

    Returns:
        The trainer and its `TrainingJob`.

    Raises:
        TrainingError: The number of processes that train together differs from the request.
    """
    import torch

    from plum_hub.training.trainer import TrainingJob, make_trainer, trl_config

    settings, plan, base = prepared.request.settings, prepared.plan, prepared.base
    job = TrainingJob(prepared.within_context, plan, prepared.rows, prepared.weights, prepared.folder.path / STEPS)
    config = trl_config(job, gpu=torch.cuda.is_available())  # before the weights: DeepSpeed prepares their loading
    if config.world_size != prepared.request.processes:
        raise TrainingError(
            f"{config.world_size} processes train together, and WORLD_SIZE says {prepared.request.processes}: start "
            f"them with --launch {config.world_size} or torchrun"
        )
    held = settings.method != "sft" and not plan.lora and not plan.precomputed
    models = [
        base.load_model(bf16=plan.bf16 and plan.lora, quantization=plan.quantization) for _ in range(2 if held else 1)
    ]
    return make_trainer(job, config, models, prepared.tokenizer), job


def _run(
    prepared: PreparedTraining, trainer: Any, job: Any, record: TrainingRecord, progress: Progress
) -> TrainingRecord:
    """Take the steps, and save the model."""
    from plum_hub.training.trainer import TrainingListener, saving, take_steps

    folder, main = prepared.folder, trainer.is_world_process_zero()
    if main:
        folder.write(record)
        for damaged in folder.clean():
            progress.say(
                f"{damaged}: is damaged, and was removed; the steps since the checkpoint before it are repeated"
            )
    last = folder.last_step()
    done = int(last.name.rpartition("-")[2]) if last else 0
    progress.begin("training", record.steps, done)
    began = time.monotonic()
    with folder.metrics(done, kept=main) as keep:
        take_steps(trainer, job, last, TrainingListener(keep, progress.advance, folder.tokens()))
    seconds = TrainingTime(of_last_start=round(time.monotonic() - began, 1), from_step=done)
    with saving(folder.path):
        trainer.save_model(str(folder.path))
        if main and prepared.plan.lora and prepared.request.settings.merge:
            _merge(prepared, progress)
    record = record.model_copy(update={"seconds": seconds, "finished": True, "peak_gb": _peak_bytes() / 1e9})
    if main:
        draw(folder.path / METRICS, folder.path / REPORT)
        folder.finish(record)
    progress.end()
    return record


def _merge(prepared: PreparedTraining, progress: Progress) -> None:
    """Write the adapters as a whole model, and say what its dtype leaves of them."""
    from plum_hub.training.trainer import saving

    adapters = prepared.folder.path
    model, share = prepared.base.merge(adapters)
    with saving(adapters), prepared.folder.whole(MERGED) as folder:
        model.save_pretrained(folder)
        prepared.tokenizer.save_pretrained(folder)
    if share < _WHOLE:
        progress.say(
            f"{adapters / MERGED}: as {str(model.dtype).removeprefix('torch.')} holds {share:.0%} of the change that "
            f"was learned, since smaller ones are rounded away; {adapters} holds all of it, and engines run it as it is"
        )


def _base(request: TrainingRequest, policy: PolicyRef | None) -> PinnedModel:
    """Pin the model to train; refuse one that did not write the samples, unless that is allowed."""
    if request.model is None:
        if policy is None or policy.model is None:
            who = "does not say which model wrote it" if policy is None else f"was written by {policy.name}"
            raise TrainingError(f"{request.source}: {who}, so there is no model here to train: name one with --model")
        return pin_model(policy.model, policy.revision)
    same = policy is not None and request.model.partition("@")[0] == policy.model and not Path(request.model).is_dir()
    base = pin_model(request.model, policy.revision if same and policy else None)
    if policy is not None and policy.revision != base.revision and not request.allow_off_policy:
        raise TrainingError(
            f"the samples were written by {policy.name} at {policy.revision}, and {base.name} is at {base.revision}: "
            "train the model that wrote them (leave --model out), or pass --allow-off-policy, which is recorded"
        )
    return base


def _facts(fitting: FittingRows, method: Method) -> list[RowFacts]:
    """Read what the order of KTO's rows depends on; nothing for the other methods."""
    if method != "kto":
        return []
    return [
        RowFacts(digest(row["prompt"]), row["label"], tokens)
        for row, tokens in zip(fitting.rows, fitting.tokens, strict=True)
    ]


def _batches(
    settings: TrainingSettings, labels: Sequence[bool], left_out: Mapping[str, int], processes: int
) -> Batches:
    """Choose batch size and accumulation; KTO needs both labels."""
    if settings.method != "kto":
        return settings.batches(MIN_BATCH, processes)
    chosen = sum(labels)
    rejected = len(labels) - chosen
    if not chosen or not rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise TrainingError(
            f"all {len(labels):,} rows are {'chosen' if chosen else 'rejected'}"
            + (f" (left out: {reasons})" if reasons else "")
            + ": kto needs both labels"
            + ("; train on the chosen alone with --method sft" if chosen else "")
        )
    return settings.batches(batch_size(chosen, rejected), processes)


def _orders(facts: Sequence[RowFacts], request: TrainingRequest, batches: Batches) -> list[BatchOrder]:
    """Lay out KTO's epochs; refuse rows that make not a single valid batch."""
    settings = request.settings
    if settings.method != "kto":
        return []
    shape = BatchShape(batches.size, request.processes, settings.group_by_length)
    orders = epochs(facts, shape, settings.seed, settings.epochs)
    if not orders[0].rows:
        reasons = "; ".join(f"{count:,}: {reason}" for reason, count in orders[0].left_out.items())
        raise TrainingError(
            f"{len(facts):,} rows make no batch of {batches.size} for each of {request.processes} processes "
            f"({reasons}): provide more prompts, or make batches smaller with --set batch_size=2"
        )
    return orders


def _default_out(request: TrainingRequest) -> Path:
    method = request.settings.method
    ending = "" if method == "kto" else f"-{method}"
    source = Path(request.source).expanduser()
    is_run = (source / "recipe.yaml").is_file()
    return source / f"{CHECKPOINT}{ending}" if is_run else Path(f"runs/train-{slug(request.source)}{ending}")


def _peak_bytes() -> int:
    """Return the peak memory of the GPU; without one, of the process."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES}


def _silence_libraries() -> None:
    """Disable progress bars of loading and tokenising, and bitsandbytes' advice on kernels."""
    import logging

    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
