"""Memory that a training needs, estimated from the model's configuration before its weights are loaded.

Weights, gradients and Adam's two moments follow exactly from the parameter counts. Activations are an estimate: per
token and layer, the tensors that a transformer block keeps for its backward pass. The estimate does not include what
CUDA, the allocator and the libraries take: on a CPU 1.4 GB of libraries, and heap fragmentation (where 5.9 GB were
estimated, the process peaked at 9.7 GB).
"""

import os
from dataclasses import dataclass
from typing import Any

from plum_hub.doctor.machine import memory_here

_ADAM = 4 + 4 + 4 + 4
"""Bytes per trained parameter: weight, gradient and two moments, in fp32."""
_KEPT_HIDDEN, _KEPT_INTERMEDIATE = 10, 4
"""Tensors of the hidden and of the intermediate width that a block keeps per token. What autograd saves in a block of
Qwen2.5-Coder-0.5B amounts to 10.0 hidden ones for LoRA in bf16; in fp32 to 6.4 for LoRA and 8.3 for all weights."""
_COPY = 2
"""Bytes of a trained weight's bf16 copy, which autocast keeps through forward and backward."""
TILE_TOKENS, _TILE_WORDS = 512, 32_768
"""Logits held at a time on a CPU: TRL computes the LM head in tiles."""
_TILE_TOKENS_GPU = 4_096
"""TRL's default; a GPU turns a tile into its gradient in place."""
_LOGIT = 2 + 1 + 8 * 4
"""Bytes per logit on a CPU, where eight fp32 copies are alive in the backward pass."""


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a model, from its configuration."""

    parameters: int
    linear_width: int
    """Inputs plus outputs of all linear layers but the LM head; LoRA of rank r has r times as many parameters."""
    linear_parameters: int
    """Parameters of those layers."""
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int


@dataclass(frozen=True)
class MemoryDemand:
    """What memory depends on in the way a model is trained."""

    lora_rank: int | None
    """None trains every weight."""
    weight_bytes: int
    """Bytes per frozen weight."""
    linear_bytes: float
    """Bytes per frozen weight of a linear layer; less when quantised."""
    activation_bytes: int
    """Bytes per element of an activation."""
    checkpointed: bool
    """Gradient checkpointing: activations are recomputed in the backward pass."""
    gpu: bool
    reference: bool
    """Whether a second model is held in memory."""
    tokens: int
    """Tokens of the largest batch, padding included."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Estimated memory, in bytes."""

    weights: int
    """Of the model, and of the reference model where one is held."""
    optimiser: int
    """Gradients and moments, and the trained weights where they are adapters."""
    activations: int

    @property
    def total(self) -> int:
        """Sum of all parts, in bytes."""
        return self.weights + self.optimiser + self.activations

    def __str__(self) -> str:
        return (
            f"{_gb(self.total)} GB (weights {_gb(self.weights)}, gradients and optimiser {_gb(self.optimiser)}, "
            f"activations about {_gb(self.activations)})"
        )


def shape_of(config: Any) -> ModelShape:
    """Count a model's parameters by building it on torch's meta device, which takes no memory.

    Args:
        config: A `transformers.PretrainedConfig` of a causal language model.

    Returns:
        The model's sizes.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    text = config.get_text_config()
    head = model.get_output_embeddings()
    linear = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not head]
    return ModelShape(
        parameters=sum(weight.numel() for weight in model.parameters()),
        linear_width=sum(part.in_features + part.out_features for part in linear),
        linear_parameters=sum(part.in_features * part.out_features for part in linear),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
    )


def estimate_memory(shape: ModelShape, demand: MemoryDemand) -> MemoryEstimate:
    """Estimate the memory of a training.

    Args:
        shape: Sizes of the model.
        demand: How it is trained.

    Returns:
        Bytes by part, per process.
    """
    if demand.lora_rank is None:
        frozen, trained = shape.parameters if demand.reference else 0, shape.parameters
        weights = 4 * (trained + frozen) + (_COPY * shape.linear_parameters if demand.activation_bytes < 4 else 0)
        optimiser = (_ADAM - 4) * trained
    else:
        trained = demand.lora_rank * shape.linear_width
        other = shape.parameters - shape.linear_parameters
        weights = round(demand.weight_bytes * other + demand.linear_bytes * shape.linear_parameters)
        optimiser = _ADAM * trained
    kept = _KEPT_HIDDEN * shape.hidden + _KEPT_INTERMEDIATE * shape.intermediate
    block = kept * demand.activation_bytes * demand.tokens
    between = shape.hidden * demand.activation_bytes * demand.tokens
    blocks = block + shape.layers * between if demand.checkpointed else shape.layers * block
    most, logit = (_TILE_TOKENS_GPU, demand.activation_bytes) if demand.gpu else (TILE_TOKENS, _LOGIT)
    return MemoryEstimate(
        weights, optimiser, blocks + logit * min(demand.tokens, most) * min(shape.vocabulary, _TILE_WORDS)
    )


def available_bytes(processes: int) -> int:
    """Measure the memory that each process may still take.

    Args:
        processes: Processes that share this machine's memory; torchrun's own count takes precedence.

    Returns:
        Free bytes of this process's GPU; without one, this process's share of what this machine, or its
        container, has free.
    """
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return memory_here().free // int(os.environ.get("LOCAL_WORLD_SIZE", processes))


def _gb(number: int) -> str:
    return f"{number / 1e9:.2f}"
