"""TRL's trainers, guarded: a loss that is no number or a KL that runs away stops with the rows of the batch, and a
checkpoint that could not be written leaves the one before. Imported late, since it imports TRL."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - this file is the adapter of TRL, imported where a training begins
from datasets import Dataset  # noqa: TID253
from peft import LoraConfig  # noqa: TID253
from peft.helpers import disable_input_dtype_casting  # noqa: TID253
from safetensors import SafetensorError
from transformers import PrinterCallback, Trainer, TrainerCallback  # noqa: TID253
from transformers.integrations import TensorBoardCallback  # noqa: TID253
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer  # noqa: TID253
from trl.kernels import chunked_logprob  # noqa: TID253
from trl.trainer import utils  # noqa: TID253

from plum_hub.errors import TrainingError
from plum_hub.training import heap
from plum_hub.training.balance import LabelWeights
from plum_hub.training.checkpoint import TENSORBOARD, complete
from plum_hub.training.device import DevicePlan
from plum_hub.training.lengths import NAME, Row
from plum_hub.training.memory import TILE_TOKENS, MemoryEstimate
from plum_hub.training.settings import TrainingSettings


def _guarded(base: Any) -> Any:
    """One of TRL's trainers, which stops when it has lost its way."""

    class Guarded(base):  # type: ignore[misc]  # TRL has no types
        max_kl = float("inf")

        def compute_loss(self, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
            loss = super().compute_loss(model, inputs, *rest, **more)
            value = loss[0] if isinstance(loss, tuple) else loss
            if not bool(torch.isfinite(value.detach()).all()):
                self._stop("the loss is not a number", inputs)
            kl = (self._metrics["train"].get("kl") or [0.0])[-1]
            if kl > self.max_kl:
                self._stop(f"the KL estimate is {kl:.1f} nats, above max_kl {self.max_kl:g}", inputs)
            return loss

        def _stop(self, what: str, inputs: Mapping[str, Any]) -> None:
            raise TrainingError(
                f"step {self.state.global_step + 1}: {what}; the rows of the batch are "
                f"{', '.join(named(self.train_dataset, inputs))}; lower --set learning_rate=N, and begin anew with "
                "--out DIR"
            )

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            with saving(folder):
                Trainer._save_checkpoint(self, model, trial)  # TRL's own would only add its card; ours is another
                if self.args.should_save:
                    complete(folder)

    return Guarded


_TRAINERS = {
    "kto": (_guarded(KTOTrainer), KTOConfig),
    "dpo": (_guarded(DPOTrainer), DPOConfig),
    "sft": (_guarded(SFTTrainer), SFTConfig),
}


@contextmanager
def saving(folder: Path) -> Iterator[None]:
    """Turn a failure to write weights into a `TrainingError` that says what is kept."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:  # torch.save raises a RuntimeError
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"{folder}: cannot be written ({reason}); the checkpoint before it is kept: mend that and run the same "
            "command again"
        ) from error


def named(dataset: Dataset, inputs: Mapping[str, Any]) -> list[str]:
    """The names of a batch's rows, found by their tokens; packed rows have lost theirs."""
    if NAME not in dataset.column_names:
        return ["packed together, and have lost their names"]
    tokens = {
        tuple(ids[mask.bool()].tolist())
        for ids, mask in zip(inputs["input_ids"].cpu(), inputs["attention_mask"].cpu(), strict=True)
    }
    answers = [name for name in ("completion_ids", "chosen_ids") if name in dataset.column_names]
    found = []
    for row in dataset:
        whole = row["prompt_ids"] + row[answers[0]] if answers else row["input_ids"]
        if tuple(whole) in tokens and row[NAME] not in found:
            found.append(row[NAME])
    return found


@dataclass(frozen=True)
class TrainingListener:
    """Who hears of a training: of each step's metrics, and that a step is done."""

    keep: Callable[[Mapping[str, Any]], None]
    advance: Callable[[], None]


class _StepReporter(TrainerCallback):  # type: ignore[misc]
    """Tells of each step, with the seconds since this start. Only the first process does."""

    def __init__(self, told: TrainingListener, epochs: int) -> None:
        self._told, self._epochs, self._began = told, epochs, time.monotonic()

    def on_log(self, _: Any, state: Any, __: Any, logs: Any = None, **___: Any) -> None:
        if state.is_world_process_zero and "loss" in logs:
            logs = logs | {"epoch": logs["epoch"] * self._epochs}
            self._told.keep({"step": state.global_step, "seconds": time.monotonic() - self._began, **logs})

    def on_step_end(self, _: Any, state: Any, __: Any, **___: Any) -> None:
        if state.is_world_process_zero:
            self._told.advance()


class _HeapTrimmer(TrainerCallback):  # type: ignore[misc]
    """Hands back after a batch what a CPU's heap holds free, if it holds more than the training was said to need."""

    def __init__(self, need: MemoryEstimate) -> None:
        self._most = heap.held() + need.optimiser + need.activations  # with what is loaded of the weights

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        heap.give_back(self._most)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        heap.give_back(self._most)


@dataclass(frozen=True)
class TrainingJob:
    """What is trained on what."""

    settings: TrainingSettings
    plan: DevicePlan
    rows: Sequence[Row]
    """In the order of training: for kto all epochs, one after the other."""
    weights: LabelWeights
    steps: Path
    """Where checkpoints go."""


def arguments(job: TrainingJob, *, gpu: bool) -> Any:
    """TRL's configuration for a job, on a GPU or not.

    Raises:
        TrainingError: this one process sees several GPUs, which TRL does not train on together.
    """
    if gpu and (number := torch.cuda.device_count()) > 1 and "WORLD_SIZE" not in os.environ:
        raise TrainingError(
            f"there are {number} GPUs here: train on all of them with --launch {number}, or show one alone with "
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
        gradient_accumulation_steps=plan.batches.to_a_step,
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


def trainer(job: TrainingJob, args: Any, models: Sequence[Any], tokenizer: Any) -> Any:
    """One of TRL's trainers over a job's rows.

    Args:
        job: what is trained.
        args: what `arguments` gave for it, before the models were loaded (DeepSpeed wants that order).
        models: the model, and the reference model where one must be held.
        tokenizer: of the model.
    """
    settings = job.settings
    kind, _ = _TRAINERS[settings.method]
    _score_answers_only()
    more: dict[str, Any] = {"ref_model": models[1]} if len(models) > 1 else {}
    if job.plan.lora:
        more["peft_config"] = LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
    found = kind(
        model=models[0],
        args=args,
        train_dataset=Dataset.from_list([dict(row) for row in job.rows]),
        processing_class=tokenizer,
        **more,
    )
    if job.plan.quantization != "none":  # TRL narrows their adapters to bf16
        for weight in found.model.parameters():
            weight.data = weight.data.float() if weight.requires_grad else weight.data
    for callback in found.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(job.steps.parent / TENSORBOARD)  # its own choice would go with the steps
    found.max_kl = settings.max_kl
    found.remove_callback(PrinterCallback)
    return found


def _score_answers_only() -> None:
    """Have TRL project only the positions of answers through the LM head, also on a CPU, and there in smaller tiles.

    Without Triton it projects prompts and padding too and throws them away, so that compilers for other devices meet
    one shape only. A CPU compiles nothing, and there the head of a small model with a large vocabulary, whose gradient
    is a product in fp32, takes longer than all of its layers. Tiles of fewer tokens take the same time there, and less
    memory, since nothing is computed in place."""
    if not torch.cuda.is_available():
        chunked_logprob.TOKEN_CHUNK_SIZE = TILE_TOKENS
    utils._use_triton = lambda device: device.type in ("cpu", "cuda", "xpu")


def take_steps(one: Any, job: TrainingJob, last: Path | None, told: TrainingListener) -> None:
    """Train to the end, from a checkpoint where there is one.

    Raises:
        TrainingError: it diverged, a checkpoint could not be written, or the device's memory is full.
    """
    # KTO's epochs lie one after the other in what is one to TRL.
    one.add_callback(_StepReporter(told, job.settings.epochs if job.settings.method == "kto" else 1))
    if one.args.use_cpu:
        heap.keep()
        one.add_callback(_HeapTrimmer(job.plan.need))
    # PEFT widens each adapter's input to fp32, and autocast narrows it again: the same numbers, at twice the memory.
    widened = not (job.plan.lora and job.plan.bf16)
    try:
        with disable_input_dtype_casting(one.model, active=not widened):
            one.train(resume_from_checkpoint=str(last) if last else None)
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the device's memory is full, after {job.plan.line()}; make batches smaller with --set batch_size=N and "
            "--out DIR, or keep less with --set gradient_checkpointing=true"
        ) from error
