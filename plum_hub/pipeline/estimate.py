"""`--dry-run`: the requests, time and cost of a build, before anything is spent.

Tokens are estimated from what the run has already generated, or else from `_TOKENS`; time from the rate measured on
this machine (`plum_hub.pipeline.rates`); cost from the prices in the engine's settings. Each is absent if unknown.
"""

from collections import Counter
from collections.abc import Container, Iterator, Set
from dataclasses import asdict, dataclass

from plum_hub.engines import EngineConfig
from plum_hub.pipeline.decontamination.stage import removed_ids
from plum_hub.pipeline.instructions import load_rows
from plum_hub.pipeline.published import GENERATE
from plum_hub.pipeline.rates import recall
from plum_hub.prompts import render
from plum_hub.recipe import Recipe, suite_template
from plum_hub.records import Drop, Instruction, Preference, Response, Sample, TestSuite
from plum_hub.run import Run

_CHARACTERS_PER_TOKEN = 3.5
"""Characters per token of English and Python under common tokenizers; used for prompts only."""
_CHARACTERS = 1200
"""Characters of an instruction where none can be read: the mean of 1,491 rows of OSS-Instruct."""
_TOKENS = {"responses": 450, "samples": 220}
"""Tokens of an answer if this run has none yet, rather high than low. Runs with the Qwen2.5-Coder models had 230 to 350
for responses, and 180 to 250 for samples."""
_KEPT_SHARE = 0.64
"""Share of instructions expected to keep a suite: the paper's self-consistency rate on OSS-Instruct (Table 1)."""


@dataclass(frozen=True)
class EstimateStep:
    """The requests of one stage to one engine."""

    stage: str
    engine: str
    requests: int
    """Requests that remain to be made."""
    prompt_tokens: int
    completion_tokens: int
    seconds: float | None
    """None if the speed of this engine was never measured on this machine, or answers come by batch."""
    usd: float | None
    """Cost in US dollars: None if the price is unknown, 0 for a model that runs locally."""
    by_batch: bool = False
    """Whether the answers come by batch, within 24 hours."""


@dataclass(frozen=True)
class SampleEstimate:
    """What one sample is like, on average: of those that there are, or as expected."""

    prompt_tokens: float
    completion_tokens: float
    chosen: float | None = None
    """Share of the samples that are chosen; None before any is labelled, as are the other shares."""
    rejected: float | None = None
    pairs: float | None = None
    """Balanced pairs for each sample."""


@dataclass(frozen=True)
class BuildEstimate:
    """What a build will do."""

    instructions: int
    suites_expected: int
    steps: list[EstimateStep]
    each: SampleEstimate

    def as_json(self) -> dict[str, object]:
        """Return the estimate as JSON values."""
        return asdict(self)


def plan(recipe: Recipe, run: Run | None, donor: Run | None = None) -> BuildEstimate:
    """Count the requests that a build still has to make.

    It reads the instructions, from the Hub if necessary, but asks no model.

    Args:
        recipe: The recipe, with defaults filled in; it need not be pinned.
        run: The run to resume, or None.
        donor: The run named by `--carry-over`, or None. All its rows for the same instructions count as made, which is
            an upper bound.

    Returns:
        The estimate.

    Raises:
        InstructionsError: The source of the instructions cannot be read.
        HubError: The source cannot be reached.
    """
    responses, samples = recipe.suites.responses, recipe.samples.per_instruction
    assert responses is not None
    assert samples is not None
    generate = recipe.suites.source == GENERATE
    texts = dict(_texts(recipe, run))
    source = run or donor
    written = [row for row in source.rows(Response) if row.instruction_id in texts] if source else []
    sampled = [row for row in source.rows(Sample) if row.instruction_id in texts] if source else []
    with_suite = (
        {row.instruction_id for row in source.rows(TestSuite) if row.instruction_id in texts} if source else set()
    )
    left_out = _left_out(run, texts)
    open_ones = texts.keys() - with_suite - _left_out(source, texts)["suites"].keys()
    open_ones -= {name for name, count in left_out["responses"].items() if count >= responses}
    suites = len(with_suite) + round(len(open_ones) * (_KEPT_SHARE if generate else 1.0))
    length = sum(map(len, texts.values())) / max(1, len(texts)) / _CHARACTERS_PER_TOKEN
    steps = []
    if generate:
        template = suite_template(recipe.suites)
        pending = max(0, len(texts) * responses - len(written) - left_out["responses"].total())
        steps.append(
            _step(
                "responses", recipe.generator, pending, _prompt(length, template),
                _mean(written, "responses", recipe.suites.max_tokens),
            )
        )  # fmt: skip
    pending = max(0, suites * samples - len(sampled) - left_out["samples"].total())
    each = SampleEstimate(
        _prompt(length, "solve_chat"), _mean(sampled, "samples", recipe.samples.max_tokens),
        *(_labels(source, {row.id for row in sampled}) if source and sampled else ()),
    )  # fmt: skip
    steps.append(_step("samples", recipe.policy, pending, each.prompt_tokens, each.completion_tokens))
    return BuildEstimate(instructions=len(texts), suites_expected=suites, steps=steps, each=each)


