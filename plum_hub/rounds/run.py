"""From one round to the next: sample the training instructions with the newest model, judge, label, publish, train, and
measure what that gained on the held-out instructions. Kill it anywhere: the same call goes on from there.

Rounds end by themselves with the first whose gain the paired test does not find: its 95 % interval is not wholly above
0. The reference of each round's training is the model that the round began with, which wrote the round's samples.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from plum_hub.engines.base import LocalSettings
from plum_hub.errors import RunError, TrainingError, UsageError
from plum_hub.pipeline.base import Context, EnginePool
from plum_hub.pipeline.build import STAGES, build, prepare
from plum_hub.pipeline.instructions import run_instructions
from plum_hub.pipeline.samples import run_samples
from plum_hub.pipeline.suites import run_suites
from plum_hub.progress import Progress
from plum_hub.publishing.dataset import release
from plum_hub.publishing.model import ModelPublishRequest, push_model
from plum_hub.publishing.repository import PublishOptions
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, Instruction, Preference, RecordT, Response, TestSuite, digest
from plum_hub.rounds.folder import RoundsFolder, keep_model
from plum_hub.rounds.gain import RoundGain, gain
from plum_hub.rounds.labels import check_answers, check_labels
from plum_hub.run import Run, slug
from plum_hub.training.base import PinnedModel, pinned
from plum_hub.training.checkpoint import CHECKPOINT, MERGED, TrainingFolder
from plum_hub.training.launch import tied
from plum_hub.training.settings import TrainingSettings

_SUITES = (run_instructions, run_suites)
_HELD_OUT = (*_SUITES, run_samples)  # and verdicts; without labels nothing can train on them


@dataclass(frozen=True, kw_only=True)
class RoundsRequest:
    """Rounds, as they are asked for."""

    recipe: Recipe
    """Of a run on all instructions, with the share that is held out."""
    rounds: int
    settings: TrainingSettings
    destination: PublishOptions | None
    """Where each round's dataset and model go: all to one repository of either kind, as its versions."""
    keep_going: bool = False
    """Whether also rounds that gained nothing are followed by another."""
    benchmark_data: Path | None = None
    processes: int = 1
    """How many train together."""
    quiet: bool = False
    """Whether the training's own process shows nothing."""


def run_rounds(wanted: RoundsRequest, folder: RoundsFolder, progress: Callable[[], Progress]) -> list[dict[str, Any]]:
    """Do the rounds that are owed, and return what is remembered of all.

    Args:
        wanted: what to do.
        folder: where.
        progress: gives each phase its own, since a training shows its own progress between them.

    Raises:
        UsageError: the model that samples cannot be trained.
        RunError: the folder holds other rounds; or no instruction is held out, or none is left; or none that is held
            out is answered.
        NothingToReleaseError, TrainingError: a round has no labels that its method could learn from.
        PlumError: a phase cannot be carried out; everything made so far is kept.
    """
    policy = wanted.recipe.policy
    if not isinstance(policy, LocalSettings):
        raise UsageError(
            f"{policy.type}:{policy.model} cannot be trained here, and each round trains the model that samples: name "
            "one with --model MODEL"
        )
    settings = wanted.settings.model_copy(update={"merge": True})  # engines open whole models
    folder.check(wanted.recipe, settings.model_dump(mode="json"))
    work = _RoundsRun(wanted, settings, folder, progress, pinned(policy.model, policy.revision))
    done = folder.done()
    try:
        while len(done) < wanted.rounds and (wanted.keep_going or not done or done[-1]["gain"]["low"] > 0):
            row = work.round(len(done) + 1)
            folder.note(row)
            done.append(row)
    finally:
        work.engines.close()
    return done


