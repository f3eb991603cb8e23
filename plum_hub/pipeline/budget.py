"""Builds with a time limit (`budget.minutes`).

The engine's speed on this machine is measured on its first answers. As many instructions are taken as fit the time, and
every row that does not fit becomes a drop `over_budget` (law 6).

There are two decisions: the number of instructions and responses, before the generator is asked; and the number of
samples, before the policy is asked, when the number of suites and the time left are known. A decision is written to the
run (`budget.json`) before anything follows from it, so a run that is killed and resumed keeps it, and its rows depend
on the decision alone.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path

from plum_hub.engines import EngineConfig
from plum_hub.engines.base import Engine, Request, Sampling
from plum_hub.errors import RunError
from plum_hub.files import write_whole
from plum_hub.pipeline.base import Context, RowRequest, carried_over, generate_rows, open_engine
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, KeptT, Response, digest
from plum_hub.run import FILES, Run

_OVER_BUDGET = "over_budget"
"""Reason of rows that are left out for lack of time."""
RESPONSE_TOKENS, SAMPLE_TOKENS = 300, 200
"""Expected tokens of an answer, before there is one. Runs with the Qwen2.5-Coder models had 230 to 350 for responses,
and 180 to 250 for samples."""
_KEPT_SHARE = 0.64
"""Share of instructions expected to keep a suite: the paper's self-consistency rate on OSS-Instruct (Table 1)."""
_RESERVE = 0.2
"""Share of the time reserved for work without tokens: the last answers of a stage, which are generated almost alone,
judging, decontamination, and the release and its check."""
_MIN_SAMPLES = 2
"""With fewer samples an instruction seldom has both labels."""
_PROBED, _PROBE_TOKENS = 30, 16
"""Number of answers whose first tokens are generated to measure the speed, and number of these tokens: seconds of work.
"""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How long answers take an engine on this machine when many are generated together."""

    request_seconds: float
    """Seconds for each answer whatever its length, to read its prompt."""
    token_seconds: float
    """Seconds for each token of an answer."""

    def answer(self, tokens: float) -> float:
        """Compute the share of an answer in the time of its batch.

        Args:
            tokens: Tokens of the answer.

        Returns:
            Seconds.
        """
        return self.request_seconds + tokens * self.token_seconds


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much of what the recipe asks for is made."""

    instructions: int
    responses: int
    """For each instruction; 0 if the suites exist already."""
    samples: int
    """For each suite."""


def fit_extent(requested: Extent, min_instructions: int, seconds: float, cost: Callable[[Extent], float]) -> Extent:
    """Choose the most that can be made in a time.

    Instructions are reduced first, down to `min_instructions`; then samples, to half; then responses, to 2; then
    samples again; and at last responses to 1, which leaves many instructions without a suite.

    Args:
        requested: What the recipe asks for.
        min_instructions: Instructions that are taken in any case.
        seconds: The time available.
        cost: Computes the seconds that an extent takes.

    Returns:
        The first extent that fits, or the smallest if none does.
    """
    extent = requested
    for extent in _shrinking(requested, min_instructions):
        if cost(extent) <= seconds:
            return extent
    return extent


def _shrinking(requested: Extent, min_instructions: int) -> Iterator[Extent]:
    for instructions in range(requested.instructions, min(min_instructions, requested.instructions) - 1, -1):
        yield replace(requested, instructions=instructions)
    extent = replace(requested, instructions=min(min_instructions, requested.instructions))
    half = max(min(_MIN_SAMPLES, requested.samples), ceil(requested.samples / 2))
    for samples in range(requested.samples - 1, half - 1, -1):
        yield replace(extent, samples=samples)
    fewer = min(2, requested.responses)
    for responses in range(requested.responses - 1, fewer - 1, -1):
        yield replace(extent, responses=responses, samples=half)
    for responses, most in ((fewer, half - 1), (min(1, requested.responses), half)):
        for samples in range(most, _MIN_SAMPLES - 1, -1):
            yield replace(extent, responses=responses, samples=samples)
    yield replace(extent, responses=min(1, requested.responses), samples=min(_MIN_SAMPLES, requested.samples))


def speed_of(moments: Sequence[tuple[float, int]], requests: int, seconds: float) -> Speed:
    """Derive the speed from a measurement.

    The time of a token is taken from the second half of the tokens, when all prompts have been read. The rest of the
    time is attributed to the prompts.

    Args:
        moments: (seconds since the start, tokens so far) at every step.
        requests: Number of answers that were started together.
        seconds: Time until all were finished.

    Returns:
        The speed.
    """
    tokens = moments[-1][1]
    middle, count = next(moment for moment in moments if 2 * moment[1] >= tokens)
    token = (seconds - middle) / (tokens - count) if tokens > count else seconds / tokens
    return Speed(request_seconds=max(0.0, seconds - tokens * token) / requests, token_seconds=token)


