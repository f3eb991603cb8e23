"""A LoRA adapter for vLLM on a CPU: two products of matrices a layer, as for any other linear layer.

vLLM can serve many adapters at once. On a CPU it copies the adapter once for every token of a batch, to multiply each
token by its own, and that takes several times as long as the model itself. An engine of ours has one adapter. Only the
process that runs vLLM loads this file.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch  # noqa: TID253 - this file is loaded beside vLLM alone

_Product: TypeAlias = Callable[..., None]


def multiply_once() -> None:
    """Let vLLM's products on a CPU multiply all tokens by the adapter at once where there is only one. Idempotent.

    A version of vLLM that has other functions keeps them, and its speed.
    """
    try:
        from vllm.lora.ops.torch_ops import lora_ops
        from vllm.lora.punica_wrapper import punica_cpu
    except ImportError:
        return
    for name, product in (("bgmv_shrink", _shrink), ("bgmv_expand", _expand), ("bgmv_expand_slice", _expand_slice)):
        for module in (lora_ops, punica_cpu):  # the second imports the first one's functions by name
            theirs = getattr(module, name, None)
            if theirs is not None and not hasattr(theirs, "theirs"):
                setattr(module, name, _of_one(product, theirs))


def _of_one(product: _Product, theirs: _Product) -> _Product:
    """Take the product for a stack of one adapter, and vLLM's for all others."""

    def multiply(inputs: torch.Tensor, stack: torch.Tensor, output: torch.Tensor, *rest: Any, **named: Any) -> None:
        if stack.shape[0] != 1:
            theirs(inputs, stack, output, *rest, **named)
            return
        matrix = stack.reshape(stack.shape[-2:]).to(output.dtype)  # outputs x inputs
        product(inputs.to(output.dtype) @ matrix.T, output, *rest, **named)

    multiply.theirs = theirs  # type: ignore[attr-defined]
    return multiply


def _shrink(found: torch.Tensor, output: torch.Tensor, indices: torch.Tensor, scaling: float = 1.0) -> None:  # noqa: ARG001
    output[:, : found.shape[1]] = scaling * found


def _expand(found: torch.Tensor, output: torch.Tensor, indices: torch.Tensor, add_inputs: bool = True) -> None:  # noqa: ARG001
    width = min(found.shape[1], output.shape[1])  # either may be padded
    _put(found[:, :width], output[:, :width], add=add_inputs)


def _expand_slice(
    found: torch.Tensor,
    output: torch.Tensor,
    indices: torch.Tensor,  # noqa: ARG001
    slice_offset: int,
    slice_size: int,
    add_inputs: bool = True,
) -> None:
    _put(found, output[:, slice_offset : slice_offset + slice_size], add=add_inputs)


def _put(found: torch.Tensor, output: torch.Tensor, *, add: bool) -> None:
    if add:
        output += found
    else:
        output.copy_(found)
