"""`build_dataset`, `estimate_build` and `push_dataset`."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from plum_hub.api.composition import RecipeArguments
from plum_hub.api.settings import Settings, StrPath, optional_path, setting_lines
from plum_hub.clusters import ClusterOptions, joined
from plum_hub.engines import EngineConfig
from plum_hub.files import writing
from plum_hub.home import expanded
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.build import build, find_run, prepare
from plum_hub.pipeline.estimate import BuildEstimate, plan
from plum_hub.pipeline.ledger import SpendingLimit
from plum_hub.pipeline.status import RunStatus, summarise
from plum_hub.progress import LoggedProgress, Progress
from plum_hub.publishing.account import check_account
from plum_hub.publishing.dataset import release
from plum_hub.publishing.push_dataset import push
from plum_hub.publishing.repository import PublishOptions, Released
from plum_hub.recipe import Recipe
from plum_hub.run import Run


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """A complete build."""

    run: Path
    """The run folder."""
    status: RunStatus
    """Counts of the run's rows, verdicts, labels and dropped rows, by stage and reason."""
    release: Released
    """The release; with `hub="none"` only its `folder` is set."""

    def as_json(self) -> dict[str, object]:
        """Return the result as JSON values."""
        return {"run": str(self.run), **self.status.as_json(), "release": asdict(self.release)}