def within_budget(
    context: Context,
    kind: type[KeptT],
    config: EngineConfig,
    requests: Sequence[RowRequest[KeptT]],
    sampling: Sampling,
    renew: Callable[[KeptT], KeptT] = lambda row: row,
) -> list[RowRequest[KeptT]]:
    """Choose the requests of a stage that there is time for. The others become drops.

    Args:
        context: The build; the time runs from its `started`.
        kind: The record class of the stage: responses or samples.
        config: The pinned configuration of the engine.
        requests: All requests of the stage, those of an instruction next to each other.
        sampling: How each answer is sampled.
        renew: Brings a row of the donor up to this version.

    Returns:
        The chosen requests; all of them if the recipe has no budget.

    Raises:
        EngineError: The engine cannot be opened or failed.
        RunError: An earlier decision cannot be read, or a new one cannot be written.
    """
    if context.run.recipe.budget.minutes is None or not requests:
        return list(requests)
    stage = FILES[kind]
    groups: dict[str, list[RowRequest[KeptT]]] = {}
    for one in requests:
        groups.setdefault(one.instruction_id, []).append(one)
    seed = context.run.recipe.instructions.seed
    ordered = [groups[name] for name in sorted(groups, key=lambda name: digest("budget", seed, name))]
    decided = _decisions(context.run).get(stage)
    if decided is None:
        decided = _decide(context, kind, config, ordered, sampling, renew)
        _write_decision(context.run, stage, decided)
    each = decided.responses if stage == "responses" else decided.samples
    chosen = {one.id for group in ordered[: decided.instructions] for one in group[:each]}
    return _drop_the_rest(context.run, kind, requests, chosen, stage, decided)


def _drop_the_rest(
    run: Run, kind: type[KeptT], requests: Sequence[RowRequest[KeptT]], chosen: set[str], stage: str, decided: Extent
) -> list[RowRequest[KeptT]]:
    """Append a drop for each request that is neither chosen nor answered, and return the others."""
    chosen = chosen | run.ids(kind)
    dropped = {drop.id for drop in run.rows(Drop) if drop.stage == stage}
    each = decided.responses if stage == "responses" else decided.samples
    detail = f"{decided.instructions} instructions with {each} {stage} each fit {run.recipe.budget.minutes:g} minutes"
    with run.appending(Drop) as drop:
        for one in requests:
            if one.id not in chosen and one.id not in dropped:
                drop(
                    Drop(id=one.id, stage=stage, reason=_OVER_BUDGET, instruction_id=one.instruction_id, detail=detail)
                )
    return [one for one in requests if one.id in chosen]


def _decide(
    context: Context,
    kind: type[KeptT],
    config: EngineConfig,
    ordered: Sequence[Sequence[RowRequest[KeptT]]],
    sampling: Sampling,
    renew: Callable[[KeptT], KeptT],
) -> Extent:
    """Measure the speed, choose what fits the time that is left, and report it."""
    recipe = context.run.recipe
    minutes, min_instructions = recipe.budget.minutes, recipe.budget.min_instructions
    assert minutes is not None
    requested = _requested(recipe, len(ordered), generate=kind is Response)
    pending = _pending(context, kind, ordered[:min_instructions], renew) or _pending(context, kind, ordered, renew)
    if not pending:
        return requested
    speed, rate = _measure(context, kind, config, pending, sampling)
    left = minutes * 60 * (1 - _RESERVE) - (time.monotonic() - context.started)
    extent = fit_extent(requested, min_instructions, left, lambda one: _cost(one, recipe, speed))
    context.progress.say(decision_message(extent, requested, rate, minutes))
    return extent


def _requested(recipe: Recipe, instructions: int, *, generate: bool) -> Extent:
    responses, samples = recipe.suites.responses, recipe.samples.per_instruction
    assert responses is not None  # a sealed recipe is filled in
    assert samples is not None
    return Extent(instructions=instructions, responses=responses if generate else 0, samples=samples)


def _cost(extent: Extent, recipe: Recipe, speed: Speed) -> float:
    """Compute the seconds that the answers of an extent take."""
    responses = extent.instructions * extent.responses
    suites = extent.instructions * (_KEPT_SHARE if extent.responses else 1.0)
    return responses * speed.answer(min(RESPONSE_TOKENS, recipe.suites.max_tokens)) + (
        suites * extent.samples * speed.answer(min(SAMPLE_TOKENS, recipe.samples.max_tokens))
    )


