"""Any causal language model with `transformers` alone: slower than vLLM, but runs wherever torch does."""

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field
from typing_extensions import override

from plum_hub.engines import trust
from plum_hub.engines.adapter import ModelSource, source_of
from plum_hub.engines.base import (
    Completion,
    Engine,
    EngineIdentity,
    LocalSettings,
    Request,
    Sampling,
    in_a_line,
)
from plum_hub.engines.causal_lm import add_adapter, load_causal_lm
from plum_hub.engines.dtype import quantized
from plum_hub.engines.forms import apply_form, with_stops
from plum_hub.engines.names import unloadable
from plum_hub.engines.prompt import encode, unanswerable
from plum_hub.engines.tokenizer import context_of
from plum_hub.errors import EngineError, MissingExtraError
from plum_hub.threads import prepare_threads

if TYPE_CHECKING:
    import torch


class TransformersConfig(LocalSettings):
    """A model on this machine, run by `transformers.generate`."""

    type: Literal["transformers"] = "transformers"
    batch_size: int = Field(default=32, ge=1)
    """Prompts generated together; bounded by memory."""
    quantization: Literal["none", "4bit", "8bit"] = "none"
    """Quantise the linear layers with bitsandbytes when the model is loaded; the extra is `quantization`. Weights that
    are quantised already are read as their configuration says."""

    @override
    def text_settings(self) -> dict[str, object]:
        """As `LocalSettings.text_settings`, with the quantisation if there is one."""
        named = {} if self.quantization == "none" else {"quantization": self.quantization}
        return super().text_settings() | named

    @override
    def pin(self) -> Self:
        """Fix the commit of a Hub model or the SHA-256 of a folder's files, an adapter's base, dtype and form."""
        return self._pinned(keeps_float32=True)

    @override
    def open(self) -> "TransformersEngine":
        """Load the model, on a GPU where there is one."""
        return TransformersEngine(self.pin())

    @override
    def open_sealed(self) -> "TransformersEngine":
        """Load the model; a run of an earlier version, sealed without a form, goes on without one."""
        return TransformersEngine(self.pin().model_copy(update={"form": self.form}))


class TransformersEngine(Engine):
    """Left-padded batches of prompts of similar length. Each request samples from its own seed, whatever its
    neighbours.
    """

    counts_tokens = True

    def __init__(self, config: TransformersConfig) -> None:
        if find_spec("transformers") is None:
            raise MissingExtraError("the transformers engine", "cpu")
        prepare_threads()
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # PEFT imports it, and it advises on kernels
        self._config = config
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        source = source_of(config)
        how = _quantization(config, source, self._device)
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                source.tokenizer, revision=source.tokenizer_revision or "main", **trust.TOKENIZER
            )
            trust.check_vocabulary(tokenizer)
            model = load_causal_lm(
                source.weights, dtype=config.dtype, revision=source.weights_revision or "main", **how
            )
            if source.adapter is not None:
                model = _adapted(model, str(source.adapter))
        except unloadable() as error:
            raise EngineError(
                f"{config.model} does not load ({in_a_line(error)}): fix it, or give another causal language model"
            ) from error
        self._ends = {*_ends(model, tokenizer), *apply_form(tokenizer, config.form)}
        self._known: int = model.get_input_embeddings().weight.shape[0]
        # What fills a batch up is masked, so any token will do that the model has: a tokenizer's own may not be one. An
        # end fills up the rows that stop strings have ended, too.
        self._filler = min((end for end in self._ends if end < self._known), default=0)
        # The model's own sampling defaults (a repetition penalty, say) would silently join ours.
        model.generation_config = transformers.GenerationConfig(
            eos_token_id=sorted(self._ends) or None, pad_token_id=self._filler
        )
        self._tokenizer: Any = tokenizer
        self._model: Any = (model if how else model.to(self._device)).eval()  # quantised weights cannot be moved
        self._context = context_of(model.config, tokenizer)
        self.identity = EngineIdentity(
            engine="transformers",
            engine_version=transformers.__version__,
            model=config.public().model,
            revision=config.revision or "",
        )

    @property
    @override
    def has_chat_template(self) -> bool:
        """Whether the tokenizer has one."""
        return self._tokenizer.chat_template is not None

    @override
    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answer batch by batch, the shortest prompts first; a batch that exceeds the GPU's memory is an
        `EngineError`.
        """
        import torch

        self._check(requests)
        formed = [with_stops(request, self._config.form) for request in requests]
        fitting = []
        for request in formed:
            tokens = encode(self._tokenizer, request.prompt, self._known)
            if reason := unanswerable(tokens, self._context):
                yield Completion.refused(request, reason, len(tokens))
            else:
                fitting.append((request, tokens))
        fitting.sort(key=lambda pair: (repr(pair[0].sampling), len(pair[1]), pair[0].id))
        for _, group in groupby(fitting, key=lambda pair: (pair[0].sampling, self._room(*pair))):
            alike = list(group)
            for start in range(0, len(alike), self._config.batch_size):
                try:
                    yield from self._batch(alike[start : start + self._config.batch_size])
                except torch.cuda.OutOfMemoryError as error:
                    raise EngineError("the GPU's memory is full: set a smaller batch_size") from error

    @override
    def close(self) -> None:
        """Free the model."""
        import torch

        self._model = None
        if self._device == "cuda":
            torch.cuda.empty_cache()

    def _room(self, request: Request, tokens: Sequence[int]) -> int:
        """Return how many tokens an answer may have. Only prompts of equal length share a batch that is short of room,
        so that no neighbour takes any.
        """
        return min(request.sampling.max_tokens, self._context - len(tokens))

    def _checked(self, _: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Return the scores of the next tokens. Where they are no numbers, a token would be drawn all the same."""
        if not scores.amax(dim=-1).isfinite().all():
            raise EngineError(
                f"{self._config.model} computes no numbers in {self._config.dtype} (its scores are NaN or infinite): "
                "restore its files, or set another dtype, such as  --set policy.dtype=float32"
            )
        return scores

    def _batch(self, batch: Sequence[tuple[Request, list[int]]]) -> Iterator[Completion]:
        import torch

        prompts = [tokens for _, tokens in batch]
        width = max(map(len, prompts))
        filled = [[self._filler] * (width - len(tokens)) + tokens for tokens in prompts]
        mask = [[0] * (width - len(tokens)) + [1] * len(tokens) for tokens in prompts]
        sampling = batch[0][0].sampling
        tally = _TokenCounter(self._ends, self.on_tokens)
        with torch.inference_mode():
            written = self._model.generate(
                torch.tensor(filled, device=self._device),
                attention_mask=torch.tensor(mask, device=self._device),
                max_new_tokens=self._room(*batch[-1]),
                do_sample=False,  # the last of the processors has drawn
                logits_processor=_processors(sampling, [request.seed for request, _ in batch], [self._checked, tally]),
                stop_strings=list(sampling.stop) or None,
                tokenizer=self._tokenizer,
            )
        rows = written[:, width:].tolist()
        ends = [next((place for place, token in enumerate(row) if token in self._ends), None) for row in rows]
        answers = [row if end is None else row[: end + 1] for row, end in zip(rows, ends, strict=True)]
        tally.complete(sum(map(len, answers)))
        for (request, prompt), tokens, end in zip(batch, answers, ends, strict=True):
            text, stopped = sampling.until_stop(self._tokenizer.decode(tokens, skip_special_tokens=True))
            if stopped and end is not None:
                tokens = tokens[:-1]  # not the model's, which a stop string had ended
            yield Completion(
                id=request.id,
                text=text,
                finish_reason="length" if end is None and not stopped else "stop",
                prompt_tokens=len(prompt),
                completion_tokens=len(tokens),
                stop=stopped,
            )


