"""`plum-hub run RECIPE --dry-run`: the whole plan with its tokens, GPU hours and money, before anything is spent.

What a build asks of servers is counted and priced as `build-dataset --dry-run` does. Everything that the policy writes
or learns is turned into GPU hours, by the assumptions that stand here and in the keys of `costs`, and that the plan
names.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from plum_hub.benchmarks import ENTRIES
from plum_hub.engines.base import LocalSettings
from plum_hub.errors import HubError, InstructionsError, UsageError
from plum_hub.experiments.recipe import Experiment, ExperimentPhase
from plum_hub.pipeline.estimate import BuildEstimate, EstimateStep, plan, plan_unread
from plum_hub.pipeline.rates import recall
from plum_hub.release.schemas import Method
from plum_hub.rounds.folder import RoundsFolder
from plum_hub.run import Run

_ANSWER_TOKENS = {"livecodebench": 400}
_SHORT_ANSWER = 220
"""Tokens of an answer to HumanEval or MBPP, rather high than low."""
_CHOSEN, _REJECTED = 0.45, 0.45
"""Expected shares of the samples that pass and that fail; the rest is not executable or cut off."""
_OPERATIONS: dict[Method, float] = {"sft": 6.0, "dpo": 8.0, "kto": 12.0}
"""Operations for each parameter and token: 6 to train on it (forward 2, backward 4), and 2 for each further forward
pass. dpo has one of the reference model; kto three: of the reference model, and of both models on the mismatched
answers of its KL term. LoRA takes less, gradient checkpointing more."""
_RATE, _MAX_RATE = 35_000.0, 20_000.0
_SIZE = re.compile(r"(\d+(?:\.\d+)?)b\b", re.IGNORECASE)
_WHOLE_SOURCE = 1000
"""Instructions to expect of a source that cannot be read, where the recipe sets no limit."""


@dataclass(frozen=True, kw_only=True)
class PlannedWork:
    """One line of the plan."""

    phase: str
    """`data`, `training` or `evaluation`."""
    work: str
    engine: str
    requests: int
    """Requests to a model; of a training its rows (dpo: pairs)."""
    prompt_tokens: int
    completion_tokens: int
    gpu_hours: float | None
    """None for what a server does, or where the policy's size is not known."""
    usd: float | None
    """None where the price is not known."""
    on_server: bool = False
    """Whether a server does it, and not the GPUs that are counted here."""