def plan_unread(recipe: Recipe, instructions: int) -> BuildEstimate:
    """Estimate a whole build whose source of instructions cannot be read, as without a network.

    Args:
        recipe: The recipe, with defaults filled in.
        instructions: Instructions to expect.

    Returns:
        The estimate, with prompts of a usual length.
    """
    responses, samples = recipe.suites.responses, recipe.samples.per_instruction
    assert responses is not None
    assert samples is not None
    generate = recipe.suites.source == GENERATE
    suites = round(instructions * (_KEPT_SHARE if generate else 1.0))
    length = _CHARACTERS / _CHARACTERS_PER_TOKEN
    steps = []
    if generate:
        asked, prompt = instructions * responses, _prompt(length, suite_template(recipe.suites))
        expected = _mean([], "responses", recipe.suites.max_tokens)
        steps.append(_step("responses", recipe.generator, asked, prompt, expected))
    each = SampleEstimate(_prompt(length, "solve_chat"), _mean([], "samples", recipe.samples.max_tokens))
    steps.append(_step("samples", recipe.policy, suites * samples, each.prompt_tokens, each.completion_tokens))
    return BuildEstimate(instructions=instructions, suites_expected=suites, steps=steps, each=each)


def _prompt(instruction: float, template: str) -> float:
    """Estimate the tokens of a prompt, from those of its instruction."""
    values = {"instruction": ""} if template.startswith("suite") else {"instruction": "", "starter_code": ""}
    return instruction + len(render(template, **values)) / _CHARACTERS_PER_TOKEN


def _texts(recipe: Recipe, run: Run | None) -> Iterator[tuple[str, str]]:
    """Yield the ids and texts of the instructions: those of the run that are in no benchmark, if it has any."""
    known = [(row.id, row.text) for row in run.rows(Instruction)] if run else []
    removed = removed_ids(run) if run else set()
    found = known or ((row.id, row.text) for row in load_rows(recipe) if isinstance(row, Instruction))
    yield from ((name, text) for name, text in found if name not in removed)


def _left_out(run: Run | None, instructions: Container[str]) -> dict[str, Counter[str]]:
    """Count the rows of each instruction that a run's stages have left out, and do not make again.

    An instruction of which the stage of suites has left anything out is decided, since it decides all at once.
    """
    counts: dict[str, Counter[str]] = {stage: Counter() for stage in ("responses", "suites", "samples")}
    for stage, name in run.columns(Drop, "stage", "instruction_id") if run else ():
        if stage in counts and name in instructions:
            counts[stage][name] += 1
    return counts


def _mean(rows: list[Response] | list[Sample], stage: str, most: int) -> float:
    return sum(row.completion_tokens for row in rows) / len(rows) if rows else min(_TOKENS[stage], most)


def _labels(run: Run, sampled: Set[str]) -> tuple[float, float, float] | tuple[()]:
    """Return the shares of samples that are chosen, that are rejected, and that make balanced pairs; nothing without
    labels."""
    counts: Counter[tuple[str, bool]] = Counter()
    for suite, sample, label in run.columns(Preference, "suite_id", "sample_id", "label"):
        counts[suite, label] += sample in sampled
    if not counts.total():
        return ()
    chosen = sum(count for (_, label), count in counts.items() if label)
    pairs = sum(min(count, counts[suite, False]) for (suite, label), count in counts.items() if label)
    return chosen / len(sampled), (counts.total() - chosen) / len(sampled), pairs / len(sampled)


def _step(stage: str, engine: EngineConfig, requests: int, prompt: float, completion: float) -> EstimateStep:
    tokens_in, tokens_out = round(requests * prompt), round(requests * completion)
    rate = recall(engine)
    prices = engine.usd_per_million_tokens()
    return EstimateStep(
        stage=stage,
        engine=f"{engine.type}:{engine.model}",
        requests=requests,
        prompt_tokens=tokens_in,
        completion_tokens=tokens_out,
        seconds=None if rate is None else round(tokens_out / rate, 1),
        usd=None if prices is None else round(prices.cost(tokens_in, tokens_out), 4),
        by_batch=engine.answers_later,
    )
