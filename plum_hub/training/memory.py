"""What a training needs of the device's memory, estimated from the model's form before its weights are loaded.

Weights, gradients and Adam's two moments follow exactly from the numbers of parameters. Activations are an estimate:
per token and layer the tensors that a transformer block keeps for its gradient. What CUDA, the allocator and the
libraries take for themselves is not in it: on a CPU 1.4 GB of libraries, and gaps in the heap (where 5.9 GB were
estimated, the process held 9.7 at most).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ADAM = 4 + 4 + 4 + 4
"""Bytes of a trained parameter: the weight, its gradient and two moments, in fp32."""
_KEPT_HIDDEN, _KEPT_INNER = 10, 4
"""Tensors of the hidden and of the inner width that a block keeps for each token: what autograd saves in a block of
Qwen2.5-Coder-0.5B comes to 10.0 hidden ones for LoRA in bf16, and to 6.4 for LoRA and 8.3 for all weights in fp32."""
_COPY = 2
"""Bytes of a trained weight's copy in bf16, which autocast keeps through forward and backward."""
TILE_TOKENS, _TILE_WORDS = 512, 32_768
"""Logits that are held at a time on a CPU: TRL goes through the last layer in tiles."""
_TILE_TOKENS_GPU = 4_096
"""TRL's own number; a GPU turns a tile into its gradient in place."""
_LOGIT = 2 + 1 + 8 * 4
"""Bytes of a logit on a CPU, where eight copies in fp32 are alive in the backward."""


@dataclass(frozen=True)
class ModelShape:
    """What a model's configuration says of its size."""

    parameters: int
    linear: int
    """Sum of inputs and outputs of all linear layers but the last: adapters of rank r have r times as many."""
    inside: int
    """Parameters of those layers."""
    layers: int
    hidden: int
    inner: int
    vocabulary: int


@dataclass(frozen=True)
class MemoryDemand:
    """How a model is trained, as far as it decides about memory."""

    lora_rank: int | None
    """None trains every weight."""
    weight_bytes: int
    """Of a frozen weight."""
    inside_bytes: float
    """Of a frozen weight of a linear layer: less where it is quantised."""
    activation_bytes: int
    checkpointed: bool
    gpu: bool
    reference: bool
    """Whether a second model is held."""
    tokens: int
    """Of the largest batch, with its padding."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes."""

    weights: int
    """Of the model, and of the reference model where one is held."""
    optimiser: int
    """Gradients, moments, and the trained weights where they are not the model's own."""
    activations: int

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.optimiser + self.activations

    def __str__(self) -> str:
        return (
            f"{_gb(self.total)} GB (weights {_gb(self.weights)}, gradients and optimiser {_gb(self.optimiser)}, "
            f"activations about {_gb(self.activations)})"
        )


def shape_of(config: Any) -> ModelShape:
    """Build the model without memory, on torch's meta device, and count."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    text = config.get_text_config()
    head = model.get_output_embeddings()
    linear = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not head]
    return ModelShape(
        parameters=sum(weight.numel() for weight in model.parameters()),
        linear=sum(part.in_features + part.out_features for part in linear),
        inside=sum(part.in_features * part.out_features for part in linear),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        inner=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
    )


def need(form: ModelShape, load: MemoryDemand) -> MemoryEstimate:
    """What training a model of this form takes."""
    if load.lora_rank is None:
        frozen, trained = form.parameters if load.reference else 0, form.parameters
        weights = 4 * (trained + frozen) + (_COPY * form.inside if load.activation_bytes < 4 else 0)
        optimiser = (_ADAM - 4) * trained
    else:
        trained = load.lora_rank * form.linear
        weights = round(load.weight_bytes * (form.parameters - form.inside) + load.inside_bytes * form.inside)
        optimiser = _ADAM * trained
    block = (_KEPT_HIDDEN * form.hidden + _KEPT_INNER * form.inner) * load.activation_bytes * load.tokens
    between = form.hidden * load.activation_bytes * load.tokens
    blocks = block + form.layers * between if load.checkpointed else form.layers * block
    most, logit = (_TILE_TOKENS_GPU, load.activation_bytes) if load.gpu else (TILE_TOKENS, _LOGIT)
    return MemoryEstimate(
        weights, optimiser, blocks + logit * min(load.tokens, most) * min(form.vocabulary, _TILE_WORDS)
    )


def available(processes: int) -> int:
    """Bytes that each of so many processes may still take: of its GPU, or its share of this machine's memory."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024 // int(os.environ.get("LOCAL_WORLD_SIZE", processes))


def _gb(number: int) -> str:
    return f"{number / 1e9:.2f}"
