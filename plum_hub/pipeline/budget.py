"""A build that is given a time (`budget.minutes`): measure how fast an engine is here on its first answers, take as
many instructions as fit, and leave out the rest, each row as a drop `over_budget` (law 6).

It is decided twice: how many instructions and responses there are to be, before the generator is asked; and how many
samples, before the policy is, when it is known how many suites there are and how much time is left. A decision is
written to the run (`budget.json`) before anything follows from it, so a run that is killed and taken up again keeps
it: its rows depend on the decision alone.
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
from plum_hub.pipeline.base import Context, RowRequest, ask, carried_over, opened
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, KeptT, Response, digest
from plum_hub.run import FILES, Run

OVER_BUDGET = "over_budget"
"""Why a row that there was no time for is left out."""
RESPONSE_TOKENS, SAMPLE_TOKENS = 300, 200
"""Tokens of an answer, expected before there is one; runs with the Qwen2.5-Coder models gave 230 to 350, and 180 to
250."""
_KEPT = 0.64
"""Share of instructions expected to keep a suite: the paper's self-consistency rate on OSS-Instruct (Table 1)."""
_RESERVE = 0.2
"""Share of the time that is left for what has no tokens: the last answers of a stage, which are written almost alone,
judging, decontamination, the release and its reading back."""
_FEWEST_SAMPLES = 2
"""With fewer samples an instruction seldom has both labels."""
_PROBED, _PROBE_TOKENS = 30, 16
"""Answers whose first tokens are written to measure the speed, and how many: seconds of work."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How long answers take an engine on this machine, many at once."""

    request_seconds: float
    """Of each answer, whatever its length: to read its prompt."""
    token_seconds: float
    """Of each of its tokens."""

    def answer(self, tokens: float) -> float:
        """Seconds that an answer takes of a batch's time."""
        return self.request_seconds + tokens * self.token_seconds


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much of what the recipe asks for is made."""

    instructions: int
    responses: int
    """For each instruction; 0 where suites are there."""
    samples: int
    """For each suite."""


def fitting(wanted: Extent, least: int, seconds: float, cost: Callable[[Extent], float]) -> Extent:
    """The most that can be made in a time: as many instructions as fit, but `least` of them; where these do not fit,
    fewer samples (down to half), then fewer responses (down to 2), then fewer samples again, and one response at last,
    with which many an instruction is left without a suite.

    Args:
        wanted: the most of everything.
        least: instructions that are taken in any case.
        seconds: the time.
        cost: seconds that an extent takes.

    Returns:
        The first that fits, or the smallest where nothing does.
    """
    extent = wanted
    for extent in _shrinking(wanted, least):
        if cost(extent) <= seconds:
            return extent
    return extent


def _shrinking(wanted: Extent, least: int) -> Iterator[Extent]:
    for instructions in range(wanted.instructions, min(least, wanted.instructions) - 1, -1):
        yield replace(wanted, instructions=instructions)
    extent = replace(wanted, instructions=min(least, wanted.instructions))
    half = max(min(_FEWEST_SAMPLES, wanted.samples), ceil(wanted.samples / 2))
    for samples in range(wanted.samples - 1, half - 1, -1):
        yield replace(extent, samples=samples)
    fewer = min(2, wanted.responses)
    for responses in range(wanted.responses - 1, fewer - 1, -1):
        yield replace(extent, responses=responses, samples=half)
    for responses, most in ((fewer, half - 1), (min(1, wanted.responses), half)):
        for samples in range(most, _FEWEST_SAMPLES - 1, -1):
            yield replace(extent, responses=responses, samples=samples)
    yield replace(extent, responses=min(1, wanted.responses), samples=min(_FEWEST_SAMPLES, wanted.samples))


def speed_of(moments: Sequence[tuple[float, int]], requests: int, seconds: float) -> Speed:
    """The speed behind a measurement.

    Args:
        moments: after how many seconds how many tokens were there in all, at every step.
        requests: answers that were begun together.
        seconds: until all were finished.

    Returns:
        The time of a token by the steps after the first half of the tokens, when every prompt has been read; what is
        left over is the prompts'.
    """
    tokens = moments[-1][1]
    middle, there = next(moment for moment in moments if 2 * moment[1] >= tokens)
    token = (seconds - middle) / (tokens - there) if tokens > there else seconds / tokens
    return Speed(request_seconds=max(0.0, seconds - tokens * token) / requests, token_seconds=token)


def affordable(
    context: Context, kind: type[KeptT], config: EngineConfig, asks: Sequence[RowRequest[KeptT]], sampling: Sampling
) -> list[RowRequest[KeptT]]:
    """What of a stage's asks there is time for: all of them where the recipe has no budget. The others become drops.

    Args:
        context: of the build; its `started` is when the time began.
        kind: the rows that the asks become: responses or samples.
        config: the engine that will be asked.
        asks: all that the recipe wants, each instruction's in a row.
        sampling: how it will be asked.

    Raises:
        EngineError: the engine cannot be had or broke.
        RunError: the decision made before cannot be read, or a new one not be written.
    """
    if context.run.recipe.budget.minutes is None or not asks:
        return list(asks)
    stage = FILES[kind]
    groups: dict[str, list[RowRequest[KeptT]]] = {}
    for one in asks:
        groups.setdefault(one.instruction_id, []).append(one)
    seed = context.run.recipe.instructions.seed
    ordered = [groups[name] for name in sorted(groups, key=lambda name: digest("budget", seed, name))]
    decided = _decisions(context.run).get(stage)
    if decided is None:
        decided = _decide(context, kind, config, ordered, sampling)
        _write_decision(context.run, stage, decided)
    each = decided.responses if stage == "responses" else decided.samples
    chosen = {one.id for group in ordered[: decided.instructions] for one in group[:each]}
    return _without_the_rest(context.run, kind, asks, chosen, stage, decided)


def _without_the_rest(
    run: Run, kind: type[KeptT], asks: Sequence[RowRequest[KeptT]], chosen: set[str], stage: str, decided: Extent
) -> list[RowRequest[KeptT]]:
    """The chosen asks and those that are answered already; a drop for each other one that has none."""
    chosen = chosen | run.ids(kind)
    gone = {drop.id for drop in run.rows(Drop) if drop.stage == stage}
    each = decided.responses if stage == "responses" else decided.samples
    detail = f"{decided.instructions} instructions with {each} {stage} each fit {run.recipe.budget.minutes:g} minutes"
    with run.appending(Drop) as drop:
        for one in asks:
            if one.id not in chosen and one.id not in gone:
                drop(Drop(id=one.id, stage=stage, reason=OVER_BUDGET, instruction_id=one.instruction_id, detail=detail))
    return [one for one in asks if one.id in chosen]


def _decide(
    context: Context,
    kind: type[KeptT],
    config: EngineConfig,
    ordered: Sequence[Sequence[RowRequest[KeptT]]],
    sampling: Sampling,
) -> Extent:
    """Measure, and choose what fits the time that is left; tell it."""
    recipe = context.run.recipe
    minutes, least = recipe.budget.minutes, recipe.budget.min_instructions
    assert minutes is not None
    wanted = _wanted(recipe, len(ordered), generate=kind is Response)
    owed = _owed(context, kind, ordered[:least], FILES[kind]) or _owed(context, kind, ordered, FILES[kind])
    if not owed:
        return wanted
    speed, rate = _measured(context, kind, config, owed, sampling)
    left = minutes * 60 * (1 - _RESERVE) - (time.monotonic() - context.started)
    extent = fitting(wanted, least, left, lambda one: cost(one, recipe, speed))
    context.progress.say(told(extent, wanted, rate, minutes))
    return extent


def _wanted(recipe: Recipe, instructions: int, *, generate: bool) -> Extent:
    responses, samples = recipe.suites.responses, recipe.samples.per_instruction
    assert responses is not None  # a sealed recipe is filled in
    assert samples is not None
    return Extent(instructions=instructions, responses=responses if generate else 0, samples=samples)


def cost(extent: Extent, recipe: Recipe, speed: Speed) -> float:
    """Seconds that an extent's answers take, as far as they are not written yet."""
    responses = extent.instructions * extent.responses
    suites = extent.instructions * (_KEPT if extent.responses else 1.0)
    return responses * speed.answer(min(RESPONSE_TOKENS, recipe.suites.max_tokens)) + (
        suites * extent.samples * speed.answer(min(SAMPLE_TOKENS, recipe.samples.max_tokens))
    )


