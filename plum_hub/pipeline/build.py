"""`build-dataset` as a library.

Seals a recipe into a run folder, or resumes its run, and drives the stages up to the labelled preferences.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from plum_hub.errors import EngineError, RunError
from plum_hub.execution.judge import choose
from plum_hub.instructions.sources import load
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.stage import run_decontamination
from plum_hub.pipeline.instructions import run_instructions
from plum_hub.pipeline.preferences import run_preferences
from plum_hub.pipeline.published import GENERATE, ROWS, resolve_suites
from plum_hub.pipeline.samples import run_samples
from plum_hub.pipeline.suites import run_suites
from plum_hub.recipe import Recipe, differences
from plum_hub.run import Run, slug

STAGES: tuple[Callable[[Context], None], ...] = (
    run_instructions,
    run_suites,
    run_samples,  # and verdicts, at the same time
    run_decontamination,
    run_preferences,
)
"""The stages of a build, in order."""


def build(context: Context, stages: Sequence[Callable[[Context], None]] = STAGES) -> None:
    """Run the stages; each makes only the rows that are missing. On a complete run it does nothing.

    Args:
        context: The run and how to work on it.
        stages: The stages, in order.

    Raises:
        PlumError: A stage failed. All rows made so far are kept, and the same call resumes from there.
    """
    context.limit.start(context.run)
    with context.run.lock():
        for stage in stages:
            stage(context)


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
    """
    run = find_run(recipe, folder)
    return Run.create(folder, seal_recipe(recipe.filled())) if run is None else run


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
    if changed := differences(run.recipe, recipe.filled().adopting(run.recipe)):
        raise RunError(
            f"{folder}: holds a run of another recipe ({'; '.join(changed)}), and rows of two recipes are never mixed; "
            f"start a new run that keeps what is still valid: the same command with  --run {folder}-2 "
            f"--carry-over {folder}"
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
    samples = pinned.samples.model_copy(update={"prompt": prompt})
    verdicts = pinned.verdicts
    if verdicts.sandbox == "auto":
        verdicts = verdicts.model_copy(update={"sandbox": choose(numpy=verdicts.numpy)})
    return pinned.model_copy(update={"suites": resolve_suites(pinned.suites), "samples": samples, "verdicts": verdicts})


def default_folder(recipe: Recipe) -> Path:
    """Name the run folder for when `--run` is not given.

    Args:
        recipe: The recipe, with defaults filled in.

    Returns:
        `runs/<instructions>-<model>`.
    """
    repo, _, tag = recipe.suites.source.partition("@")
    origin = slug(recipe.instructions.source) if repo == GENERATE else f"{slug(repo)}-{slug(tag)}"
    return Path("runs") / f"{origin.removeprefix('plum-')}-{slug(recipe.policy.public().model)}"
