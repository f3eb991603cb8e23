"""`evaluate --dry-run`: what a model will be asked, and how long that takes."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from plum_hub.engines import EngineConfig
from plum_hub.evaluation.config import EvaluationConfig, SelectedBenchmark, select_benchmarks
from plum_hub.evaluation.folder import EvaluationFolder
from plum_hub.evaluation.protocol import Protocol, family
from plum_hub.evaluation.sampling import SampleRequest, check_style, choose_style, contest_family, sample_requests
from plum_hub.pipeline.rates import recall

_TOKENS = {"humaneval": 220, "mbpp": 150, "livecodebench": 400}
"""Tokens of an answer if the folder has none yet, rather high than low."""


@dataclass(frozen=True)
class EvaluationEstimate:
    """What an evaluation will do."""

    problems: dict[str, int]
    """Number of problems of each benchmark."""
    prompt: str
    """Prompt style, as in `Protocol.prompt`."""
    samples: int
    """Samples in all."""
    requests: int
    """Samples that remain to be generated."""
    completion_tokens: int
    seconds: float | None
    """None if the speed of this engine was never measured on this machine."""


def plan(config: EvaluationConfig) -> EvaluationEstimate:
    """Count the samples that an evaluation still has to generate. Loads the benchmarks, asks no model.

    Args:
        config: The evaluation of a model.

    Returns:
        The estimate.

    Raises:
        PlumError: As `evaluate` raises, where it can be detected in advance.
    """
    model, protocol, chosen, samples = resolve_requests(config, EvaluationFolder(config.folder))
    existing = [row for row in EvaluationFolder(config.folder).samples() if row.id in samples]
    pending = [one for name, one in samples.items() if name not in {row.id for row in existing}]
    mean = sum(row.completion_tokens for row in existing) / len(existing) if existing else None
    tokens = round(sum(mean or _TOKENS[family(one.benchmarks[0])] for one in pending))
    rate = recall(model)
    return EvaluationEstimate(
        problems={name: len(one.problems) for name, one in chosen.items()},
        prompt=protocol.prompt,
        samples=len(samples),
        requests=len(pending),
        completion_tokens=tokens,
        seconds=None if rate is None else round(tokens / rate, 1),
    )


def resolve_requests(
    config: EvaluationConfig, folder: EvaluationFolder
) -> tuple[EngineConfig, Protocol, dict[str, SelectedBenchmark], dict[str, SampleRequest]]:
    """Decide everything that can be known before a model is opened.

    Args:
        config: The evaluation of a model.
        folder: Its folder. If the evaluation has begun, its model keeps its revision and dtype.

    Returns:
        The pinned model, the protocol with its prompt style, the benchmarks by name, and all samples by id.

    Raises:
        EngineError: The model cannot be reached, has changed, or does not support the prompt style.
        BenchmarkError: A benchmark is unknown or cannot be loaded.
        UsageError: No problem of a benchmark is selected.
    """
    assert config.model is not None
    head = folder.head()
    model = _as_begun(config.model, (head and head.model) or {})
    protocol = config.protocol
    if config.auto_prompt:
        protocol = protocol.model_copy(update={"prompt": choose_style(model)})
    protocol = protocol.model_copy(update={"contest_family": contest_family(model)})
    check_style(model, protocol.prompt)
    chosen = select_benchmarks(config.benchmarks, config.selection, config.data)
    return model, protocol, chosen, sample_requests(model, chosen, protocol)


def _as_begun(config: EngineConfig, before: Mapping[str, JsonValue]) -> EngineConfig:
    """Pin the configuration; what it leaves open is taken from the evaluation that began with the same model."""
    if (before.get("type"), before.get("model")) != (config.type, config.model):
        return config.pin()
    sealed = {key: before[key] for key in ("revision", "dtype") if key in before}
    update = {key: value for key, value in sealed.items() if getattr(config, key) in (None, "auto")}
    pinned = config.model_copy(update=update).pin()
    if update.get("dtype") == "auto":  # sealed by an earlier version, and part of its rows' ids
        return pinned.model_copy(update={"dtype": "auto"})
    return pinned