def told(extent: Extent, wanted: Extent, rate: float, minutes: float) -> str:
    """The decision in one line."""
    what = "instructions" if wanted.responses else "instructions with a suite"
    line = (
        f"this machine writes {rate:.0f} tokens/s: {extent.instructions} of {wanted.instructions} {what} "
        f"fit {minutes:g} minutes"
    )
    fewer = [
        f"{getattr(extent, name)} instead of {getattr(wanted, name)} {name} each"
        for name in ("responses", "samples")
        if getattr(extent, name) < getattr(wanted, name)
    ]
    return f"{line}, with {' and '.join(fewer)}" if fewer else line


def _measured(
    context: Context, kind: type[KeptT], config: EngineConfig, owed: Sequence[RowRequest[KeptT]], sampling: Sampling
) -> tuple[Speed, float]:
    """The engine's speed, and the tokens a second that it means for an answer's later part.

    An engine that counts its tokens writes the beginnings of some answers, and nothing of them is kept. From another
    one `budget.min_instructions` answers are asked for and kept: they are wanted whatever is decided.
    """
    context.progress.begin("speed", 0, 0)
    context.progress.expect(_PROBE_TOKENS)
    engine = opened(context.engines, config, context.progress)
    if engine.counts_tokens:
        speed = _probe(context, engine, owed[:_PROBED], sampling)
        context.progress.end()
        return speed, 1 / speed.token_seconds
    first = {one.id: one for one in owed[: context.run.recipe.budget.min_instructions]}
    began = time.monotonic()
    tokens = ask(context, kind, config, first, sampling)
    seconds = max(time.monotonic() - began, 1e-9)
    return Speed(request_seconds=seconds / len(first), token_seconds=0.0), tokens / seconds