class _RoundsRun:
    """What all rounds share."""

    def __init__(
        self,
        wanted: RoundsRequest,
        settings: TrainingSettings,
        folder: RoundsFolder,
        progress: Callable[[], Progress],
        base: PinnedModel,
    ) -> None:
        self.engines = EnginePool()
        self._wanted, self._settings, self._folder, self._progress = wanted, settings, folder, progress
        self._base = base
        # vLLM changes both for its own process, and a training shall have them as they were.
        self._environment, self._cores = dict(os.environ), os.sched_getaffinity(0)

    def round(self, number: int) -> dict[str, Any]:
        """One round, from samples to what it gained."""
        wanted, folder = self._wanted, self._folder
        run = self._run(folder.round(number), "training", number - 1)
        with self._phase(f"round {number} of {wanted.rounds}: training instructions", run) as context:
            build(context, STAGES)
        check_labels(number, run, self._settings.method)
        before = self._measured(number - 1)
        check_answers(number, before)
        with self._phase("", run) as context:
            released = release(context, wanted.destination)
        self.engines.close()
        source = f"{released.repo}@{released.tag}" if released.repo else f"round {number}'s own samples"
        self._train(number, source)
        after = self._measured(number)
        model = self._published(number, run)
        found = gain(before, after, [Run.open(folder.round(earlier)) for earlier in range(1, number + 1)])
        facts = TrainingFolder(folder.round(number) / CHECKPOINT).facts()
        assert facts is not None
        learned = {row.instruction_id for row in run.rows(Preference)}
        return {
            "round": number,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "dataset": released.where(),
            "checkpoint": f"rounds/{number:04}/{CHECKPOINT}",
            "start": facts["model"],
            "model": {"name": after.recipe.policy.public().model, "revision": after.recipe.policy.revision, **model},
            "rows": {key: facts["rows"][key] for key in ("kept", "chosen", "rejected")},
            "steps": facts["steps"],
            "trained_on": {"instructions": len(learned), "ids": digest(*sorted(learned))},
            "samples_each": run.recipe.samples.per_instruction,
            "gain": asdict(found),
            "decision": self._decision(number, found),
        }

    def _decision(self, number: int, found: RoundGain) -> str:
        if not found.found and not self._wanted.keep_going:
            return "stop: no gain was found, since its interval is not wholly above 0"
        if number >= self._wanted.rounds:
            return "end: the last that was asked for"
        return "go on" if found.found else "go on without a gain, as asked"

    @cached_property
    def _suites(self) -> Run:
        """The run of all instructions and their suites.

        Raises:
            RunError: one of the two parts is empty.
        """
        run = prepare(self._wanted.recipe, self._folder.round(0))
        with self._phase("test suites", run) as context:
            build(context, _SUITES)
        parts = run.recipe.instructions.model_copy(update={"part": "held_out"})
        names = {suite.instruction_id for suite in run.rows(TestSuite)}
        held_out = sum(map(parts.selects, names))
        if held_out in (0, len(names)):
            raise RunError(
                f"{run.folder}: of {len(names):,} instructions with a suite {held_out:,} are held out, and both parts "
                "need some: begin anew with more instructions, or another --held-out, and --run DIR"
            )
        return run

    def _model(self, number: int) -> Path:
        return self._folder.model(number, slug(self._base.name))

    def _run(self, path: Path, part: str, number: int) -> Run:
        """The run in which the model that round `number` ended with answers one part of the instructions."""
        recipe = self._suites.recipe
        policy = recipe.policy
        if number:
            policy = policy.model_copy(update={"model": str(self._model(number)), "revision": None})
        instructions = recipe.instructions.model_copy(update={"part": part})
        run = prepare(recipe.model_copy(update={"policy": policy, "instructions": instructions}), path)
        _share(Instruction, self._suites, run)
        _share(Response, self._suites, run)
        _share(Drop, self._suites, run)
        _share(TestSuite, self._suites, run)
        return run

    def _measured(self, number: int) -> Run:
        """The held-out instructions, answered by the model that round `number` ended with, and judged."""
        run = self._run(self._folder.held_out(number), "held_out", number)
        with self._phase(f"held-out instructions, {run.recipe.policy.public().model}", run) as context:
            build(context, _HELD_OUT)
        return run

    @contextmanager
    def _phase(self, what: str, run: Run) -> Iterator[Context]:
        os.sched_setaffinity(0, self._cores)
        progress = self._progress()
        if what:
            progress.say(what)
        try:
            yield Context(run=run, progress=progress, engines=self.engines, benchmark_data=self._wanted.benchmark_data)
        finally:
            progress.close()

    def _train(self, number: int, source: str) -> None:
        """Train in a process of its own, which begins with all of the memory, and keep the whole model.

        Raises:
            TrainingError: it did not come to its end.
        """
        run, model = self._folder.round(number), self._model(number)
        if model.is_dir():
            return
        checkpoint = run / CHECKPOINT
        facts = TrainingFolder(checkpoint).facts()
        if facts is None or not facts["finished"]:
            os.sched_setaffinity(0, self._cores)
            command = tied(["train", str(run), "--out", str(checkpoint), "--json", *self._options()])
            code = subprocess.run(command, env=self._environment, stdout=subprocess.DEVNULL, check=False).returncode
            if code:
                raise TrainingError(
                    f"round {number}: the training ended with {code}; what it said is above: mend that and run the "
                    "same command again"
                )
        weights = f"{self._base.name}, round {number} of {self._settings.method}, trained on {source}"
        keep_model(checkpoint, model, weights)

    def _published(self, number: int, run: Run) -> dict[str, str | None]:
        """Where the model that a round ended with was published."""
        destination = self._wanted.destination
        if destination is None:
            return {}
        checkpoint = self._folder.round(number) / CHECKPOINT
        order = ModelPublishRequest(
            checkpoint=checkpoint, wish="merged" if (checkpoint / MERGED).is_dir() else None, run=run.folder
        )
        with self._phase("", run) as context:
            released = push_model(order, destination, context.progress)
        return released.where()

    def _options(self) -> Iterator[str]:
        for key, value in self._settings.model_dump(mode="json", exclude_unset=True).items():
            yield from ("--method", value) if key == "method" else ("--set", f"{key}={json.dumps(value)}")
        if self._wanted.processes > 1:
            yield from ("--launch", str(self._wanted.processes))
        if self._wanted.quiet:
            yield "--quiet"


def _share(kind: type[RecordT], suites: Run, run: Run) -> None:
    """Give a run the rows of its instructions, so that every round is judged by the very same suites."""
    part, have = run.recipe.instructions, run.ids(kind)
    with run.appending(kind) as append:
        for row in suites.rows(kind):
            if row.id not in have and part.selects(getattr(row, "instruction_id", row.id)):
                append(row)