def _quantization(config: TransformersConfig, source: ModelSource, device: str) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` for weights that are quantised or are to be; none for others."""
    if config.quantization == "none":
        already = quantized(source.weights, source.weights_revision)
        return {} if already is None else {"device_map": {"": device}}
    if find_spec("bitsandbytes") is None:
        raise MissingExtraError(f"quantization={config.quantization}", "quantization")
    import torch
    from transformers import BitsAndBytesConfig

    how = BitsAndBytesConfig(
        load_in_4bit=config.quantization == "4bit",
        load_in_8bit=config.quantization == "8bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=getattr(torch, config.dtype),
    )
    return {"device_map": {"": device}, "quantization_config": how}


def _adapted(model: Any, adapter: str) -> Any:
    """Return the model with an adapter, which is not merged: rounding would then differ from that of the training."""
    if find_spec("peft") is None:
        raise MissingExtraError("a model that consists of adapters, with transformers,", "train")
    return add_adapter(model, adapter)


def _ends(model: Any, tokenizer: Any) -> set[int]:
    """Return the tokens that end an answer: the model's and the tokenizer's, as in vLLM."""
    own = model.generation_config.eos_token_id
    return {end for end in (*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id) if end is not None}


def _processors(sampling: Sampling, seeds: Sequence[int], watching: Sequence[Any]) -> Any:
    """Return what only watches, then temperature, top-p and the draw itself, unless greedy."""
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    if not sampling.temperature:
        return LogitsProcessorList(watching)
    steps: list[Any] = [*watching, TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_p < 1:
        steps.append(TopPLogitsWarper(sampling.top_p))
    return LogitsProcessorList([*steps, _SeededDraw(seeds)])


class _TokenCounter:
    """Counts generated tokens, step by step; it reads no score and changes none."""

    def __init__(self, ends: set[int], tell: Callable[[int], None]) -> None:
        self._ends = ends
        self._tell = tell
        self._ended: list[bool] | None = None
        self._told = 0

    def __call__(self, written: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        if self._ended is None:  # the first step: nothing but prompts
            self._ended = [False] * written.shape[0]
            return scores
        self._told += self._ended.count(False)
        self._tell(self._ended.count(False))
        last = written[:, -1].tolist()
        self._ended = [ended or token in self._ends for ended, token in zip(self._ended, last, strict=True)]
        return scores

    def complete(self, tokens: int) -> None:
        """Report what the last step generated: no step follows to see it."""
        self._tell(max(0, tokens - self._told))


class _SeededDraw:
    """Sample each row from that row's own generator, and mask all other tokens.

    `generate` has one seed for a whole batch; this way a request's text does not depend on its neighbours' seeds. One
    uniform number a row is looked up in the row's cumulative distribution.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [random.Random(seed) for seed in seeds]

    def __call__(self, _: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        import torch

        cumulative = scores.float().softmax(dim=-1).cumsum(dim=-1)
        drawn = torch.tensor([[generator.random()] for generator in self._generators], device=scores.device)
        token = torch.searchsorted(cumulative, drawn * cumulative[:, -1:], right=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, token.clamp_(max=scores.shape[1] - 1), 0.0)
