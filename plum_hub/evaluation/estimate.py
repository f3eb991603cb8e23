"""`evaluate --dry-run`: what a model will be asked, and how long that takes."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from plum_hub.engines import EngineConfig
from plum_hub.evaluation.config import EvaluationConfig, SelectedBenchmark, choose
from plum_hub.evaluation.folder import EvaluationFolder
from plum_hub.evaluation.protocol import Protocol, family
from plum_hub.evaluation.sampling import SampleRequest, check_style, choose_style, contest_family, wanted_samples
from plum_hub.pipeline.rates import recall

_TOKENS = {"humaneval": 220, "mbpp": 150, "livecodebench": 400}
"""Tokens of an answer, where the folder has none yet; rather high than low."""


@dataclass(frozen=True)
class EvaluationEstimate:
    """What an evaluation will do."""

    problems: dict[str, int]
    """By benchmark."""
    prompt: str
    samples: int
    requests: int
    """Still owed."""
    completion_tokens: int
    seconds: float | None
    """None where this engine was never measured on this machine."""


def plan(order: EvaluationConfig) -> EvaluationEstimate:
    """Count what is owed. Reads the benchmarks, asks no model.

    Raises:
        PlumError: as `evaluate`, of what can be seen before.
    """
    config, protocol, chosen, wanted = what_is_asked(order, EvaluationFolder(order.folder))
    there = [row for row in EvaluationFolder(order.folder).samples() if row.id in wanted]
    owed = [one for name, one in wanted.items() if name not in {row.id for row in there}]
    mean = sum(row.completion_tokens for row in there) / len(there) if there else None
    tokens = round(sum(mean or _TOKENS[family(one.benchmarks[0])] for one in owed))
    rate = recall(config)
    return EvaluationEstimate(
        problems={name: len(one.problems) for name, one in chosen.items()},
        prompt=protocol.prompt,
        samples=len(wanted),
        requests=len(owed),
        completion_tokens=tokens,
        seconds=None if rate is None else round(tokens / rate, 1),
    )


def what_is_asked(
    order: EvaluationConfig, folder: EvaluationFolder
) -> tuple[EngineConfig, Protocol, dict[str, SelectedBenchmark], dict[str, SampleRequest]]:
    """Everything about an order that can be known before a model is opened: the model at the revision and in the
    numbers that the folder's evaluation began with, or else as it is now, the protocol with the prompt decided, the
    problems, and the samples.

    Raises:
        EngineError: the model cannot be had, is not what it was, or cannot be asked so.
        BenchmarkError, UsageError: as `choose`.
    """
    assert order.model is not None
    head = folder.head()
    config = _as_begun(order.model, (head and head.model) or {})
    protocol = order.protocol
    if order.any_form:
        protocol = protocol.model_copy(update={"prompt": choose_style(config)})
    protocol = protocol.model_copy(update={"contest_family": contest_family(config)})
    check_style(config, protocol.prompt)
    chosen = choose(order.benchmarks, order.selection, order.data)
    return config, protocol, chosen, wanted_samples(config, chosen, protocol)


def _as_begun(config: EngineConfig, before: Mapping[str, JsonValue]) -> EngineConfig:
    """The configuration, pinned, with what it leaves open as in the evaluation that was begun with the same model."""
    if (before.get("type"), before.get("model")) != (config.type, config.model):
        return config.pin()
    sealed = {key: before[key] for key in ("revision", "dtype") if key in before}
    update = {key: value for key, value in sealed.items() if getattr(config, key) in (None, "auto")}
    pinned = config.model_copy(update=update).pin()
    if update.get("dtype") == "auto":  # sealed so by an earlier version, and in the ids of its rows
        return pinned.model_copy(update={"dtype": "auto"})
    return pinned
