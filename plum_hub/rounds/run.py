"""Run rounds: sample the training instructions with the newest model, judge, label, publish, train, and measure.

The gain is measured on the held-out instructions. After an interruption at any point the same call resumes.

Rounds stop with the first whose gain is not significant: its 95 % interval is not entirely above 0. The reference model
of each training is the model that the round began with, which wrote the round's samples.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from plum_hub.engines.base import LocalSettings
from plum_hub.errors import RunError, UsageError
from plum_hub.pipeline.base import Context, EnginePool
from plum_hub.pipeline.build import STAGES, build, prepare
from plum_hub.pipeline.instructions import run_instructions
from plum_hub.pipeline.samples import run_samples
from plum_hub.pipeline.suites import run_responses, run_suites
from plum_hub.progress import Progress
from plum_hub.publishing.dataset import release
from plum_hub.publishing.model import ModelPublishRequest, push_model
from plum_hub.publishing.repository import PublishOptions, Released
from plum_hub.recipe import Recipe
from plum_hub.records import (
    Drop,
    Instruction,
    Preference,
    RecordT,
    Response,
    SuiteAddition,
    SuiteRoles,
    SuiteStrength,
    SuiteVote,
    TestSuite,
    digest,
)
from plum_hub.rounds.folder import RoundsFolder, keep_model
from plum_hub.rounds.gain import RoundGain, measure_gain
from plum_hub.rounds.labels import check_answers, check_labels
from plum_hub.rounds.record import RoundDataset, RoundInstructions, RoundModel, RoundRecord, RoundRows
from plum_hub.run import Run
from plum_hub.slug import slug
from plum_hub.training.base import PinnedModel, pin_model
from plum_hub.training.checkpoint import CHECKPOINT, MERGED, TrainingFolder
from plum_hub.training.launch import ChildTraining
from plum_hub.training.settings import TrainingSettings

_SUITES = (run_instructions, run_responses, run_suites)
_HELD_OUT = (*_SUITES, run_samples)  # with verdicts; without labels nothing can train on them


@dataclass(frozen=True, kw_only=True)
class RoundsRequest:
    """What rounds to run."""

    recipe: Recipe
    """Recipe of a run on all instructions, with the share that is held out."""
    rounds: int
    """Maximum number of rounds."""
    settings: TrainingSettings
    destination: PublishOptions | None
    """Where each round's dataset and model are published, as versions of one repository of either kind; None publishes
    nothing."""
    keep_going: bool = False
    """Continue after a round without a significant gain."""
    benchmark_data: Path | None = None
    """Folder with benchmarks, for decontamination."""
    processes: int = 1
    """Number of processes that train together."""
    quiet: bool = False
    """Show nothing from the process that trains."""
    sealed: bool = False
    """The method cannot change any more, nor can there be a single round."""


def run_rounds(request: RoundsRequest, folder: RoundsFolder, progress: Callable[[], Progress]) -> list[RoundRecord]:
    """Run all rounds that are not finished yet, and publish those that were finished when nothing was published.

    Args:
        request: What rounds to run.
        folder: Where they are kept.
        progress: Makes a progress reporter for each phase, since a training shows its own progress between them.

    Returns:
        The records of all rounds so far.

    Raises:
        UsageError: The model that samples cannot be trained.
        RunError: The folder holds other rounds; no instruction is held out, or none is left to train on; or no held-out
            instruction was answered.
        NothingToReleaseError: A round has no chosen sample.
        TrainingError: A round lacks labels that its method needs, or its training failed.
        PlumError: Another phase failed; everything made so far is kept.
    """
    policy = request.recipe.policy
    if not isinstance(policy, LocalSettings):
        raise UsageError(
            f"{policy.type}:{policy.model} cannot be trained here, and each round trains the model that samples: name "
            "one with --model MODEL"
        )
    settings = request.settings.model_copy(update={"merge": True})  # engines open whole models
    folder.check(request.recipe, settings.model_dump(mode="json"))
    work = _RoundsRun(request, settings, folder, progress, pin_model(policy.model, policy.revision))
    try:
        records = work.published(folder.records())
        while len(records) < request.rounds and (request.keep_going or not records or records[-1].gain.significant):
            record = work.round(len(records) + 1)
            folder.append(record)
            records.append(record)
    finally:
        work.engines.close()
    return records


class _RoundsRun:
    """State that all rounds share."""

    def __init__(
        self,
        request: RoundsRequest,
        settings: TrainingSettings,
        folder: RoundsFolder,
        progress: Callable[[], Progress],
        base: PinnedModel,
    ) -> None:
        self.engines = EnginePool()
        self._request, self._settings, self._folder, self._progress = request, settings, folder, progress
        self._base = base
        # vLLM changes both for its own process; a training gets them unchanged.
        self._environment, self._cores = dict(os.environ), os.sched_getaffinity(0)

    def round(self, number: int) -> RoundRecord:
        """Run one round, from samples to its gain."""
        request, folder = self._request, self._folder
        run = self._run(folder.round(number), "training", number - 1)
        with self._phase(f"round {number} of {request.rounds}: training instructions", run) as context:
            build(context, STAGES)
        check_labels(number, run, self._settings.method, sealed=request.sealed)
        before = self._measured(number - 1)
        check_answers(number, before)
        with self._phase("", run) as context:
            dataset = release(context, request.destination)
        self.engines.close()
        source = f"{dataset.repo}@{dataset.tag}" if dataset.repo else f"round {number}'s own samples"
        self._train(number, source)
        after = self._measured(number)
        model = self._published(number, run)
        gain = measure_gain(before, after, [Run.open(folder.round(earlier)) for earlier in range(1, number + 1)])
        return self._record(number, (run, after), (dataset, model), gain)

    def published(self, records: list[RoundRecord]) -> list[RoundRecord]:
        """Publish the finished rounds whose dataset or model is not, if there is a destination."""
        destination, found = self._request.destination, records
        for place, record in enumerate(records if destination is not None else ()):
            if record.dataset.repo and record.model.repo:
                continue
            run = Run.open(self._folder.round(record.round))
            with self._phase(f"publishing round {record.round}", run) as context:
                dataset = release(context, destination)
            found = [*found[:place], record.released(dataset, self._published(record.round, run)), *found[place + 1 :]]
            self._folder.replace(found)
        return found

    def _record(
        self, number: int, runs: tuple[Run, Run], published: tuple[Released, Released], gain: RoundGain
    ) -> RoundRecord:
        """Describe a finished round, from its training run and held-out run, and from its dataset and model."""
        (run, after), (dataset, model) = runs, published
        training = TrainingFolder(self._folder.round(number) / CHECKPOINT).record()
        assert training is not None
        learned = {row.instruction_id for row in run.rows(Preference)}
        policy = after.recipe.policy
        made = RoundRecord(
            round=number,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            dataset=RoundDataset(repo=None, tag=None, commit=None, hub=None),
            checkpoint=f"rounds/{number:04}/{CHECKPOINT}",
            start=training.model,
            model=RoundModel(name=policy.public().model, revision=policy.revision or ""),
            rows=RoundRows(kept=training.rows.kept, chosen=training.rows.chosen, rejected=training.rows.rejected),
            steps=training.steps,
            trained_on=RoundInstructions(instructions=len(learned), ids=digest(*sorted(learned))),
            samples_each=run.recipe.samples.per_instruction,
            gain=gain,
            decision=self._decision(number, gain),
        )
        return made.released(dataset, model)

    def _decision(self, number: int, gain: RoundGain) -> str:
        """Say whether another round follows, and why."""
        if not gain.significant and not self._request.keep_going:
            return "stop: no gain was found, since its interval is not entirely above 0"
        if number >= self._request.rounds:
            return "end: the last round requested"
        return "continue" if gain.significant else "continue without a gain, as requested"

    @cached_property
    def _suites(self) -> Run:
        """The run of all instructions and their suites; neither part of the instructions is empty."""
        run = prepare(self._request.recipe, self._folder.round(0))
        with self._phase("test suites", run) as context:
            build(context, _SUITES)
        parts = run.recipe.instructions.model_copy(update={"part": "held_out"})
        names = {suite.instruction_id for suite in run.rows(TestSuite)}
        held_out = sum(map(parts.selects, names))
        if held_out in (0, len(names)):
            raise RunError(
                f"{run.folder}: of {len(names):,} instructions with a suite {held_out:,} are held out, and both parts "
                "need some: start over with more instructions, or another --held-out, and --run DIR"
            )
        return run

    def _model(self, number: int) -> Path:
        return self._folder.model(number, slug(self._base.name))

    def _run(self, path: Path, part: str, number: int) -> Run:
        """Open the run in which the model that round `number` ended with answers one part of the instructions."""
        recipe = self._suites.recipe
        policy = recipe.policy
        if number:
            policy = policy.model_copy(update={"model": str(self._model(number)), "revision": None})
        instructions = recipe.instructions.model_copy(update={"part": part})
        run = prepare(recipe.model_copy(update={"policy": policy, "instructions": instructions}), path)
        share_suites(self._suites, run)
        return run

    def _measured(self, number: int) -> Run:
        """Judge the answers of the model that round `number` ended with to the held-out instructions."""
        run = self._run(self._folder.held_out(number), "held_out", number)
        with self._phase(f"held-out instructions, {run.recipe.policy.public().model}", run) as context:
            build(context, _HELD_OUT)
        return run

    @contextmanager
    def _phase(self, title: str, run: Run) -> Iterator[Context]:
        """Give one phase on a run its context, with a progress reporter of its own."""
        os.sched_setaffinity(0, self._cores)
        progress = self._progress()
        if title:
            progress.say(title)
        try:
            yield Context(run=run, progress=progress, engines=self.engines, benchmark_data=self._request.benchmark_data)
        finally:
            progress.close()

    def _train(self, number: int, source: str) -> None:
        """Train in a child process, to which all memory is free, and keep the whole model."""
        run, model = self._folder.round(number), self._model(number)
        if model.is_dir():
            return
        checkpoint = run / CHECKPOINT
        record = TrainingFolder(checkpoint).record()
        if record is None or not record.finished:
            os.sched_setaffinity(0, self._cores)
            ChildTraining(
                name=f"round {number}", source=run, out=checkpoint, settings=self._settings,
                processes=self._request.processes, quiet=self._request.quiet,
            ).run(self._environment)  # fmt: skip
        weights = f"{self._base.name}, round {number} of {self._settings.method}, trained on {source}"
        keep_model(checkpoint, model, weights)

    def _published(self, number: int, run: Run) -> Released:
        """Publish the model that a round ended with, unless nothing is published."""
        destination = self._request.destination
        checkpoint = self._folder.round(number) / CHECKPOINT
        if destination is None:
            return Released(folder=str(checkpoint))
        merged = (checkpoint / MERGED).is_dir()
        request = ModelPublishRequest(checkpoint=checkpoint, weights="merged" if merged else None, run=run.folder)
        with self._phase("", run) as context:
            return push_model(request, destination, context.progress)


def share_suites(suites: Run, run: Run) -> None:
    """Copy all that is known of a run's instructions into its shards, so that every round is judged by the same suites.

    Args:
        suites: The run of all instructions, whose suites are complete.
        run: A run on a part of them.

    Raises:
        RunError: A file of either is damaged, or cannot be written.
    """
    _share(Instruction, suites, run)
    _share(Response, suites, run)
    _share(Drop, suites, run)
    _share(TestSuite, suites, run)
    _share(SuiteVote, suites, run)
    _share(SuiteRoles, suites, run)
    _share(SuiteStrength, suites, run)
    _share(SuiteAddition, suites, run)


def _share(kind: type[RecordT], suites: Run, run: Run) -> None:
    """Copy the rows of one kind, if the stages of the suites have made any."""
    if not suites.has(kind):
        return
    part = run.recipe.instructions
    for number, shard in enumerate(suites.shards):
        mine = run.shard(number)
        have = mine.ids(kind)
        with mine.appending(kind) as append:
            for row in shard.rows(kind):
                if row.id not in have and part.selects(getattr(row, "instruction_id", row.id)):
                    append(row)