def decision_message(extent: Extent, requested: Extent, rate: float, minutes: float) -> str:
    """Describe the decision in one line.

    Args:
        extent: What was chosen.
        requested: What the recipe asks for.
        rate: Measured tokens per second.
        minutes: The recipe's budget.

    Returns:
        The line.
    """
    what = "instructions" if requested.responses else "instructions with a suite"
    line = (
        f"this machine writes {rate:.0f} tokens/s: {extent.instructions} of {requested.instructions} {what} "
        f"fit {minutes:g} minutes"
    )
    fewer = [
        f"{getattr(extent, name)} instead of {getattr(requested, name)} {name} each"
        for name in ("responses", "samples")
        if getattr(extent, name) < getattr(requested, name)
    ]
    return f"{line}, with {' and '.join(fewer)}" if fewer else line


def _measure(
    context: Context, kind: type[KeptT], config: EngineConfig, pending: Sequence[RowRequest[KeptT]], sampling: Sampling
) -> tuple[Speed, float]:
    """Return the engine's speed, and the tokens per second that it implies for the later part of an answer.

    An engine that counts its tokens generates the beginnings of some answers, which are discarded. Another engine
    generates the answers of `budget.min_instructions` instructions, which are kept: they are needed whatever is
    decided.
    """
    context.progress.begin("speed", 0, 0)
    context.progress.expect(_PROBE_TOKENS)
    engine = open_engine(context.engines, config, context.progress)
    if engine.counts_tokens:
        speed = _probe(context, engine, pending[:_PROBED], sampling)
        context.progress.end()
        return speed, 1 / speed.token_seconds
    first = {one.id: one for one in pending[: context.run.recipe.budget.min_instructions]}
    began = time.monotonic()
    tokens = generate_rows(context, kind, config, first, sampling)
    seconds = max(time.monotonic() - began, 1e-9)
    return Speed(request_seconds=seconds / len(first), token_seconds=0.0), tokens / seconds


def _pending(
    context: Context,
    kind: type[KeptT],
    ordered: Sequence[Sequence[RowRequest[KeptT]]],
    renew: Callable[[KeptT], KeptT],
) -> list[RowRequest[KeptT]]:
    """Take over the donor's rows, and return the requests without a row: the first answers before the second ones."""
    run = context.run
    done = run.ids(kind) | {drop.id for drop in run.rows(Drop) if drop.stage == FILES[kind]}
    ranked = [group[index] for index in range(max(map(len, ordered))) for group in ordered if index < len(group)]
    pending = {one.id: one for one in ranked if one.id not in done}
    with run.appending(kind) as append:
        for row in carried_over(run, context.donor, kind, pending):
            if pending.pop(row.id, None) is not None:
                append(renew(row))
    return list(pending.values())


def _probe(context: Context, engine: Engine, pending: Sequence[RowRequest[KeptT]], sampling: Sampling) -> Speed:
    """Measure the speed on the first tokens of some answers."""
    short = replace(sampling, max_tokens=min(_PROBE_TOKENS, sampling.max_tokens))
    requests = [Request(id=one.id, prompt=one.prompt, seed=one.seed, sampling=short) for one in pending]
    began, total = time.monotonic(), 0
    moments = []

    def wrote(tokens: int) -> None:
        nonlocal total
        total += tokens
        moments.append((time.monotonic() - began, total))
        context.progress.wrote(tokens)

    engine.on_tokens = wrote
    for _ in engine.generate(requests):
        pass
    seconds = time.monotonic() - began
    if not total:  # every prompt was refused, so nothing was generated
        return Speed(request_seconds=seconds / len(requests), token_seconds=1e-9)
    return speed_of(moments, len(requests), seconds)


def _path(run: Run) -> Path:
    return run.folder / "budget.json"


def _decisions(run: Run) -> Mapping[str, Extent]:
    """Read the earlier decisions, by stage."""
    path = _path(run)
    if not path.exists():
        return {}
    try:
        decisions = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(stage): Extent(**{key: int(value) for key, value in extent.items()})
            for stage, extent in decisions.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: not the decision of a run with a budget ({error}); delete it to decide again (rows that were "
            "left out stay left out)"
        ) from error


def _write_decision(run: Run, stage: str, extent: Extent) -> None:
    """Add a decision to the file in one step."""
    known = {name: asdict(one) for name, one in _decisions(run).items()} | {stage: asdict(extent)}
    write_whole(_path(run), json.dumps(known, indent=1) + "\n")
