"""`run_experiment`, `estimate_experiment` and `list_experiments`: a whole experiment from one recipe."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from plum_hub import layers
from plum_hub.api.composition import suites_sections
from plum_hub.api.evaluation import evaluate
from plum_hub.api.settings import Settings, StrPath, optional_path, setting_lines
from plum_hub.engines import EngineConfig
from plum_hub.errors import RecipeError, UsageError, perhaps
from plum_hub.experiments import shipped
from plum_hub.experiments.estimate import ExperimentEstimate, estimate
from plum_hub.experiments.folder import ExperimentFolder
from plum_hub.experiments.recipe import Experiment, ExperimentPhase, compose
from plum_hub.experiments.results import ExperimentRecord, markdown
from plum_hub.experiments.run import ExperimentRequest
from plum_hub.experiments.run import run_experiment as carry_out
from plum_hub.home import expanded
from plum_hub.pipeline.build import find_run
from plum_hub.progress import LoggedProgress, Progress
from plum_hub.publishing.account import check_account
from plum_hub.publishing.repository import PublishOptions
from plum_hub.recipes.published import published
from plum_hub.release.schemas import Method
from plum_hub.rounds.folder import RoundsFolder
from plum_hub.slug import slug


@dataclass(frozen=True, kw_only=True)
class ExperimentResult:
    """An experiment, as far as it has been run."""

    run: Path
    """The folder of the experiment."""
    record: ExperimentRecord
    """All of `results.json`: datasets, models, and what each method gained, paired, with intervals."""

    @property
    def tables(self) -> str:
        """The content of `results.md`."""
        return markdown(self.record)

    def as_json(self) -> dict[str, object]:
        """Return the result as JSON values."""
        return {"run": str(self.run), **self.record.model_dump(mode="json")}


@dataclass(frozen=True, kw_only=True)
class ExperimentSummary:
    """A shipped experiment."""

    name: str
    policy: str
    """The model's repository."""
    instructions: str
    methods: tuple[str, ...]
    benchmarks: tuple[str, ...]
    table: str
    """The table or figure of the paper that it makes again; "" if none."""


@dataclass(frozen=True, kw_only=True)
class ExperimentList:
    """All shipped experiments."""

    experiments: tuple[ExperimentSummary, ...]


def list_experiments() -> ExperimentList:
    """List the shipped experiments (`plum-hub run --list`): every row of the paper's tables, and the headline run.

    Returns:
        Their names and what they do.

    Example:
        >>> [one.name for one in plum_hub.list_experiments().experiments][0]
        'headline/generated'
    """
    found = []
    for name in shipped.names():
        experiment = compose(shipped.text(name) or "", name, {})
        row = published().of_recipe(name)
        figure = next((one.id for one in published().figures if name in one.recipes), "")
        found.append(
            ExperimentSummary(
                name=name, policy=experiment.data.policy.model, instructions=experiment.data.instructions.source,
                methods=tuple(one.name for one in experiment.training.methods),
                benchmarks=experiment.evaluation.benchmarks, table=row[0].id if row else figure,
            )
        )  # fmt: skip
    return ExperimentList(experiments=tuple(found))


def run_experiment(
    recipe: StrPath | Experiment,
    *,
    model: str | EngineConfig | None = None,
    generator: str | EngineConfig | None = None,
    instructions: str | None = None,
    suites: str | None = None,
    method: Method | None = None,
    rounds: int | None = None,
    held_out: float | None = None,
    settings: Settings = (),
    until: ExperimentPhase = "release",
    launch: int = 1,
    run: StrPath | None = None,
    hub: str = "auto",
    private: bool = False,
    benchmark_data: StrPath | None = None,
    progress: Callable[[], Progress] | None = None,
) -> ExperimentResult:
    """Run a whole experiment: build its data, train every method on it, evaluate all models, and release them.

    The policy and each trained model are evaluated in the same way and compared problem by problem. The same call
    resumes an experiment that was interrupted anywhere.

    Args:
        recipe: Name of a shipped experiment (`list_experiments`), a YAML file, or an `Experiment`.
        model: The policy, in place of the recipe's, as in `build_dataset`; also the next three.
        generator: The model that writes the test suites.
        instructions: The source of the instructions.
        suites: Test suites that are used instead of generating any.
        method: A single method to train, in place of the recipe's.
        rounds: Rounds of sampling and training, in place of the recipe's.
        held_out: With rounds: share of the instructions that is never trained on.
        settings: Keys of the experiment, as `{"training.methods": ["sft", "kto"], "samples.per_instruction": 10}`.
        until: The last part to run: `data` (without rounds), `training`, `evaluation` or `release`.
        launch: Number of processes that train together, one per GPU.
        run: The folder. Default: `runs/RECIPE`.
        hub: `auto`, `public`, `embedded`, a URL, or `none` to publish nothing.
        private: Whether to create the repositories as private.
        benchmark_data: A folder of benchmarks: what is evaluated, and what is kept out of the data. Default: the
            benchmarks at their pinned revisions on the Hub.
        progress: Makes the progress reporter of each step; the trainings' own processes report on stderr.

    Returns:
        The folder, and the results so far.

    Raises:
        RecipeError: The recipe or a setting is invalid.
        UsageError: The arguments contradict each other, or the policy cannot be trained here.
        RunError: The folder holds another experiment.
        PlumError: A step failed; everything made so far is kept.

    Example:
        >>> result = plum_hub.run_experiment("headline/given", hub="none")
        >>> [(one.first, one.second, one.gains[0].gain) for one in result.record.comparisons]
    """
    options = PublishOptions.chosen(repo=None, hub=hub, private=private)
    experiment, name, folder = _compose(recipe, run, setting_lines(settings), _options(
        model=model, generator=generator, instructions=instructions, suites=suites, method=method, rounds=rounds,
        held_out=held_out, hub=hub,
    ))  # fmt: skip
    if experiment.evaluation.protocol is not None:
        _check_protocol(experiment.evaluation.protocol)
    if options is not None and until == "release":
        _check_accounts(options, experiment, (progress or LoggedProgress)().say)
    request = ExperimentRequest(
        name=name, experiment=experiment, evaluate=evaluate, destination=options, until=until,
        benchmark_data=optional_path(benchmark_data), processes=launch, quiet=progress is None,
    )  # fmt: skip
    return ExperimentResult(run=folder.path, record=carry_out(request, folder, progress or LoggedProgress))


