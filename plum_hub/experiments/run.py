"""Run an experiment: data, trainings, evaluations, releases. Each part resumes by itself, so the whole does.

The data is published before the models, whose cards name it, and both after the evaluation, which the models' cards
show. Trainings run in child processes, to which all memory is free.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import combinations
from pathlib import Path

from plum_hub.engines import EngineConfig
from plum_hub.evaluation.comparison import compare
from plum_hub.evaluation.scoring import EvaluationResults
from plum_hub.experiments.folder import ExperimentFolder
from plum_hub.experiments.recipe import BASE, Experiment, ExperimentPhase, MethodConfig
from plum_hub.experiments.results import (
    ExperimentDataset,
    ExperimentModel,
    ExperimentRecord,
    ModelComparison,
    PublishedAs,
    markdown,
)
from plum_hub.files import write_whole
from plum_hub.pipeline.base import Context, EnginePool
from plum_hub.pipeline.build import build, default_folder, prepare
from plum_hub.pipeline.status import summarise
from plum_hub.progress import Progress
from plum_hub.publishing.dataset import release, require_labels
from plum_hub.publishing.model import ModelPublishRequest, push_model
from plum_hub.publishing.repository import PublishOptions
from plum_hub.release.preferences import Rejected
from plum_hub.release.record import last_release
from plum_hub.rounds.folder import RoundsFolder, keep_model
from plum_hub.rounds.record import RoundRecord
from plum_hub.rounds.run import RoundsRequest, run_rounds
from plum_hub.run import Run
from plum_hub.slug import slug
from plum_hub.training.checkpoint import CHECKPOINT, MERGED, TrainingFolder
from plum_hub.training.launch import ChildTraining
from plum_hub.training.record import ModelRevision

_NAME_LENGTH = 96  # of a repository on the Hub


@dataclass(frozen=True, kw_only=True)
class ExperimentRequest:
    """What to run."""

    name: str
    """Name or file of the experiment."""
    experiment: Experiment
    evaluate: Callable[..., EvaluationResults]
    """Evaluates a model, with the arguments of `plum_hub.evaluate`."""
    destination: PublishOptions | None
    """Where dataset and models are published; None publishes nothing."""
    until: ExperimentPhase = "release"
    """The last part to run."""
    benchmark_data: Path | None = None
    """Folder with benchmarks, for decontamination and for the evaluations."""
    processes: int = 1
    """Number of processes that train together."""
    quiet: bool = False
    """Show nothing from the processes that train."""


@dataclass(frozen=True)
class ExperimentStep:
    """One step of an experiment."""

    phase: ExperimentPhase
    title: str
    carry_out: Callable[[Progress], None]


def run_experiment(
    request: ExperimentRequest, folder: ExperimentFolder, progress: Callable[[], Progress]
) -> ExperimentRecord:
    """Run everything that is not done yet.

    Args:
        request: What to run.
        folder: Where it is kept.
        progress: Makes a progress reporter for each step, since a training shows its own progress between them.

    Returns:
        The results so far, which are also written to the folder.

    Raises:
        UsageError: The policy cannot be trained here, or there is no such part to end with.
        RunError: The folder holds another experiment.
        NothingToReleaseError: The data have no labels to learn from.
        TrainingError: A training failed.
        PlumError: Another step failed; everything made so far is kept.
    """
    request.experiment.phases(request.until)
    folder.check(request.experiment)
    plan, method = request.experiment.release, request.experiment.training.methods[0].name
    for repo in (plan.dataset, plan.model and plan.model.replace("{name}", method)):
        if request.destination is not None and request.until == "release":
            replace(request.destination, repo=repo)  # checks the name, before hours of work
    with folder.lock():
        work = _ExperimentRun(request, folder, progress)
        steps = [*work.steps()]
        for number, step in enumerate(steps, 1):
            with work.reporting() as reporter:
                reporter.say(f"[{number}/{len(steps)}] {step.title}")
                step.carry_out(reporter)
        return work.write_results()


class _ExperimentRun:
    """State that all steps share."""

    def __init__(self, request: ExperimentRequest, folder: ExperimentFolder, progress: Callable[[], Progress]) -> None:
        self._request, self._folder, self._progress = request, folder, progress
        self._experiment = request.experiment
        self._methods = self._experiment.training.methods
        self._online = self._experiment.rounds > 1
        # vLLM changes both for its own process; a training gets them unchanged.
        self._environment, self._cores = dict(os.environ), os.sched_getaffinity(0)

    def steps(self) -> Iterator[ExperimentStep]:
        """Yield all steps up to the last part asked for."""
        wanted = self._experiment.phases(self._request.until)
        yield from (step for step in self._all_steps() if step.phase in wanted)

    def _all_steps(self) -> Iterator[ExperimentStep]:
        evaluation = self._experiment.evaluation
        if self._online:
            yield ExperimentStep("training", f"{self._experiment.rounds} rounds", self._rounds)
        else:
            yield ExperimentStep("data", "data", partial(self._build, None))
            for rule in self._rules():
                yield ExperimentStep("data", f"the same verdicts, rejected: {rule}", partial(self._build, rule))
            for method in self._methods:
                yield ExperimentStep("training", f"training {method.name}", partial(self._train, method))
        if evaluation.benchmarks:
            for sampled in (False, True) if evaluation.sampled else (False,):
                for name in (BASE, *self._names()):
                    title = f"evaluation of {name}" + (", several samples" if sampled else "")
                    yield ExperimentStep("evaluation", title, partial(self._evaluate, name, sampled=sampled))
        if self._request.destination is not None and not self._online:
            for rejected in (None, *self._rules()):
                title = "releasing the dataset" + (f", rejected: {rejected}" if rejected else "")
                yield ExperimentStep("release", title, partial(self._release_data, rejected))
            for method in self._methods:
                yield ExperimentStep("release", f"releasing {method.name}", partial(self._release_model, method))

    @contextmanager
    def reporting(self) -> Iterator[Progress]:
        """Give one step a progress reporter of its own."""
        os.sched_setaffinity(0, self._cores)
        reporter = self._progress()
        try:
            yield reporter
        finally:
            reporter.close()

    def _rules(self) -> list[Rejected]:
        """Rules that methods have of their own."""
        return [*dict.fromkeys(one.rejected for one in self._methods if one.rejected is not None)]

    def _names(self) -> list[str]:
        """Names of all trained models."""
        if self._online:
            return [f"{self._methods[0].name}-round-{number}" for number in range(1, self._experiment.rounds + 1)]
        return [one.name for one in self._methods]

    def _build(self, rejected: Rejected | None, progress: Progress) -> None:
        """Build the data, or the same verdicts under another rule."""
        recipe, donor = self._experiment.data, None
        if rejected is not None:
            donor = Run.open(self._folder.data(None))
            rule = donor.recipe.preferences.model_copy(update={"rejected": rejected})
            recipe = donor.recipe.model_copy(update={"preferences": rule})
        with progress.waiting("preparing the run"):
            run = prepare(recipe, self._folder.data(rejected))
        if rejected is None:
            self._folder.seal(self._experiment, run.recipe)
        engines = EnginePool()
        try:
            build(self._context(run, progress, engines, donor))
        finally:
            engines.close()
        require_labels(run)

    def _context(self, run: Run, progress: Progress, engines: EnginePool, donor: Run | None = None) -> Context:
        return Context(
            run=run, progress=progress, engines=engines, donor=donor, benchmark_data=self._request.benchmark_data
        )

    def _train(self, method: MethodConfig, progress: Progress) -> None:
        """Train in a child process, and keep the whole model."""
        checkpoint, settings = self._folder.checkpoint(method.name), self._experiment.training.settings_of(method)
        record = TrainingFolder(checkpoint).record()
        if record is None or not record.finished or record.settings != settings:
            progress.close()  # the child reports
            ChildTraining(
                name=method.name, source=self._folder.data(method.rejected), out=checkpoint, settings=settings,
                processes=self._request.processes, quiet=self._request.quiet,
            ).run(self._environment)  # fmt: skip
        model = self._model(method.name)
        if (checkpoint / MERGED).is_dir() and not model.is_dir():
            base = self._run().recipe.policy.public().model
            keep_model(checkpoint, model, f"{base}, {method.name} by plum-hub")

    def _run(self) -> Run:
        """The run whose recipe has the policy pinned."""
        return Run.open(RoundsFolder(self._folder.online).round(0) if self._online else self._folder.data(None))

    def _model(self, name: str) -> Path:
        """Folder of a whole trained model."""
        base = slug(self._run().recipe.policy.public().model)
        if self._online:
            return RoundsFolder(self._folder.online).model(int(name.rpartition("-")[2]), base)
        merged = self._folder.checkpoint(name) / MERGED
        record = TrainingFolder(self._folder.checkpoint(name)).record()
        if merged.is_dir() or record is None or record.decided.weights == "lora":
            return self._folder.model(f"{base}-plum-{name}")
        return self._folder.checkpoint(name)

    def _evaluate(self, name: str, progress: Progress, *, sampled: bool) -> None:
        """Evaluate the policy, or a trained model."""
        if self._online and name != BASE and not self._model(name).is_dir():
            return  # the rounds ended before
        policy: EngineConfig = self._run().recipe.policy
        if name != BASE:
            policy = policy.model_copy(update={"model": str(self._model(name)), "revision": None})
        plan = self._experiment.evaluation
        second = plan.sampled if sampled else None
        optional = {} if plan.protocol is None else {"protocol": plan.protocol}
        self._request.evaluate(
            model=policy, benchmarks=plan.benchmarks, data=self._request.benchmark_data,
            run=self._folder.evaluation(name, sampled=sampled), n=second.n if second else plan.n,
            temperature=second.temperature if second else plan.temperature, max_tokens=plan.max_tokens,
            prompt=plan.prompt, since=plan.since, until=plan.until, limit=plan.limit, progress=progress, **optional,
        )  # fmt: skip

    def _rounds(self, progress: Progress) -> None:
        """Sample, train and begin again."""
        experiment, options = self._experiment, self._request.destination
        if self._request.until != "release":
            options = None
        self._folder.seal(experiment, experiment.data.filled())
        progress.close()
        run_rounds(
            RoundsRequest(
                recipe=experiment.rounds_recipe(), rounds=experiment.rounds,
                settings=experiment.training.settings_of(self._methods[0]),
                destination=options and replace(options, repo=self._dataset_name(None)), sealed=True,
                keep_going=experiment.keep_going, benchmark_data=self._request.benchmark_data,
                processes=self._request.processes, quiet=self._request.quiet,
            ),
            RoundsFolder(self._folder.online),
            self._progress,
        )  # fmt: skip

    def _dataset_name(self, rejected: Rejected | None) -> str:
        """Name the repository of a dataset."""
        name = self._experiment.release.dataset or f"plum-{default_folder(self._experiment.data).name}"
        ending = ("-rounds" if self._online else "") + (f"-{rejected.replace('_', '-')}" if rejected else "")
        return name[: _NAME_LENGTH - len(ending)].rstrip("-.") + ending

    def _release_data(self, rejected: Rejected | None, progress: Progress) -> None:
        options = self._request.destination
        assert options is not None
        run = Run.open(self._folder.data(rejected))
        release(self._context(run, progress, EnginePool()), replace(options, repo=self._dataset_name(rejected)))

    def _release_model(self, method: MethodConfig, progress: Progress) -> None:
        options, plan = self._request.destination, self._experiment.release
        assert options is not None
        base = self._run().recipe.policy.public().model.rpartition("/")[2]
        ending = f"-plum-{method.name}"
        name = base[: _NAME_LENGTH - len(ending)].rstrip("-.") + ending
        evaluations = [self._folder.evaluation(one, sampled=False) for one in (BASE, method.name)]
        request = ModelPublishRequest(
            checkpoint=self._folder.checkpoint(method.name), weights=plan.weights,
            run=self._folder.data(method.rejected),
            results=tuple(evaluations) if self._experiment.evaluation.benchmarks else (),
        )  # fmt: skip
        repo = name if plan.model is None else plan.model.replace("{name}", method.name)
        push_model(request, replace(options, repo=repo), progress)

    def write_results(self) -> ExperimentRecord:
        """Describe what there is, and write it to the folder."""
        policy = self._run().recipe.policy
        record = ExperimentRecord(
            recipe=self._request.name,
            experiment=self._folder.digest(),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            policy=ModelRevision(name=policy.public().model, revision=policy.revision or ""),
            datasets=tuple(self._datasets()),
            models=tuple(self._models()),
            comparisons=tuple(self._comparisons()),
        )
        content = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False)
        write_whole(self._folder.results, content + "\n")
        write_whole(self._folder.results.with_suffix(".md"), markdown(record))
        return record

    def _datasets(self) -> Iterator[ExperimentDataset]:
        rounds = [RoundsFolder(self._folder.online).round(one.round) for one in self._round_records()]
        for path in rounds if self._online else map(self._folder.data, (None, *self._rules())):
            run = Run.open(path)
            status = summarise(run)
            yield ExperimentDataset(
                folder=str(path.relative_to(self._folder.path)), rejected=run.recipe.preferences.rejected,
                instructions=status.labelled_instructions, chosen=status.chosen, rejected_samples=status.rejected,
                self_consistency=status.self_consistency, release=_published(path),
            )  # fmt: skip

    def _models(self) -> Iterator[ExperimentModel]:
        for name, method, checkpoint in self._checkpoints():
            record = TrainingFolder(checkpoint).record()
            if record is not None and record.finished:
                yield ExperimentModel(
                    name=name, method=method.method, rejected=method.rejected,
                    checkpoint=str(checkpoint.relative_to(self._folder.path)), steps=record.steps,
                    chosen=record.rows.chosen, rejected_samples=record.rows.rejected, release=_published(checkpoint),
                )  # fmt: skip

    def _checkpoints(self) -> Iterator[tuple[str, MethodConfig, Path]]:
        if not self._online:
            yield from ((one.name, one, self._folder.checkpoint(one.name)) for one in self._methods)
        for one in self._round_records():
            path = RoundsFolder(self._folder.online).round(one.round) / CHECKPOINT
            yield f"{self._methods[0].name}-round-{one.round}", self._methods[0], path

    def _round_records(self) -> list[RoundRecord]:
        return RoundsFolder(self._folder.online).records() if self._online else []

    def _comparisons(self) -> Iterator[ModelComparison]:
        for sampled in (False, True):
            folders = {name: self._folder.evaluation(name, sampled=sampled) for name in (BASE, *self._names())}
            there = [name for name, folder in folders.items() if (folder / "scores.json").is_file()]
            for first, second in combinations(there, 2):
                found = compare(folders[first], folders[second])
                yield ModelComparison(first=first, second=second, sampled=sampled, gains=found.gains, notes=found.notes)


def _published(folder: Path) -> PublishedAs:
    """Return where a run or checkpoint was published last."""
    last = last_release(folder)
    return PublishedAs(repo=last.repo, tag=last.tag, commit=last.commit, hub=last.hub) if last else PublishedAs()