def _owed(
    context: Context, kind: type[KeptT], ordered: Sequence[Sequence[RowRequest[KeptT]]], stage: str
) -> list[RowRequest[KeptT]]:
    """What is not there yet, the donor's rows taken over: the first answer of each instruction before the second."""
    run = context.run
    done = run.ids(kind) | {drop.id for drop in run.rows(Drop) if drop.stage == stage}
    ranked = [group[index] for index in range(max(map(len, ordered))) for group in ordered if index < len(group)]
    owed = {one.id: one for one in ranked if one.id not in done}
    with run.appending(kind) as append:
        for row in carried_over(context.donor, kind, owed):
            if owed.pop(row.id, None) is not None:
                append(row)
    return list(owed.values())


def _probe(context: Context, engine: Engine, asks: Sequence[RowRequest[KeptT]], sampling: Sampling) -> Speed:
    """Write the first tokens of some answers."""
    short = replace(sampling, max_tokens=min(_PROBE_TOKENS, sampling.max_tokens))
    requests = [Request(id=one.id, prompt=one.prompt, seed=one.seed, sampling=short) for one in asks]
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
    if not total:  # every prompt was refused: there is nothing to write
        return Speed(request_seconds=seconds / len(requests), token_seconds=1e-9)
    return speed_of(moments, len(requests), seconds)


def _path(run: Run) -> Path:
    return run.folder / "budget.json"


def _decisions(run: Run) -> Mapping[str, Extent]:
    """What was decided before, by stage.

    Raises:
        RunError: the file is damaged.
    """
    path = _path(run)
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(stage): Extent(**{key: int(value) for key, value in extent.items()}) for stage, extent in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: not the decision of a run with a budget ({error}); delete it to have it made again: "
            "rows that were left out stay out"
        ) from error


def _write_decision(run: Run, stage: str, extent: Extent) -> None:
    """Write it whole or not at all."""
    known = {name: asdict(one) for name, one in _decisions(run).items()} | {stage: asdict(extent)}
    write_whole(_path(run), json.dumps(known, indent=1) + "\n")
