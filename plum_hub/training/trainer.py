"""TRL's trainers with guards: abort on NaN or runaway KL, and keep the last good checkpoint when a write fails.

Imported late, since it imports TRL.
"""

import os
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - this file is the adapter of TRL, imported where a training starts
from datasets import Dataset, Features, Json, List  # noqa: TID253
from peft import LoraConfig  # noqa: TID253
from peft.helpers import disable_input_dtype_casting  # noqa: TID253
from safetensors import SafetensorError
from torch.optim.lr_scheduler import LambdaLR  # noqa: TID253
from transformers import PrinterCallback, Trainer, TrainerCallback  # noqa: TID253
from transformers.integrations import TensorBoardCallback  # noqa: TID253
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer  # noqa: TID253
from trl.kernels import chunked_logprob  # noqa: TID253
from trl.trainer import utils  # noqa: TID253

from plum_hub.errors import TrainingError
from plum_hub.training import heap
from plum_hub.training.balance import LabelWeights
from plum_hub.training.checkpoint import TENSORBOARD, mark_complete
from plum_hub.training.device import DevicePlan
from plum_hub.training.lengths import ROW_NAME, Row
from plum_hub.training.memory import TILE_TOKENS, MemoryEstimate
from plum_hub.training.settings import TrainingSettings

_CONVERSATIONS = ("prompt", "completion", "chosen", "rejected", "messages")
"""Columns that may be conversations."""
_CHUNK = 5_000
"""Rows that are in memory while they are written for a trainer."""


