"""`evaluate --dry-run`: what a model will be asked, and how long that takes."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

from plum_hub.engines import EngineConfig
from plum_hub.errors import UsageError
from plum_hub.evaluation.config import EvaluationConfig, SelectedBenchmark, select_benchmarks
from plum_hub.evaluation.folder import EvaluationFolder, EvaluationRecord
from plum_hub.evaluation.protocol import Protocol, ProtocolName, family, protocol_label
from plum_hub.evaluation.sampling import SampleRequest, check_style, choose_style, contest_family, sample_requests
from plum_hub.pipeline.rates import recall
from plum_hub.prompts.evalplus import evalplus_installed, evalplus_rules
from plum_hub.records import Sample
from plum_hub.statistics import gain_beyond_error, smallest_gain

_TOKENS = {"humaneval": 220, "mbpp": 150, "livecodebench": 400}
"""Tokens of an answer if the folder has none yet, rather high than low."""
_DISAGREEMENT = 0.1
"""Share of the problems that one of two models solves and the other does not: an assumption, before either is asked."""


@dataclass(frozen=True)
class EvaluationEstimate:
    """What an evaluation will do."""

    problems: dict[str, int]
    """Number of problems of each benchmark."""
    prompt: str
    """Prompt style, as in `Protocol.prompt`."""
    protocols: dict[str, str]
    """Protocol of each benchmark, as in `evalplus 0.3.1`."""
    samples: int
    """Samples in all."""
    requests: int
    """Samples that remain to be generated."""
    completion_tokens: int
    seconds: float | None
    """None if the speed of this engine was never measured on this machine."""
    smallest_gains: dict[str, float | None]
    """The smallest true gain in pass@1 between two models that each benchmark's problems show with 80 % power at the
    5 % level, as a share, if the models disagree on a tenth of the problems; None if there are too few problems."""
    notes: tuple[str, ...] = ()
    """Remarks, one line each."""

    def with_beside(self, other: "EvaluationEstimate") -> "EvaluationEstimate":
        """Add what another evaluation of the same problems does.

        Args:
            other: The estimate of the other evaluation.

        Returns:
            The sum of samples, requests, tokens and seconds; all else is of this evaluation.
        """
        known = self.seconds is not None and other.seconds is not None
        return replace(
            self,
            samples=self.samples + other.samples,
            requests=self.requests + other.requests,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            seconds=(self.seconds or 0) + (other.seconds or 0) if known else None,
        )


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
    tokens = round(len(pending) * expected_tokens(pending, existing))
    rate = recall(model)
    return EvaluationEstimate(
        problems={name: len(one.problems) for name, one in chosen.items()},
        prompt=protocol.prompt,
        protocols={name: protocol_label(name, protocol) for name in chosen},
        samples=len(samples),
        requests=len(pending),
        completion_tokens=tokens,
        seconds=None if rate is None else round(tokens / rate, 1),
        smallest_gains={name: _smallest_gain(len(one.problems), protocol.samples) for name, one in chosen.items()},
        notes=tuple(notes_before(config, protocol, chosen)),
    )


def expected_tokens(pending: Collection[SampleRequest], answered: Collection[Sample]) -> float:
    """Estimate the length of the answers that are still to be generated.

    Args:
        pending: Their requests.
        answered: The answers that the evaluation has already.

    Returns:
        Mean tokens of an answer; 0.0 if none is pending.
    """
    if not pending:
        return 0.0
    if answered:
        return sum(row.completion_tokens for row in answered) / len(answered)
    return sum(_TOKENS[family(one.benchmarks[0])] for one in pending) / len(pending)


def resolve_requests(
    config: EvaluationConfig, folder: EvaluationFolder
) -> tuple[EngineConfig, Protocol, dict[str, SelectedBenchmark], dict[str, SampleRequest]]:
    """Decide everything that can be known before a model is opened.

    Args:
        config: The evaluation of a model.
        folder: Its folder. If the evaluation has begun, its model keeps its revision and dtype.

    Returns:
        The pinned model, the protocol with its name and prompt style, the benchmarks by name, and all samples by id.

    Raises:
        EngineError: The model cannot be reached, has changed, or does not support the prompt style.
        BenchmarkError: A benchmark is unknown or cannot be loaded.
        UsageError: No problem of a benchmark is selected, or the protocol has no prompt for a benchmark.
        MissingExtraError: The package of the protocol is not installed.
    """
    assert config.model is not None
    own = config.protocol.name == "file"
    head = folder.head()
    model = _as_begun(config.model, (head and head.model) or {})
    protocol = config.protocol
    if config.auto_prompt and not own:
        protocol = protocol.model_copy(update={"prompt": choose_style(model)})
    protocol = protocol.model_copy(update={"contest_family": contest_family(model)})
    check_style(model, protocol.prompt)
    chosen = select_benchmarks(config.benchmarks, config.selection, config.data)
    if not own:
        name = _protocol_name(config.protocol_name, {family(one) for one in chosen}, head)
        version = evalplus_rules().version if name == "evalplus" else ""
        protocol = protocol.model_copy(update={"name": name, "version": version})
    return model, protocol, chosen, sample_requests(model, chosen, protocol)


def notes_before(
    config: EvaluationConfig, protocol: Protocol, chosen: Mapping[str, SelectedBenchmark]
) -> Iterator[str]:
    """List what a user should know before a model is asked.

    Args:
        config: The evaluation of a model.
        protocol: Its protocol, as `resolve_requests` returned it.
        chosen: The benchmarks by name.

    Yields:
        Remarks, one line each.
    """
    if config.protocol_name is None and any(protocol_label(name, protocol).startswith("plum") for name in chosen):
        yield (
            "this evaluation began in plum-hub's own words: ask as the leaderboards do with  --protocol evalplus"
            if evalplus_installed()
            else "asked in plum-hub's own words: for scores that compare with the leaderboards run  pip install "
            "'plum-hub[eval]'"
        )

    for name, one in chosen.items():
        gain, number = _smallest_gain(len(one.problems), protocol.samples), len(one.problems)
        what = "the smallest gain in pass@1 that it can show (paired, 95 %, power 80 %)"
        where = "if two models disagree on a tenth of the problems"
        if protocol.samples > 1:
            where += " in a draw, by chance alone"
        asked = f"{name}, {number:,} problems, {protocol.samples} samples of each"
        if gain is None:
            yield f"{asked}: so few problems cannot show any gain in pass@1 (paired, 95 %, power 80 %), {where}"
        else:
            yield f"{asked}: {what} is {100 * gain:.1f} points, {where}"


def _smallest_gain(problems: int, samples: int) -> float | None:
    """Return the smallest gain that can be shown, if two models disagree on a tenth of the problems.

    With several samples of a problem the disagreement is taken to be that of the draws, which more samples average out.
    """
    if samples == 1:
        return smallest_gain(problems, _DISAGREEMENT)
    return gain_beyond_error(math.sqrt(_DISAGREEMENT / samples / problems))


def _protocol_name(asked: ProtocolName | None, families: set[str], head: EvaluationRecord | None) -> ProtocolName:
    """Check or choose the protocol. An evaluation that has begun keeps its own unless another is asked for."""
    contest: ProtocolName = "livecodebench"
    if asked == contest and families != {contest}:
        raise UsageError(
            f"--protocol livecodebench has no prompt for {', '.join(sorted(families - {contest}))}: leave it out, or "
            "evaluate these apart"
        )
    if asked == "evalplus" and families == {contest}:
        raise UsageError("EvalPlus has no prompt for livecodebench: use  --protocol livecodebench")
    if asked is not None:
        return asked
    if head is not None and head.model is not None and head.protocol.name != "file":
        return head.protocol.name
    if families == {contest}:
        return contest
    return "evalplus" if evalplus_installed() else "plum"


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
