"""Resolve `auto` settings for this device: LoRA or full weights, precision, checkpointing; and whether it fits."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal

from plum_hub.engines.dtype import cpu_dtype
from plum_hub.errors import MissingExtraError, TrainingError
from plum_hub.training.memory import (
    MemoryDemand,
    MemoryEstimate,
    ModelShape,
    available_bytes,
    estimate_memory,
    shape_of,
)
from plum_hub.training.record import ResolvedSettings
from plum_hub.training.settings import Batches, TrainingSettings

_BYTES = {"4bit": 0.5 + 4 / 64, "8bit": 1.0}
"""Bytes per quantised weight: in 4 bits each block of 64 weights has an fp32 scale, in 8 bits each row has one."""


@dataclass(frozen=True)
class DevicePlan:
    """The settings that depend on the device and the model, resolved."""

    lora: bool
    bf16: bool
    checkpointed: bool
    """Gradient checkpointing: activations are recomputed instead of kept."""
    precomputed: bool
    """Whether the reference model's log-probabilities are computed before the first step."""
    learning_rate: float
    batches: Batches
    quantization: Literal["none", "4bit", "8bit"]
    need: MemoryEstimate
    available: int
    """Free memory, in bytes."""
    slow: bool = False
    """Whether bf16 is used on a CPU without bf16 instructions, by request or by an earlier start elsewhere."""

    def resolved(self) -> ResolvedSettings:
        """Return the resolved settings under their setting names.

        Returns:
            The section `decided` of `training.json`.
        """
        return ResolvedSettings(
            weights="lora" if self.lora else "full",
            precision="bf16" if self.bf16 else "fp32",
            gradient_checkpointing=self.checkpointed,
            reference="precomputed" if self.precomputed else "live",
            learning_rate=self.learning_rate,
            batch_size=self.batches.size,
            accumulation=self.batches.accumulation,
        )

    def line(self) -> str:
        """Describe weights, precision and memory.

        Returns:
            One line, for progress and error messages.
        """
        kind = "LoRA" if self.lora else "all weights"
        checkpointing = ", gradient checkpointing" if self.checkpointed else ""
        precision = "bf16" if self.bf16 else "fp32"
        if self.quantization != "none":
            precision = f"{self.quantization} weights, {precision}"
        if self.slow:
            precision += " (slow on this CPU, which is fast in fp32 only: retrain with --set precision=fp32 --out DIR)"
        return f"memory: {kind}, {precision}{checkpointing}: {self.need} of {self.available / 1e9:.1f} GB free"


def plan_device(settings: TrainingSettings, config: Any, batches: Batches, longest: int, processes: int) -> DevicePlan:
    """Choose the first way to train that fits: full weights before LoRA on a GPU, no checkpointing before it on a CPU.

    Args:
        settings: Settings; what they fix is not changed.
        config: A `transformers.PretrainedConfig` of the model.
        batches: Batch size and accumulation.
        longest: Tokens of the longest row.
        processes: Processes that train together.

    Returns:
        The resolved settings, with the memory estimate.

    Raises:
        TrainingError: It does not fit into the memory.
        MissingExtraError: The settings ask for quantization, and bitsandbytes is not installed.
    """
    import torch

    shape, gpu = shape_of(config), torch.cuda.is_available()
    free = int(settings.memory_gb * 1e9) if settings.memory_gb else available_bytes(processes)
    fast = _computes_in_bf16()
    bf16 = fast if settings.precision == "auto" else settings.precision == "bf16"
    rows = batches.size * (2 if settings.method == "dpo" else 1)
    weights = {"lora": [True], "full": [False], "auto": [False, True] if gpu else [True]}[settings.weights]
    if settings.quantization != "none":
        if find_spec("bitsandbytes") is None:
            raise MissingExtraError(f"quantization={settings.quantization}", "quantization")
        weights = [True]
    fixed = settings.gradient_checkpointing
    checkpointing = [fixed] if fixed is not None else ([True] if gpu else [False, True])
    plans = [
        _estimated(
            settings,
            shape,
            DevicePlan(
                lora,
                bf16,
                checkpointed,
                False,
                settings.rate(lora=lora),
                batches,
                settings.quantization,
                MemoryEstimate(0, 0, 0),
                free,
            ),
            rows * longest,
            gpu=gpu,
        )
        for lora in weights
        for checkpointed in checkpointing
    ]
    fitting = next((plan for plan in plans if plan.need.total <= free), None)
    if fitting is None:
        raise TrainingError(
            f"too little {plans[-1].line()}; make batches smaller with --set batch_size=2, rows shorter with "
            "--set max_length=N, or state the memory with --set memory_gb=N"
        )
    return replace(fitting, slow=bf16 and not fast and not gpu)


def _estimated(
    settings: TrainingSettings, shape: ModelShape, plan: DevicePlan, tokens: int, *, gpu: bool
) -> DevicePlan:
    """Complete a plan with its reference mode and its memory estimate."""
    precomputed = settings.reference == "precomputed" or (settings.reference == "auto" and not plan.lora)
    demand = MemoryDemand(
        lora_rank=settings.lora_rank if plan.lora else None,
        weight_bytes=2 if plan.bf16 else 4,
        linear_bytes=_BYTES.get(plan.quantization, 2 if plan.bf16 else 4),
        activation_bytes=2 if plan.bf16 else 4,
        checkpointed=plan.checkpointed,
        gpu=gpu,
        reference=settings.method != "sft" and not (plan.lora or precomputed),
        tokens=tokens,
    )
    return replace(plan, precomputed=precomputed and settings.method != "sft", need=estimate_memory(shape, demand))


def _computes_in_bf16() -> bool:
    """Tell whether this device computes natively in bf16."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return cpu_dtype() == "bfloat16"