def build_dataset(
    *,
    model: str | EngineConfig | None = None,
    generator: str | EngineConfig | None = None,
    instructions: str | None = None,
    suites: str | None = None,
    recipe: StrPath | Recipe | None = None,
    settings: Settings = (),
    run: StrPath | None = None,
    carry_over: StrPath | None = None,
    repo: str | None = None,
    hub: str = "auto",
    private: bool = False,
    tag: str | None = None,
    branch: str = "main",
    create_pr: bool = False,
    benchmark_data: StrPath | None = None,
    budget: float | None = None,
    max_tokens: int | None = None,
    workers: int | str = 1,
    address: str | None = None,
    verbose: bool = False,
    progress: Progress | None = None,
) -> BuildResult:
    """Build a preference dataset from a model's own answers, and publish it.

    A generator writes test suites for the instructions, the policy answers each instruction several times, and a
    sandbox runs the answers against the suites: answers that pass are chosen, answers that fail are rejected. All rows
    are kept in the run folder as they are made; the same call resumes an interrupted build.

    Args:
        model: The policy, `MODEL` or `ENGINE:MODEL` (a Hub repository or a folder), or an engine's configuration.
            Required unless the recipe names it.
        generator: The model that writes the test suites. Default: an OpenAI model if `OPENAI_API_KEY` is set, else the
            policy.
        instructions: `starter`, `oss-instruct`, `evol-instruct-code`, `sharegpt`, `REPO[@REVISION]:COLUMN` or a file.
            Default: `oss-instruct`.
        suites: Where instructions and test suites come from instead of a generator: `REPO@TAG` of a published dataset,
            a file or Hub dataset whose rows have tests of their own, `FILE[:COLUMN]` or `REPO[:COLUMN]`, or `rows` for
            the rows of `instructions`.
        recipe: A YAML file, the name of a shipped recipe, or a `Recipe`.
        settings: Recipe keys that override all of the above, as `{"samples.per_instruction": 10}`.
        run: The run folder. Default: `runs/INSTRUCTIONS-MODEL`.
        carry_over: An older run whose rows are reused where the recipe would produce the same.
        repo: `NAME` or `NAMESPACE/NAME` of the dataset. Default: that of the run's last release, else
            `plum-INSTRUCTIONS-MODEL`.
        hub: `auto` (the Hub if there is a token, else the embedded Hub), `public`, `embedded`, a URL, or `none` to
            publish nothing.
        private: Whether to create the repository as private.
        tag: The release's tag. Default: the version that follows from the content.
        branch: The branch to commit to.
        create_pr: Whether to open a pull request instead of committing; nothing is tagged.
        benchmark_data: A folder of benchmarks; rows that contain their problems are left out.
        budget: What all answers of the run may cost, in US dollars. Default: no limit.
        max_tokens: What they may take, in tokens of prompts and answers. Default: no limit.
        workers: Processes on this machine that share the work, each with an engine and GPUs of its own; without GPUs
            they share the cores out. The rows are the same. One process makes a run with `budget.minutes`, or of fewer
            than 65 instructions. `ray` has a Ray cluster ask the models and judge, with as many engines as it has room
            for, or `ray:N` with N; the run folder stays here.
        address: The Ray cluster of `workers="ray"`, `HOST:PORT`. Default: `RAY_ADDRESS`, or the cluster that this
            machine belongs to.
        verbose: Whether to show other libraries' log records on stderr, and to keep them in the run's log.
        progress: Receives the progress of each stage.

    Returns:
        The run folder, its counts and the release.

    Raises:
        UsageError: No model is given, or the arguments contradict each other.
        RecipeError: The recipe or a setting is invalid.
        RunError: The folder holds a run of another recipe, is damaged or cannot be written.
        NothingToReleaseError: No instruction has a chosen answer.
        BudgetError: The run has spent `budget` or `max_tokens`; the same call with a higher limit continues it.
        PlumError: A stage failed (`EngineError`, `InstructionsError`, `SandboxError`, `HubError`, ...); all rows made
            so far are kept.

    Example:
        >>> result = plum_hub.build_dataset(model="Qwen/Qwen2.5-Coder-0.5B-Instruct", recipe="quickstart")
        >>> result.release.repo, result.release.tag
        ('me/plum-starter-qwen2.5-coder-0.5b-instruct', 'v1.0.0')
        >>> result.status.chosen, result.status.rejected
    """
    started, progress = time.monotonic(), progress or LoggedProgress()
    options = PublishOptions.chosen(repo=repo, hub=hub, private=private, tag=tag, branch=branch, create_pr=create_pr)
    processes, cluster_options = ClusterOptions.chosen(workers, address)
    limit = SpendingLimit.chosen(budget, max_tokens)
    arguments = RecipeArguments(
        recipe=recipe, model=model, generator=generator, instructions=instructions, suites=suites, hub=hub,
        settings=setting_lines(settings),
    )  # fmt: skip
    composed, folder = arguments.compose(optional_path(run), progress.say)
    check_account(options, progress.say)
    donor = Run.donor(expanded(carry_over)) if carry_over is not None else None
    with ExitStack() as held:
        cluster = held.enter_context(joined(cluster_options, composed.filled(), progress))
        with progress.waiting("preparing the run"):
            opened = prepare(composed, folder)
        held.enter_context(_logging_to(folder, verbose=verbose))
        context = Context(
            run=opened, progress=progress, donor=donor, started=started, cluster=cluster,
            benchmark_data=optional_path(benchmark_data), limit=limit,
            workers=processes if cluster is None else cluster.engines,
        )  # fmt: skip
        held.callback(context.engines.close)
        build(context)
        with progress.waiting("publishing" if options else "writing the release"):
            released = release(context, options)
    return BuildResult(run=folder, status=summarise(opened), release=released)