@dataclass(frozen=True, kw_only=True)
class ExperimentEstimate:
    """The plan of an experiment."""

    recipe: str
    policy: str
    revision: str
    """The pinned revision; empty where it is resolved, and sealed, when the experiment begins."""
    instructions: int
    works: tuple[PlannedWork, ...]
    tokens: int
    """All tokens, read and written, those of the trainings included."""
    gpu_hours: float | None
    """Of everything that the policy does; None where its size is not known."""
    server_usd: float | None
    """What servers charge for their answers; None where a price is not known."""
    gpu_usd: float | None
    """What the GPU hours cost; None without `costs.usd_per_gpu_hour`."""
    assumptions: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return the plan as JSON values."""
        return asdict(self)


def estimate(
    experiment: Experiment, name: str, run: Run | None, until: ExperimentPhase, rounds: RoundsFolder | None = None
) -> ExperimentEstimate:
    """Plan an experiment. It reads the instructions if they can be had, and asks no model.

    Args:
        experiment: The experiment.
        name: Its name or file.
        run: Its data, as far as it is built; with rounds, the run of all test suites. None if it has not begun.
        until: The last part to plan.
        rounds: Its rounds, as far as they went; None without.

    Returns:
        The plan of what is still to be done in the data section, and of all trainings and evaluations.

    Raises:
        UsageError: There is no such part.
    """
    return _Estimate(experiment, run, rounds).of(name, experiment.phases(until))


class _Estimate:
    def __init__(self, experiment: Experiment, run: Run | None, rounds: RoundsFolder | None) -> None:
        self._experiment, self._run, self._begun = experiment, run, rounds
        self._costs, self._policy = experiment.costs, experiment.data.policy
        self._notes: list[str] = []
        self._parameters = experiment.costs.parameters or _size(self._policy.model)

    def of(self, name: str, phases: Sequence[ExperimentPhase]) -> ExperimentEstimate:
        build = self._build()
        rate = self._rate()
        steps = [part for step in build.steps for part in self._in_rounds(step)]
        works = [self._data(step, rate) for step in steps]
        works += self._training(build) if "training" in phases else ()
        works += self._evaluation(rate) if "evaluation" in phases else ()
        served = [work for work in works if work.on_server]
        own = [work for work in works if not work.on_server]
        return ExperimentEstimate(
            recipe=name,
            policy=f"{self._policy.type}:{self._policy.model}",
            revision=self._policy.revision or "",
            instructions=build.instructions,
            works=tuple(works),
            tokens=sum(work.prompt_tokens + work.completion_tokens for work in works),
            gpu_hours=_total(work.gpu_hours for work in own),
            server_usd=_total(work.usd for work in served),
            gpu_usd=_total(work.usd for work in own),
            assumptions=tuple(self._notes),
        )

    def _build(self) -> BuildEstimate:
        recipe = self._experiment.data.filled()
        try:
            return plan(recipe, self._run)
        except (HubError, InstructionsError, UsageError) as error:
            count = recipe.instructions.limit or _WHOLE_SOURCE
            self._notes.append(
                f"the instructions could not be read, so {count:,} of a usual length are expected ({error})"
            )
            return plan_unread(recipe, count)

    def _rate(self) -> float | None:
        """Tokens that the policy writes in a second."""
        measured = recall(self._policy)
        rate = self._costs.tokens_per_second or measured
        if rate is None and self._parameters is not None:
            rate = min(_MAX_RATE, _RATE / self._parameters)
            self._notes.append(f"{rate:,.0f} tokens a second of the policy are assumed (costs.tokens_per_second)")
        elif rate is not None:
            source = "costs.tokens_per_second" if self._costs.tokens_per_second else "measured on this machine"
            self._notes.append(f"{rate:,.0f} tokens a second of the policy ({source})")
        if self._parameters is None:
            self._notes.append("the policy's size is not known: set costs.parameters, in billions, for GPU hours")
        return rate

    def _in_rounds(self, step: EstimateStep) -> Iterator[EstimateStep]:
        """Plan the samples of each round on the instructions that it trains on, and those of every model, the first
        one included, on the instructions that are held out. The policy is local, so that tokens alone make the costs.
        """
        rounds, held_out = self._experiment.rounds, self._experiment.held_out
        if rounds == 1 or step.stage != "samples":
            yield step
            return
        begun = self._begun
        for number in range(1, rounds + 1):
            yield _owed(step, begun.round(number) if begun else None, 1 - held_out, f"samples, round {number}")
        measured = [_owed(step, begun.held_out(number) if begun else None, held_out) for number in range(rounds + 1)]
        yield _sum(measured, f"samples, held out, {rounds + 1} models")

    def _data(self, step: EstimateStep, rate: float | None) -> PlannedWork:
        local = isinstance(
            self._experiment.data.generator if step.stage == "responses" else self._policy, LocalSettings
        )
        hours = None if rate is None or not local else self._hours(step.completion_tokens / rate)
        return PlannedWork(
            phase="data", work=step.stage, engine=step.engine, requests=step.requests,
            prompt_tokens=step.prompt_tokens, completion_tokens=step.completion_tokens, gpu_hours=hours,
            usd=self._usd(hours) if local else step.usd, on_server=not local,
        )  # fmt: skip

    def _training(self, build: BuildEstimate) -> Iterator[PlannedWork]:
        samples = self._experiment.data.filled().samples.per_instruction or 0
        answers = build.suites_expected * samples
        if self._experiment.rounds > 1:
            answers = round(answers * (1 - self._experiment.held_out))
        each, expected = build.each, "expected to be chosen"
        chosen, rejected, pairs = each.chosen, each.rejected, each.pairs
        if chosen is None or rejected is None or pairs is None:
            chosen, rejected, pairs = _CHOSEN, _REJECTED, min(_CHOSEN, _REJECTED)
        else:
            expected = "chosen, as those that there are"
        self._notes.append(
            f"{chosen:.0%} of the samples are {expected}, {rejected:.0%} rejected; training does "
            f"{self._costs.teraflops:,.0f}e12 operations a second (costs.teraflops), "
            + ", ".join(f"{name} {count:.0f}" for name, count in _OPERATIONS.items())
            + " for each parameter and token"
        )
        for number in range(1, self._experiment.rounds + 1):
            for method in self._experiment.training.methods:
                rows = answers * {"sft": chosen, "dpo": pairs, "kto": chosen + rejected}[method.method]
                epochs = self._experiment.training.settings_of(method).epochs
                sides = 2 if method.method == "dpo" else 1
                read, written = (
                    round(rows * sides * epochs * tokens) for tokens in (each.prompt_tokens, each.completion_tokens)
                )
                hours = None
                if self._parameters is not None:
                    operations = _OPERATIONS[method.method] * self._parameters * 1e9 * (read + written)
                    hours = self._hours(operations / (self._costs.teraflops * 1e12))
                name = method.name if self._experiment.rounds == 1 else f"{method.name}, round {number}"
                yield PlannedWork(
                    phase="training", work=name, engine="trl", requests=round(rows), prompt_tokens=read,
                    completion_tokens=written, gpu_hours=hours, usd=self._usd(hours),
                )  # fmt: skip

    def _evaluation(self, rate: float | None) -> Iterator[PlannedWork]:
        evaluation = self._experiment.evaluation
        # `humaneval` and `humaneval+` are answered once for both, as are the two of MBPP+.
        asked: dict[str, int] = {}
        for name in evaluation.benchmarks:
            problems = min(ENTRIES[name].problems, evaluation.limit or 10_000)
            asked[name.removesuffix("+")] = max(problems, asked.get(name.removesuffix("+"), 0))
        models = 1 + self._experiment.rounds * len(self._experiment.training.methods)
        for n in (evaluation.n, *([evaluation.sampled.n] if evaluation.sampled else [])):
            requests = models * n * sum(asked.values())
            if requests:
                written = models * n * sum(count * self._answer(name) for name, count in asked.items())
                hours = None if rate is None else self._hours(written / rate)
                yield PlannedWork(
                    phase="evaluation", work=f"{models} models, n = {n}", engine=self._policy.type,
                    requests=requests, prompt_tokens=requests * _SHORT_ANSWER, completion_tokens=written,
                    gpu_hours=hours, usd=self._usd(hours),
                )  # fmt: skip

    def _answer(self, benchmark: str) -> int:
        """Tokens of an answer to a problem."""
        usual = _ANSWER_TOKENS.get(benchmark, _SHORT_ANSWER)
        return min(usual, self._experiment.evaluation.max_tokens or usual)

    def _hours(self, seconds: float) -> float:
        return round(seconds / 3600 * self._costs.gpus, 3)

    def _usd(self, hours: float | None) -> float | None:
        price = self._costs.usd_per_gpu_hour
        return None if hours is None or price is None else round(hours * price, 4)


def _owed(whole: EstimateStep, folder: Path | None, share: float, stage: str = "samples") -> EstimateStep:
    """Return what is still to be sampled of a share of the instructions: of a run that has begun, what it owes."""
    if folder is not None and (folder / "recipe.yaml").is_file():
        run = Run.open(folder)
        (step,) = (one for one in plan(run.recipe, run).steps if one.stage == "samples")
        return replace(step, stage=stage, engine=whole.engine)
    return replace(
        whole, stage=stage, requests=round(whole.requests * share), prompt_tokens=round(whole.prompt_tokens * share),
        completion_tokens=round(whole.completion_tokens * share),
    )  # fmt: skip


def _sum(steps: Sequence[EstimateStep], stage: str) -> EstimateStep:
    """Return steps of one engine as one."""
    return replace(
        steps[0], stage=stage, requests=sum(one.requests for one in steps),
        prompt_tokens=sum(one.prompt_tokens for one in steps),
        completion_tokens=sum(one.completion_tokens for one in steps),
    )  # fmt: skip


def _total(values: Iterable[float | None]) -> float | None:
    """Sum up, or return None where a value is not known."""
    known = [*values]
    return None if None in known else round(sum(one or 0.0 for one in known), 2)


def _size(model: str) -> float | None:
    """Read the billions of parameters from a model's name."""
    found = _SIZE.search(model.rstrip("/").rpartition("/")[2])
    return float(found[1]) if found else None
