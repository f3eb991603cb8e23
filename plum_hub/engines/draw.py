"""Seeded top-p sampling for vLLM on a CPU: vLLM's own distribution, without sorting the vocabulary.

vLLM sorts each row of logits to find the nucleus; with a vocabulary of 150,000 that takes longer than a small model's
forward pass. Here the most likely tokens are selected first, which is cheap, and only a row in which they do not carry
enough weight is sorted. Besides, vLLM 0.32 fails on a CPU when a seeded request's prompt does not fit one step ("CPU
Generator does not use offset"); here the random number is a function of the seed and the token's position alone, so
the text depends neither on how a prompt was chunked nor on what ran beside it.

vLLM calls this where it applies its own top-p, after the temperature. Only vLLM loads this file.
"""

import math
import random
from typing import TYPE_CHECKING

import torch  # noqa: TID253 - this file is loaded by vLLM alone
from vllm import SamplingParams  # noqa: TID253
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor  # noqa: TID253
from vllm.v1.sample.logits_processor.builtin import process_dict_updates  # noqa: TID253

if TYPE_CHECKING:
    from vllm.config import VllmConfig

KEY = "seeded_draw"
"""The `extra_args` key of a request that is sampled here: `[p, seed]`. Its `top_p` stays 1, so that vLLM does not
sort.
"""
_FIRST = 256
"""How many of the most likely tokens are considered before a row is sorted."""


class SeededDraw(LogitsProcessor):  # type: ignore[misc]  # vLLM has no types
    """Logits processor that samples the token of each row that requests it and masks all others."""

    def __init__(self, vllm_config: "VllmConfig", device: torch.device, is_pin_memory: bool) -> None:  # noqa: ARG002
        self._rows: dict[int, tuple[float, int, list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        """Tell vLLM that greedy rows can skip this processor; it then also runs after the temperature.

        Returns:
            True.
        """
        return True

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the rows as requests are added, removed and moved.

        Args:
            batch_update: vLLM's description of the changes; None where there are none.
        """
        process_dict_updates(self._rows, batch_update, _wanted)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Sample the rows, in place. The length of a row's output so far is the position of its next token.

        Args:
            logits: Rows x vocabulary.

        Returns:
            The same tensor; in a sampled row only the sampled token is finite.
        """
        if not self._rows:
            return logits
        rows = sorted(self._rows)
        asked = [self._rows[row] for row in rows]
        uniform = [random.Random(seed << 24 | len(output)).random() for _, seed, output in asked]
        tokens = draw(logits[rows], torch.tensor([p for p, _, _ in asked]), torch.tensor(uniform, dtype=torch.float64))
        logits[rows] = -math.inf
        logits[rows, tokens] = 0.0
        return logits


def _wanted(
    params: SamplingParams, _prompt: list[int] | None, output: list[int]
) -> tuple[float, int, list[int]] | None:
    asked = (params.extra_args or {}).get(KEY)
    return None if asked is None else (asked[0], asked[1], output)


def draw(logits: torch.Tensor, p: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Sample one token a row from the smallest set of most likely tokens that carries at least `p`.

    Args:
        logits: Rows x vocabulary.
        p: One number a row; 1 is the whole vocabulary.
        uniform: One number a row in [0, 1), float64; it decides the token.

    Returns:
        Token ids, one a row.

    Raises:
        RuntimeError: The logits of a row are NaN or infinite, in the words of vLLM's own check, which comes later.
    """
    whole = logits.logsumexp(dim=-1, keepdim=True)
    if not whole.isfinite().all():
        raise RuntimeError("NaNs detected in logits")
    likeliest, places = logits.topk(min(_FIRST, logits.shape[1]))
    weight = (likeliest - whole).double().exp()
    tokens = places.gather(1, _pick(weight, p, uniform)).squeeze(1)
    short = weight.sum(dim=-1) < p
    if short.any():
        descending, places = logits[short].sort(descending=True)
        weight = (descending - whole[short]).double().exp()
        tokens[short] = places.gather(1, _pick(weight, p[short], uniform[short])).squeeze(1)
    return tokens


def _pick(weight: torch.Tensor, p: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Return the column that `uniform` points at, among those before which a row's weight is less than p."""
    inside = weight.cumsum(dim=-1) - weight < p.unsqueeze(1)
    cumulative = (weight * inside).cumsum(dim=-1)
    column = torch.searchsorted(cumulative, uniform.unsqueeze(1) * cumulative[:, -1:], right=True)
    return torch.minimum(column, inside.sum(dim=-1, keepdim=True) - 1)
