"""Settings of a training.

They are sealed into the checkpoint's folder rather than into a run's recipe: one dataset is trained on in many ways,
whether a run made it or not, and how a model is trained must not change the ids of what was sampled.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from plum_hub import plain_yaml
from plum_hub.errors import TrainingError, perhaps
from plum_hub.refusal import SettingsModel, first_refusal
from plum_hub.release.schemas import Method

_RATES: dict[tuple[Method, bool], float] = {
    ("kto", False): 1e-6, ("dpo", False): 1e-6, ("sft", False): 2e-5,
    ("kto", True): 1e-5, ("dpo", True): 1e-5, ("sft", True): 2e-4,
}  # fmt: skip
"""Default learning rates by method and LoRA: TRL's defaults, and ten times those for LoRA."""

_STEP = 32
"""Rows per optimiser step, over all processes; TRL's documentation recommends 16 to 128 for kto."""


@dataclass(frozen=True)
class Batches:
    """Batch size and gradient accumulation."""

    size: int
    """Rows (dpo: pairs) per device batch."""
    accumulation: int
    """Batches per device and optimiser step."""


class TrainingSettings(SettingsModel):
    """How a model is trained: the keys of `--set`."""

    method: Method = "kto"
    """`kto` on chosen and rejected answers, `dpo` on balanced pairs of them, `sft` on the chosen ones alone."""
    weights: Literal["auto", "lora", "full"] = "auto"
    """Which weights are trained: low-rank adapters on all linear layers (`lora`), or every weight (`full`). `auto` is
    lora without a GPU, and where full training would not fit."""
    lora_rank: int = Field(default=16, ge=1)
    """LoRA rank."""
    lora_alpha: int = Field(default=32, ge=1)
    """LoRA scale: adapters are multiplied by `lora_alpha / lora_rank`."""
    learning_rate: float | None = Field(default=None, gt=0, lt=1)
    """Peak learning rate. Default: 1e-6 for kto and dpo, 2e-5 for sft; with lora ten times that."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the rows. KTO's batches are drawn again for each epoch."""
    batch_size: int | None = Field(default=None, ge=2)
    """Rows (dpo: pairs) per device batch, within which kto estimates its KL term. Default: 4; for kto up to 16, the
    smallest at which all rows fit into batches with both labels."""
    accumulation: int | None = Field(default=None, ge=1)
    """Gradient accumulation: batches per device and step. Default: as many as bring a step of all processes to about 32
    rows."""
    max_length: int = Field(default=1024, ge=16)
    """Maximum tokens of prompt and completion together; longer rows are left out, never truncated."""
    group_by_length: bool = False
    """Whether KTO's batches hold rows of similar length: less padding, and a KL estimate per range of lengths."""
    beta: float = Field(default=0.1, gt=0)
    """KL coefficient of kto and dpo: how strongly the model is held to the reference model."""
    desirable_weight: float | None = Field(default=None, gt=0)
    """KTO loss weight of chosen rows. When neither weight is set, both follow from the label counts."""
    undesirable_weight: float | None = Field(default=None, gt=0)
    """KTO loss weight of rejected rows."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps, rounded down, over which the learning rate rises linearly; then it decays linearly. No step
    has the rate 0: with the default, trainings of fewer than 10 steps begin at the peak."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradient clipping: maximum norm."""
    max_kl: float = Field(default=100.0, gt=0)
    """Abort KTO when a batch's KL estimate exceeds this many nats; with beta 0.1 its gradient has vanished by then."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Compute precision; `auto` is bf16 where the device computes in it natively. Trained weights are always kept in
    fp32, since updates this small are lost in bf16."""
    gradient_checkpointing: bool | None = None
    """Whether activations are recomputed in the backward pass instead of kept. Default: on a GPU, and where they would
    not fit."""
    reference: Literal["auto", "live", "precomputed"] = "auto"
    """When the reference model's log-probabilities are computed: at each step (`live`), or for all rows before the
    first (`precomputed`), which frees its memory. `auto`: precomputed for full training; with lora, the model without
    its adapters is the reference and takes no memory."""
    merge: bool = False
    """Whether lora's adapters are finally also merged into the model's weights: a whole model in `merged/`, for
    programs that take no adapters. It can be set later, and merges without training again."""
    checkpoint_every: int = Field(default=25, ge=1)
    """Steps between checkpoints, from which an interrupted training resumes."""
    quantization: Literal["none", "4bit", "8bit"] = "none"
    """Quantisation of lora's frozen weights, by bitsandbytes: less memory; slower, and on a CPU much slower."""
    packing: bool = False
    """Whether sft packs rows into sequences of `max_length` tokens, without attention between rows: no padding."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory limit in GB (10^9 bytes). Default: what the device has free."""
    report_to: tuple[Literal["trackio", "wandb", "tensorboard"], ...] = ()
    """Trackers that receive the metrics besides `metrics.jsonl`; their packages must be installed."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    """Random seed of the row order and of the adapters' initial weights."""

    @field_validator("report_to", mode="before")
    @classmethod
    def _accept_one_name(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.method != "kto" and (self.desirable_weight or self.undesirable_weight):
            raise ValueError("desirable_weight and undesirable_weight are for kto; leave them out")
        if self.packing and self.method != "sft":
            raise ValueError(
                f"packing is for sft: {self.method} compares rows, so each must stay separate; leave it out"
            )
        if self.quantization != "none" and self.weights == "full":
            raise ValueError("quantization is for lora, since rounded weights cannot be trained; leave one of them out")
        return self

    def batches(self, default: int, processes: int) -> Batches:
        """Fill in batch size and accumulation.

        Args:
            default: Rows per device batch where `batch_size` is not set.
            processes: Number of processes that train together.

        Returns:
            Both, resolved.
        """
        rows = self.batch_size or default
        return Batches(rows, self.accumulation or max(1, round(_STEP / (rows * processes))))

    def rate(self, *, lora: bool) -> float:
        """Fill in the learning rate.

        Args:
            lora: Whether adapters are trained.

        Returns:
            Peak learning rate: the setting, else the method's default.
        """
        return self.learning_rate or _RATES[self.method, lora]


def compose(settings: Iterable[str], **options: object) -> TrainingSettings:
    """Compose settings from `--set KEY=VALUE` and from options of their own.

    Args:
        settings: `KEY=VALUE` strings, the values in YAML; they take precedence over the options.
        **options: Settings by key; None leaves a key at its default.

    Returns:
        Validated settings.

    Raises:
        TrainingError: A key is unknown, or a value is not allowed.
    """
    tree: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise TrainingError(f"--set {setting}: write it as KEY=VALUE, as in  --set learning_rate=1e-6")
        tree[key.strip()] = _value(setting, value)
    try:
        return TrainingSettings.model_validate(tree)
    except ValidationError as error:
        refusal = first_refusal(error)
        where = refusal.key
        if refusal.is_unknown:
            known = ", ".join(TrainingSettings.model_fields)
            near = perhaps(where, TrainingSettings.model_fields).replace(",", ";")
            raise TrainingError(f"--set {where}: there is no such key; the keys are {known}{near}") from error
        given = f"{where}={refusal.value}" if where else ""
        raise TrainingError(f"--set {given}".rstrip() + f": {refusal.problem}") from error


def _value(setting: str, text: str) -> object:
    """Parse the value of a setting as YAML."""
    try:
        value = plain_yaml.load(text)
    except yaml.YAMLError as error:
        raise TrainingError(f"--set {setting!r:.200}: the value is not YAML ({plain_yaml.problem(error)})") from error
    if isinstance(value, str):  # YAML reads 1e-6 as a string
        try:
            return float(value)
        except ValueError:
            return value
    return value
