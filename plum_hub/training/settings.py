"""Every knob of a training.

They are sealed into the checkpoint's folder and not into a run's recipe: one dataset is trained on in many ways, also
one that no run made, and what is trained must not change the name of what was sampled.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from plum_hub.engines.base import in_a_line
from plum_hub.errors import TrainingError
from plum_hub.release.schemas import Method

_RATES: dict[tuple[Method, bool], float] = {
    ("kto", False): 1e-6, ("dpo", False): 1e-6, ("sft", False): 2e-5,
    ("kto", True): 1e-5, ("dpo", True): 1e-5, ("sft", True): 2e-4,
}  # fmt: skip
"""TRL's defaults, and ten times that for the few weights of LoRA."""

_STEP = 32
"""Rows of a step, over all processes; TRL's documentation recommends 16 to 128 for kto."""


@dataclass(frozen=True)
class Batches:
    """How rows are taken together."""

    size: int
    """Rows (dpo: pairs) of one device's batch."""
    to_a_step: int
    """Batches of one device to a step."""


class TrainingSettings(BaseModel):
    """How a model is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "kto"
    """`kto` on chosen and rejected, `dpo` on balanced pairs of them, `sft` on the chosen alone."""
    weights: Literal["auto", "lora", "full"] = "auto"
    """What is trained: low-rank adapters on all linear layers, or every weight. `auto` is lora without a GPU, and where
    full training would not fit."""
    lora_rank: int = Field(default=16, ge=1)
    """Rank of the adapters."""
    lora_alpha: int = Field(default=32, ge=1)
    """Their scale is `lora_alpha / lora_rank`."""
    learning_rate: float | None = Field(default=None, gt=0, lt=1)
    """Highest rate. When not set: kto and dpo 1e-6, sft 2e-5, with lora ten times that."""
    epochs: int = Field(default=1, ge=1)
    """How often each row is seen. KTO's batches are drawn anew for each epoch."""
    batch_size: int | None = Field(default=None, ge=2)
    """Rows (dpo: pairs) of one device's batch, within which kto estimates its KL term. When not set: 4; for kto up to
    16, as many as it takes for all rows to find a place in a batch of both labels."""
    accumulation: int | None = Field(default=None, ge=1)
    """Batches of one device to a step. When not set: as many as bring a step of all processes to about 32 rows."""
    max_length: int = Field(default=1024, ge=16)
    """Tokens of prompt and completion together; a longer row is left out, never cut."""
    group_by_length: bool = False
    """Whether KTO's batches get rows of like length: less padding, and a KL estimate for each range of lengths."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly kto and dpo are held to the reference model."""
    desirable_weight: float | None = Field(default=None, gt=0)
    """KTO's weight of chosen rows. When neither weight is set, they follow from the label counts."""
    undesirable_weight: float | None = Field(default=None, gt=0)
    """KTO's weight of rejected rows."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps over which the rate rises; then it falls to 0 in a straight line."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of AdamW."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Longer gradients are shortened to this."""
    max_kl: float = Field(default=100.0, gt=0)
    """KTO stops when a batch's KL estimate, in nats, is above this; with beta 0.1 its gradient is nothing by then."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """What is computed in; `auto` is bf16 where the device computes in it. Trained weights are always kept in fp32,
    since steps as small as these are lost in bf16."""
    gradient_checkpointing: bool | None = None
    """Whether activations are computed twice instead of kept. When not set: on a GPU, and where they would not fit."""
    reference: Literal["auto", "live", "precomputed"] = "auto"
    """When the reference model is asked: at each step, or before the first for all rows, which lets it go from memory.
    `auto`: precomputed for full training; with lora the model without its adapters is the reference, which costs no
    memory."""
    merge: bool = False
    """Whether lora's adapters are in the end also added to the model's weights: a whole model in `merged/`, which every
    engine opens."""
    checkpoint_every: int = Field(default=25, ge=1)
    """Steps between checkpoints, from which a training goes on after an interruption."""
    quantization: Literal["none", "4bit", "8bit"] = "none"
    """What lora's frozen weights are held in, by bitsandbytes: less memory; slower, and on a CPU much slower."""
    packing: bool = False
    """Whether sft's rows share sequences of `max_length` tokens, where none sees another: no padding."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory that may be used; what the device has free when not set."""
    report_to: tuple[Literal["trackio", "wandb", "tensorboard"], ...] = ()
    """Where metrics go beside `metrics.jsonl`, by packages that are installed."""
    seed: int = Field(default=0, ge=0)
    """Of the order, and of the adapters' first weights."""

    @field_validator("report_to", mode="before")
    @classmethod
    def _may_be_one_word(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_one_of_a_kind(self) -> Self:
        if self.method != "kto" and (self.desirable_weight or self.undesirable_weight):
            raise ValueError("desirable_weight and undesirable_weight are for kto; leave them out")
        if self.packing and self.method != "sft":
            raise ValueError(f"packing is for sft: {self.method} compares rows, and needs each as one; leave it out")
        if self.quantization != "none" and self.weights == "full":
            raise ValueError("quantization is for lora, since rounded weights cannot be trained; leave one of them out")
        return self

    def batches(self, smallest: int, processes: int) -> Batches:
        """The batches, filled in: of `smallest` rows where nobody says how many."""
        rows = self.batch_size or smallest
        return Batches(rows, self.accumulation or max(1, round(_STEP / (rows * processes))))

    def rate(self, *, lora: bool) -> float:
        """The learning rate, filled in."""
        return self.learning_rate or _RATES[self.method, lora]


def compose(settings: Iterable[str], **chosen: object) -> TrainingSettings:
    """Settings from `KEY=VALUE` lines, the value in YAML, and from what options say.

    Raises:
        TrainingError: an unknown key, or a value that is not allowed.
    """
    tree: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise TrainingError(f"--set {setting}: write it as KEY=VALUE, as in  --set learning_rate=1e-6")
        tree[key.strip()] = _value(setting, value)
    try:
        return TrainingSettings.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise TrainingError(
                f"--set {where}: there is no such key; there are {', '.join(TrainingSettings.model_fields)}"
            ) from error
        said = first["msg"].removeprefix("Value error, ")
        raise TrainingError(f"--set {where}={first['input']}: {said}" if where else f"--set: {said}") from error


def _value(setting: str, text: str) -> object:
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that is none is a ValueError
        raise TrainingError(f"--set {setting!r:.200}: the value is not YAML ({in_a_line(error)})") from error
    if isinstance(value, str):  # YAML takes 1e-6 for a word
        try:
            return float(value)
        except ValueError:
            return value
    return value