def rate_share(step: int, steps: int, warmup: float) -> float:
    """Compute the learning rate of a step: a linear rise, then a linear decay, of which no step has the rate 0.

    The linear schedule of transformers gives the first step the rate 0, which is all there is of a short training.

    Args:
        step: The step, from 0.
        steps: Steps of the whole training.
        warmup: Share of the steps that rise, rounded down: fewer than `1 / warmup` steps have none.

    Returns:
        Share of the peak, from 0 to 1; 0 only after the last step.
    """
    rising = int(warmup * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    return max(0.0, (steps - step) / (steps - rising))


def _guarded(base: Any) -> Any:
    """Subclass one of TRL's trainers so that it stops when it diverges, and each step has a learning rate above 0."""

    class Guarded(base):  # type: ignore[misc]  # TRL has no types
        lr_scheduler: Any
        max_kl = float("inf")

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            if self.lr_scheduler is None:
                warmup = self.args.warmup_steps  # as a share
                share = partial(rate_share, steps=num_training_steps, warmup=warmup)
                self.lr_scheduler = LambdaLR(optimizer or self.optimizer, share)
                self._created_lr_scheduler = True
            return self.lr_scheduler

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(model, inputs, *args, **kwargs)
            value = loss[0] if isinstance(loss, tuple) else loss
            if not bool(torch.isfinite(value.detach()).all()):
                self._stop("the loss is not a finite number", inputs)
            kl = (self._metrics["train"].get("kl") or [0.0])[-1]
            if kl > self.max_kl:
                self._stop(f"the KL estimate is {kl:.1f} nats, above max_kl {self.max_kl:g}", inputs)
            return loss

        def _stop(self, what: str, inputs: Mapping[str, Any]) -> None:
            raise TrainingError(
                f"step {self.state.global_step + 1}: {what}; the rows of the batch are "
                f"{', '.join(_row_names(self.train_dataset, inputs))} (numbers count from 0); lower --set "
                "learning_rate=N, and start over with --out DIR"
            )

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            with saving(folder):
                Trainer._save_checkpoint(self, model, trial)  # TRL's own version only adds its model card
                self.accelerator.wait_for_everyone()  # each process writes files of its own
                if self.args.should_save:
                    mark_complete(folder)

    return Guarded


_TRAINERS = {
    "kto": (_guarded(KTOTrainer), KTOConfig),
    "dpo": (_guarded(DPOTrainer), DPOConfig),
    "sft": (_guarded(SFTTrainer), SFTConfig),
}


@contextmanager
def saving(folder: Path) -> Iterator[None]:
    """Turn a failure to write weights within the block into an error that says what is kept.

    Args:
        folder: Folder that the block writes to.

    Yields:
        Nothing.

    Raises:
        TrainingError: The block could not write, as on a full disk.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:  # torch.save raises a RuntimeError
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"{folder}: cannot be written ({reason}); the checkpoint before it is kept: fix that and run the same "
            "command again"
        ) from error


def _row_names(dataset: Dataset, inputs: Mapping[str, Any]) -> list[str]:
    """Name a batch's rows, identified by their tokens; packed rows have no names."""
    if ROW_NAME not in dataset.column_names:
        return ["packed together, so that they cannot be named"]
    tokens = {
        tuple(ids[mask.bool()].tolist())
        for ids, mask in zip(inputs["input_ids"].cpu(), inputs["attention_mask"].cpu(), strict=True)
    }
    answers = [name for name in ("completion_ids", "chosen_ids") if name in dataset.column_names]
    names = []
    for row in dataset:
        sequence = row["prompt_ids"] + row[answers[0]] if answers else row["input_ids"]
        if tuple(sequence) in tokens and row[ROW_NAME] not in names:
            names.append(row[ROW_NAME])
    return names


@dataclass(frozen=True)
class TrainingListener:
    """What a training reports to."""

    keep: Callable[[Mapping[str, Any]], None]
    """Called with the metrics of each step."""
    advance: Callable[[], None]
    """Called after each step."""
    tokens: int = 0
    """Tokens that an earlier start trained on, from which the metrics count on."""


class _StepReporter(TrainerCallback):  # type: ignore[misc]
    """Report each step to a listener, with the seconds since this start; only the first process reports."""

    def __init__(self, listener: TrainingListener, epochs: int) -> None:
        self._listener, self._epochs, self._began = listener, epochs, time.monotonic()

    def on_log(self, _: Any, state: Any, __: Any, logs: Any = None, **___: Any) -> None:
        if state.is_world_process_zero and "loss" in logs:
            logs = logs | {"epoch": logs["epoch"] * self._epochs}
            self._listener.keep({"step": state.global_step, "seconds": time.monotonic() - self._began, **logs})

    def on_step_end(self, _: Any, state: Any, __: Any, **___: Any) -> None:
        if state.is_world_process_zero:
            self._listener.advance()


class _HeapTrimmer(TrainerCallback):  # type: ignore[misc]
    """Trim a CPU's heap after each batch if the process holds more than the estimate of the training."""

    def __init__(self, need: MemoryEstimate) -> None:
        # What is resident now includes the weights.
        self._limit = heap.resident_bytes() + need.optimiser + need.activations

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        heap.trim(self._limit)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        heap.trim(self._limit)


@dataclass(frozen=True)
class TrainingJob:
    """What a trainer needs besides the model."""

    settings: TrainingSettings
    plan: DevicePlan
    rows: Sequence[Row]
    """Rows in training order; for kto all epochs, one after the other."""
    weights: LabelWeights
    steps: Path
    """Folder for intermediate checkpoints."""


def trl_config(job: TrainingJob, *, gpu: bool) -> Any:
    """Make TRL's configuration for a job.

    Args:
        job: The job.
        gpu: Train on a GPU; otherwise on the CPU.

    Returns:
        A `KTOConfig`, `DPOConfig` or `SFTConfig`.

    Raises:
        TrainingError: This single process sees several GPUs, which TRL does not train on together.
    """
    if gpu and (number := torch.cuda.device_count()) > 1 and "WORLD_SIZE" not in os.environ:
        raise TrainingError(
            f"there are {number} GPUs here: train on all of them with --launch {number}, or select one with "
            "CUDA_VISIBLE_DEVICES=0"
        )
    settings, plan = job.settings, job.plan
    _, config = _TRAINERS[settings.method]
    special: dict[str, Any] = {}
    if settings.method != "sft":
        special = {"beta": settings.beta, "precompute_ref_log_probs": plan.precomputed}
    if settings.method == "sft":
        special = {"packing": settings.packing}
    if settings.method == "kto":
        special |= {"desirable_weight": job.weights.desirable, "undesirable_weight": job.weights.undesirable}
    return config(
        output_dir=str(job.steps),
        max_length=settings.max_length,
        num_train_epochs=1 if settings.method == "kto" else settings.epochs,
        per_device_train_batch_size=plan.batches.size,
        gradient_accumulation_steps=plan.batches.accumulation,
        learning_rate=plan.learning_rate,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=plan.bf16,
        gradient_checkpointing=plan.checkpointed,
        save_steps=settings.checkpoint_every,
        save_total_limit=2,
        logging_steps=1,
        report_to=list(settings.report_to) or "none",
        project="plum-hub",
        run_name="-".join(job.steps.absolute().parts[-3:-1]),
        disable_tqdm=True,
        seed=settings.seed,
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        ddp_find_unused_parameters=False,
        **special,
    )


def make_trainer(job: TrainingJob, config: Any, models: Sequence[Any], tokenizer: Any) -> Any:
    """Make one of TRL's trainers over a job's rows, which tokenises them.

    Args:
        job: The job.
        config: What `trl_config` made of it, before the models were loaded: DeepSpeed requires that order.
        models: The model, and the reference model where one must be held in memory.
        tokenizer: Tokenizer of the model.

    Returns:
        The trainer, ready for `take_steps`.
    """
    settings = job.settings
    kind, _ = _TRAINERS[settings.method]
    _score_answers_only()
    options: dict[str, Any] = {"ref_model": models[1]} if len(models) > 1 else {}
    if job.plan.lora:
        options["peft_config"] = LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
    folder = tempfile.TemporaryDirectory(prefix="plum-hub-train-", ignore_cleanup_errors=True)
    trainer = kind(
        model=models[0],
        args=config,
        train_dataset=on_disk(job.rows, Path(folder.name)),
        processing_class=tokenizer,
        **options,
    )
    weakref.finalize(trainer, folder.cleanup)
    if job.plan.lora:  # a set, whose order in the file would differ from one process to the next
        for adapter in trainer.model.peft_config.values():
            if isinstance(adapter.target_modules, set):
                adapter.target_modules = sorted(adapter.target_modules)
    if job.plan.quantization != "none":  # TRL casts the adapters of quantised models to bf16
        for weight in trainer.model.parameters():
            weight.data = weight.data.float() if weight.requires_grad else weight.data
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(job.steps.parent / TENSORBOARD)  # its default is removed with the steps
    trainer.max_kl = settings.max_kl
    trainer.remove_callback(PrinterCallback)
    return trainer


def on_disk(rows: Sequence[Row], folder: Path) -> Dataset:
    """Write rows to an Arrow file and map it into memory; then TRL writes their tokens to files beside it as well.

    Args:
        rows: The rows, at least one.
        folder: A folder that exists as long as the dataset.

    Returns:
        The rows, with the column types that `Dataset.from_list` gives them; but turns that have more than a role and a
        content are JSON, since Arrow would give each of them the fields of all the others, as nulls.
    """
    import pyarrow as pa

    turns = {name for row in rows for name in _CONVERSATIONS if _has_more_fields(row.get(name))}

    def chunk(start: int) -> pa.Table:
        part = rows[start : start + _CHUNK]
        if turns:
            kept = {name: List(Json()) for name in turns}
            others = Dataset.from_list([{key: row[key] for key in row if key not in turns} for row in part])
            return Dataset.from_list(part, Features(others.features | kept)).data.table.replace_schema_metadata(None)
        return Dataset.from_list(part).data.table.replace_schema_metadata(None)

    starts, path = range(0, len(rows), _CHUNK), folder / "rows.arrow"
    first = chunk(0)
    schema = pa.unify_schemas([first.schema, *(chunk(one).schema for one in starts[1:])], promote_options="permissive")
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for start in starts:
            writer.write_table((chunk(start) if start else first).cast(schema))
    return Dataset.from_file(str(path))


def _has_more_fields(value: Any) -> bool:
    return isinstance(value, list) and any(turn.keys() != {"role", "content"} for turn in value)


def _score_answers_only() -> None:
    """Make TRL project only answer positions through the LM head, also on a CPU, and there in smaller tiles.

    Without Triton TRL projects prompts and padding too and discards the result, so that compilers for other devices see
    a single shape. A CPU compiles nothing, and there the head of a small model with a large vocabulary, whose gradient
    is a product in fp32, takes longer than all layers together. Smaller tiles take the same time there and less memory,
    since nothing is computed in place.
    """
    if not torch.cuda.is_available():
        chunked_logprob.TOKEN_CHUNK_SIZE = TILE_TOKENS
    utils._use_triton = lambda device: device.type in ("cpu", "cuda", "xpu")


def take_steps(trainer: Any, job: TrainingJob, last: Path | None, listener: TrainingListener) -> None:
    """Train to the end.

    Args:
        trainer: What `make_trainer` returned for the job.
        job: The job.
        last: Checkpoint to resume from; None starts at step 0.
        listener: Callbacks for each step.

    Raises:
        TrainingError: The training diverged, a checkpoint could not be written, or the device is out of memory.
    """
    # To TRL, KTO's epochs are one epoch.
    trainer.add_callback(_StepReporter(listener, job.settings.epochs if job.settings.method == "kto" else 1))
    if trainer.args.use_cpu:
        heap.retain_freed()
        trainer.add_callback(_HeapTrimmer(job.plan.need))
    trainer._total_train_tokens = listener.tokens  # TRL begins at 0 in each process
    # PEFT casts each adapter's input to fp32, and autocast back to bf16: the same numbers, at twice the memory.
    cast_inputs = not (job.plan.lora and job.plan.bf16)
    try:
        with disable_input_dtype_casting(trainer.model, active=not cast_inputs):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the device is out of memory, after {job.plan.line()}; make batches smaller with --set batch_size=N and "
            "--out DIR, or save memory with --set gradient_checkpointing=true"
        ) from error