def estimate_build(
    *,
    model: str | EngineConfig | None = None,
    generator: str | EngineConfig | None = None,
    instructions: str | None = None,
    suites: str | None = None,
    recipe: StrPath | Recipe | None = None,
    settings: Settings = (),
    run: StrPath | None = None,
    carry_over: StrPath | None = None,
    hub: str = "auto",
    progress: Progress | None = None,
) -> BuildEstimate:
    """Estimate the requests, tokens, time and cost of a build (`build-dataset --dry-run`); no model is asked.

    Args:
        model: As in `build_dataset`, as are all other arguments.
        generator: The model that writes the test suites.
        instructions: The source of the instructions.
        suites: Test suites that are used instead of generating any.
        recipe: A YAML file, the name of a shipped recipe, or a `Recipe`.
        settings: Recipe keys that override all of the above.
        run: The run folder; what it already has is not counted.
        carry_over: An older run whose rows are reused.
        hub: Where `suites` is looked up.
        progress: Receives one line that explains the choice of the generator.

    Returns:
        The requests, tokens, time and cost of each stage that asks a model.

    Raises:
        PlumError: As `build_dataset`, for everything that can be known beforehand.

    Example:
        >>> estimate = plum_hub.estimate_build(model="openai:gpt-4.1-mini", recipe="starter")
        >>> [(step.stage, step.requests, step.usd) for step in estimate.steps]
        [('responses', 390, 0.413), ('samples', 1660, 0.6992)]
    """
    arguments = RecipeArguments(
        recipe=recipe, model=model, generator=generator, instructions=instructions, suites=suites, hub=hub,
        settings=setting_lines(settings),
    )  # fmt: skip
    composed, folder = arguments.compose(optional_path(run), (progress or Progress()).say)
    donor = Run.donor(expanded(carry_over)) if carry_over is not None else None
    return plan(composed.filled(), find_run(composed, folder), donor)


def push_dataset(
    run: StrPath,
    *,
    repo: str | None = None,
    hub: str = "auto",
    private: bool = False,
    tag: str | None = None,
    branch: str = "main",
    create_pr: bool = False,
    benchmark_data: StrPath | None = None,
    progress: Progress | None = None,
) -> Released:
    """Publish a complete run as a versioned dataset, without asking a model for anything.

    The version follows from the content: other columns than the last release make a major version, other rows a minor
    one, another card a patch; equal content is the release that exists already. All files are uploaded in one commit,
    read back, compared, and only then tagged.

    Args:
        run: The run folder.
        repo: `NAME` or `NAMESPACE/NAME` of the dataset. Default: that of the run's last release, else
            `plum-INSTRUCTIONS-MODEL`.
        hub: `auto` (the Hub if there is a token, else the embedded Hub), `public`, `embedded`, a URL, or `none` to
            write the release's files only.
        private: Whether to create the repository as private.
        tag: The release's tag. Default: the version that follows from the content.
        branch: The branch to commit to.
        create_pr: Whether to open a pull request instead of committing; nothing is tagged.
        benchmark_data: A folder of benchmarks; rows that contain their problems are left out.
        progress: Receives the progress of each stage.

    Returns:
        The release: repository, tag, commit, and the line that loads it.

    Raises:
        UsageError: The arguments contradict each other, or a name is invalid.
        RunError: The run is not complete, is damaged or cannot be written.
        NothingToReleaseError: No instruction has a chosen answer.
        HubError: The Hub cannot be reached or refuses.

    Example:
        >>> released = plum_hub.push_dataset("runs/starter-qwen2.5-coder-0.5b-instruct", repo="me/plum-starter")
        >>> released.repo, released.tag
        ('me/plum-starter', 'v1.1.0')
    """
    options = PublishOptions.chosen(repo=repo, hub=hub, private=private, tag=tag, branch=branch, create_pr=create_pr)
    context = Context(
        run=Run.open(expanded(run)), progress=progress or LoggedProgress(), benchmark_data=optional_path(benchmark_data)
    )
    return push(context, options)


@contextmanager
def _logging_to(folder: Path, *, verbose: bool) -> Iterator[None]:
    """Write our log records to a new file in the run's `logs/` for the time of the block; other libraries' too if
    `verbose`, which are then also shown on stderr."""
    logs = folder / "logs"
    with writing(logs):
        logs.mkdir(exist_ok=True)
        file = logging.FileHandler(logs / f"{len(list(logs.iterdir())) + 1:03}.log", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handlers: list[logging.Handler] = [file]
    if verbose:
        handlers.append(logging.StreamHandler())
        handlers[-1].addFilter(lambda record: not record.name.startswith("plum_hub"))  # ours are progress already
    logger = logging.getLogger() if verbose else logging.getLogger("plum_hub")
    level, raising = logger.level, logging.raiseExceptions
    logging.raiseExceptions = False  # a full disk is reported once, by the rows that could not be written
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        file.close()
        logger.setLevel(level)
        logging.raiseExceptions = raising