def estimate_experiment(
    recipe: StrPath | Experiment,
    *,
    model: str | EngineConfig | None = None,
    generator: str | EngineConfig | None = None,
    instructions: str | None = None,
    suites: str | None = None,
    method: Method | None = None,
    rounds: int | None = None,
    held_out: float | None = None,
    settings: Settings = (),
    until: ExperimentPhase = "release",
    run: StrPath | None = None,
    hub: str = "auto",
) -> ExperimentEstimate:
    """Plan an experiment (`plum-hub run RECIPE --dry-run`): tokens, GPU hours and money. No model is asked.

    Args:
        recipe: As in `run_experiment`, as are all other arguments.
        model: The policy.
        generator: The model that writes the test suites.
        instructions: The source of the instructions.
        suites: Test suites that are used instead of generating any.
        method: A single method to train.
        rounds: Rounds of sampling and training.
        held_out: With rounds: share of the instructions that is never trained on.
        settings: Keys of the experiment.
        until: The last part to plan.
        run: The folder; what its data or its rounds already have is not counted.
        hub: Where `suites` is looked up.

    Returns:
        Every part of the plan, the sums, and what they rest on.

    Raises:
        PlumError: As `run_experiment`, for everything that can be known beforehand.

    Example:
        >>> found = plum_hub.estimate_experiment("paper/table2/codeqwen1.5-7b-chat", instructions="starter")
        >>> found.tokens, found.gpu_hours, found.server_usd
        (2222418, 0.08, 8.57)
    """
    experiment, name, folder = _compose(recipe, run, setting_lines(settings), _options(
        model=model, generator=generator, instructions=instructions, suites=suites, method=method, rounds=rounds,
        held_out=held_out, hub=hub,
    ))  # fmt: skip
    folder.check(experiment)
    if experiment.rounds > 1:
        begun = RoundsFolder(folder.online)
        return estimate(experiment, name, find_run(experiment.rounds_recipe(), begun.round(0)), until, begun)
    return estimate(experiment, name, find_run(experiment.data, folder.data(None)), until)


def _check_accounts(options: PublishOptions, experiment: Experiment, say: Callable[[str], None]) -> None:
    """Ask the Hub whether the dataset and the models may be published, once for each namespace."""
    plan, methods = experiment.release, experiment.training.methods
    models = [None if plan.model is None else plan.model.replace("{name}", one.name) for one in methods]
    of_owner = {(repo or "").rpartition("/")[0]: repo for repo in (plan.dataset, *models)}
    for repo in of_owner.values():
        check_account(replace(options, repo=repo), say)


def _check_protocol(name: str) -> None:
    """Refuse a protocol that `evaluate` does not know, before anything is built or trained."""
    parameter = inspect.signature(evaluate).parameters.get("protocol")
    known = () if parameter is None else tuple(_literals(parameter.annotation))
    if parameter is None or (known and name not in known):
        these = f"the protocols are {', '.join(known)}" if known else "this version asks in its own words only"
        raise UsageError(f"evaluation.protocol: {name}: {these}; correct it, or  --set evaluation.protocol=null")


def _literals(annotation: object) -> Iterator[str]:
    """Yield the strings that an annotation allows."""
    for one in get_args(annotation):
        if isinstance(one, str):
            yield one
        else:
            yield from _literals(one)


def _options(*, suites: str | None, hub: str, method: Method | None, **given: Any) -> dict[str, Any]:
    """Return the keys that the arguments beside the recipe and its settings decide."""
    data: dict[str, Any] = {} if suites is None else suites_sections(suites, "auto" if hub == "none" else hub)
    if given["instructions"] is not None:
        data["instructions"] = {"source": given["instructions"]}
    for key, name in (("policy", "model"), ("generator", "generator")):
        if (engine := given[name]) is not None:
            data[key] = engine.model_dump(mode="json") if isinstance(engine, BaseModel) else engine
    tree: dict[str, Any] = {key: given[key] for key in ("rounds", "held_out") if given[key] is not None}
    if method is not None:
        tree["training"] = {"methods": [method]}
    return {**tree, "data": data} if data else tree


def _compose(
    recipe: StrPath | Experiment, run: StrPath | None, settings: tuple[str, ...], options: dict[str, Any]
) -> tuple[Experiment, str, ExperimentFolder]:
    """Compose the experiment, and decide its name and folder."""
    if isinstance(recipe, Experiment):
        text, name = recipe.to_yaml(), "experiment"
    elif (shipped_text := shipped.text(str(recipe))) is not None:
        text, name = shipped_text, str(recipe)
    elif not expanded(recipe).is_file():
        near = perhaps(str(recipe), shipped.names())
        raise RecipeError(f"{recipe}: no such file, and no shipped experiment has this name{near}; plum-hub run --list")
    else:
        text, name = layers.read(expanded(recipe)), str(recipe)
    folder = Path("runs") / slug(name.removesuffix(".yaml").replace("/", "-")) if run is None else expanded(run)
    return compose(text, name, options, settings), name, ExperimentFolder(folder)
