"""What `auto` stands for on this device: LoRA or all weights, which numbers, what is kept; and whether it fits."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal

from plum_hub.engines.dtype import cpu_dtype
from plum_hub.errors import MissingExtraError, TrainingError
from plum_hub.training.memory import MemoryDemand, MemoryEstimate, ModelShape, available, need, shape_of
from plum_hub.training.settings import Batches, TrainingSettings

_BYTES = {"4bit": 0.5 + 4 / 64, "8bit": 1.0}
"""Of a quantised weight: in 4 bits each 64 share a scale in fp32, in 8 bits each row."""


@dataclass(frozen=True)
class DevicePlan:
    """The settings that depend on device and model, decided."""

    lora: bool
    bf16: bool
    checkpointed: bool
    """Whether activations are computed twice."""
    precomputed: bool
    """Whether the reference model is asked before the first step."""
    learning_rate: float
    batches: Batches
    quantization: Literal["none", "4bit", "8bit"]
    need: MemoryEstimate
    available: int
    slow: bool = False
    """Whether bf16 was asked for, or decided where this training began, on a CPU that has no instructions for it."""

    def decided(self) -> dict[str, Any]:
        """What each `auto` came to, by the settings' own keys."""
        return {
            "weights": "lora" if self.lora else "full",
            "precision": "bf16" if self.bf16 else "fp32",
            "gradient_checkpointing": self.checkpointed,
            "reference": "precomputed" if self.precomputed else "live",
            "learning_rate": self.learning_rate,
            "batch_size": self.batches.size,
            "accumulation": self.batches.to_a_step,
        }

    def line(self) -> str:
        """What it takes, in one line."""
        kind = "LoRA" if self.lora else "all weights"
        twice = ", activations computed twice" if self.checkpointed else ""
        numbers = "bf16" if self.bf16 else "fp32"
        if self.quantization != "none":
            numbers = f"{self.quantization} weights, {numbers}"
        if self.slow:
            numbers += " (slow on this CPU, which is fast in fp32 only: train anew with --set precision=fp32 --out DIR)"
        return f"memory: {kind}, {numbers}{twice}: {self.need} of {self.available / 1e9:.1f} GB free"


def plan(settings: TrainingSettings, config: Any, batches: Batches, longest: int, processes: int) -> DevicePlan:
    """Decide, for a model of this configuration, batches of rows of at most `longest` tokens, and so many processes.

    Raises:
        TrainingError: it does not fit.
        MissingExtraError: bitsandbytes is not installed, and weights shall be quantised.
    """
    import torch

    form, gpu = shape_of(config), torch.cuda.is_available()
    free = int(settings.memory_gb * 1e9) if settings.memory_gb else available(processes)
    fast = _computes_in_bf16()
    bf16 = fast if settings.precision == "auto" else settings.precision == "bf16"
    rows = batches.size * (2 if settings.method == "dpo" else 1)
    kinds = {"lora": [True], "full": [False], "auto": [False, True] if gpu else [True]}[settings.weights]
    if settings.quantization != "none":
        if find_spec("bitsandbytes") is None:
            raise MissingExtraError(f"quantization={settings.quantization}", "quantization")
        kinds = [True]
    wanted = settings.gradient_checkpointing
    twices = [wanted] if wanted is not None else ([True] if gpu else [False, True])
    plans = [
        _planned(
            settings,
            form,
            DevicePlan(
                lora,
                bf16,
                twice,
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
        for lora in kinds
        for twice in twices
    ]
    fitting = next((one for one in plans if one.need.total <= free), None)
    if fitting is None:
        raise TrainingError(
            f"too little {plans[-1].line()}; make batches smaller with --set batch_size=2, rows shorter with "
            "--set max_length=N, or say how much there is with --set memory_gb=N"
        )
    return replace(fitting, slow=bf16 and not fast and not gpu)


def _planned(settings: TrainingSettings, form: ModelShape, one: DevicePlan, tokens: int, *, gpu: bool) -> DevicePlan:
    precomputed = settings.reference == "precomputed" or (settings.reference == "auto" and not one.lora)
    load = MemoryDemand(
        lora_rank=settings.lora_rank if one.lora else None,
        weight_bytes=2 if one.bf16 else 4,
        inside_bytes=_BYTES.get(one.quantization, 2 if one.bf16 else 4),
        activation_bytes=2 if one.bf16 else 4,
        checkpointed=one.checkpointed,
        gpu=gpu,
        reference=settings.method != "sft" and not (one.lora or precomputed),
        tokens=tokens,
    )
    return replace(one, precomputed=precomputed and settings.method != "sft", need=need(form, load))


def _computes_in_bf16() -> bool:
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return cpu_dtype() == "bfloat16"
