"""`build-dataset` as a library.

Seals a recipe into a run folder, or resumes its run, and drives the stages up to the labelled preferences.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from plum_hub.engines import EngineConfig
from plum_hub.errors import EngineError, RunError
from plum_hub.execution.judge import choose
from plum_hub.files import locked, require_home, writing
from plum_hub.instructions.sources import load
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.stage import run_decontamination, run_screening
from plum_hub.pipeline.instructions import run_instructions
from plum_hub.pipeline.preferences import run_preferences
from plum_hub.pipeline.published import GENERATE, ROWS, resolve_suites
from plum_hub.pipeline.retraction import run_retraction
from plum_hub.pipeline.samples import check_begun, run_samples
from plum_hub.pipeline.shards import over_shards
from plum_hub.pipeline.suites import run_responses, run_suites
from plum_hub.pipeline.workers import working
from plum_hub.recipe import Recipe, SuitesConfig, differences
from plum_hub.remedies import beside
from plum_hub.run import Run
from plum_hub.slug import slug

STAGES: tuple[Callable[[Context], None], ...] = (
    run_instructions,
    run_screening,
    run_responses,
    run_suites,
    run_retraction,  # of what was made of samples that are missing, before they are made again
    run_samples,  # and verdicts, at the same time
    run_decontamination,
    run_preferences,
)
"""The stages of a build, in order. All but the first work on one shard at a time."""


def build(context: Context, stages: Sequence[Callable[[Context], None]] = STAGES) -> None:
    """Run the stages; each makes only the rows that are missing. On a complete run it does nothing.

    Args:
        context: The run and how to work on it. With several `workers`, the shards of a run that has several are shared
            among that many processes, or the machines of `cluster`, which know `STAGES` only.
        stages: The stages, in order.

    Raises:
        PlumError: A stage failed. All rows made so far are kept, and the same call resumes from there.
    """
    context.limit.start(context.run)
    with ExitStack() as held:
        held.enter_context(context.run.lock())
        with writing(context.run.folder):  # the workers of a build that was killed take seconds to end
            lock = held.enter_context(locked(context.run.folder / ".workers.lock", None))
        shared: Callable[[str], None] | None = None
        for stage in stages:
            if stage is run_instructions:
                stage(context)
                continue
            if shared is None and context.cluster is not None:
                shared = held.enter_context(context.cluster.working(context))
            elif shared is None and context.workers > 1 and len(context.run.names) > 1:
                shared = held.enter_context(working(context, lock))
            if shared is None:
                over_shards(context, stage)
            else:
                shared(stage.__name__)


def prepare(recipe: Recipe, folder: Path) -> Run:
    """Open the run of a recipe, or create it with every revision pinned.

    Args:
        recipe: The recipe as the user gave it.
        folder: The run folder.

    Returns:
        The run.

    Raises:
        RunError: The folder holds a run of another recipe; the message names the keys that differ.
        EngineError: A model is unknown or cannot be reached.
        InstructionsError: The source of the instructions cannot be read.
        HubError: A source or release is unknown or cannot be reached.
        SandboxError: Programs cannot be isolated on this machine.
        MachineError: `$PLUM_HUB_HOME` cannot be written.
    """
    require_home()
    run = find_run(recipe, folder)
    return Run.create(folder, seal_recipe(recipe.filled())) if run is None else run.found_at(recipe)


def find_run(recipe: Recipe, folder: Path) -> Run | None:
    """Find the run of a recipe.

    Args:
        recipe: The recipe as the user gave it.
        folder: The run folder.

    Returns:
        The run, or None if the folder holds none.

    Raises:
        RunError: The folder holds a run of another recipe, or is a file.
    """
    if not (folder / "recipe.yaml").exists():
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{folder}: is a file; name a folder with --run DIR")
        return None
    run = Run.open(folder)
    if changed := differences(run.sealed, recipe.filled().adopting(run.sealed)):
        raise RunError(
            f"{folder}: holds a run of another recipe ({'; '.join(changed)}), and rows of two recipes are never mixed; "
            f"start a new run that keeps what is still valid: the same command with  {beside(folder)}"
        )
    return run


def seal_recipe(recipe: Recipe) -> Recipe:
    """Pin every revision and decide the prompt and the sandbox, so that the recipe makes the same rows tomorrow.

    Args:
        recipe: The recipe, with defaults filled in.

    Returns:
        A new recipe.

    Raises:
        EngineError: A model is unknown, cannot be reached, or has no chat template and needs one.
        HubError: A source or release is unknown or cannot be reached.
        InstructionsError: The source of the instructions cannot be read.
        SandboxError: Programs cannot be isolated on this machine.
    """
    generate = recipe.suites.source == GENERATE
    from_source = recipe.suites.source in (GENERATE, ROWS)
    pinned = recipe.pinned(load(recipe.instructions).revision if from_source else recipe.instructions.revision)
    if generate and not pinned.generator.takes_conversations():
        raise EngineError(
            f"{pinned.generator.model} has no chat template, and writing test suites needs one; "
            "name a chat model with --generator ENGINE:MODEL"
        )
    prompt = pinned.samples.prompt
    if prompt == "auto":
        prompt = "chat" if pinned.policy.takes_conversations() else "completion"
    if prompt == "evalplus":
        check_begun(pinned.policy)
    samples = pinned.samples.model_copy(update={"prompt": prompt})
    verdicts = pinned.verdicts
    if verdicts.sandbox == "auto":
        verdicts = verdicts.model_copy(update={"sandbox": choose(numpy=verdicts.numpy or verdicts.pandas)})
    suites = resolve_suites(pinned.suites)
    if generate or suites.structured == "auto":
        suites = suites.model_copy(update={"structured": generate and _is_structured(suites, pinned.generator)})
    return pinned.model_copy(update={"suites": suites, "samples": samples, "verdicts": verdicts})


def _is_structured(suites: SuitesConfig, generator: EngineConfig) -> bool:
    """Decide whether answers follow a schema, which `suites.structured` demands, or leaves to the engine (`auto`)."""
    problem = generator.schema_problem() if suites.structured else None
    if problem is not None and suites.structured is True:
        more = "" if "suites.structured" in problem else ": set suites.structured=false, or name another generator"
        raise EngineError(f"{problem}{more}")
    return bool(suites.structured) and problem is None


def default_folder(recipe: Recipe) -> Path:
    """Name the run folder for when `--run` is not given.

    Args:
        recipe: The recipe, with defaults filled in.

    Returns:
        `runs/<instructions>-<model>`.
    """
    repo, _, tag = recipe.suites.source.partition("@")
    origin = f"{slug(repo)}-{slug(tag)}" if tag else slug(recipe.instructions.source)
    return Path("runs") / f"{origin.removeprefix('plum-')}-{slug(recipe.policy.public().model)}"
