"""`build-dataset` as a library: seal a recipe into a run folder, or find the run it has already begun, and drive the
stages up to the labelled preferences."""

from collections.abc import Callable
from pathlib import Path

from plum_hub.engines import EngineConfig
from plum_hub.engines.tokenizer import has_chat_template
from plum_hub.engines.transformers import TransformersConfig
from plum_hub.engines.vllm import VllmConfig
from plum_hub.errors import RunError
from plum_hub.instructions.sources import load
from plum_hub.recipe import Recipe, differences
from plum_hub.run import Run
from plum_hub.stages.base import Context
from plum_hub.stages.instructions import run_instructions
from plum_hub.stages.preferences import run_preferences
from plum_hub.stages.published import GENERATE, resolve_suites
from plum_hub.stages.samples import run_samples
from plum_hub.stages.suites import run_suites
from plum_hub.stages.verdicts import run_verdicts

STAGES: tuple[Callable[[Context], None], ...] = (
    run_instructions,
    run_suites,
    run_samples,
    run_verdicts,
    run_preferences,
)


def build(context: Context) -> None:
    """Do what is owed, stage by stage. Running it again on a complete run does nothing.

    Raises:
        PlumError: a stage cannot be carried out; all rows made so far are kept, and the same call goes on from there.
    """
    with context.run.lock():
        for stage in STAGES:
            stage(context)


def prepare(recipe: Recipe, folder: Path) -> Run:
    """The run of `recipe` in `folder`: the one begun before, or a new one with every revision pinned.

    Raises:
        RunError: the folder holds a run of another recipe; the message names the keys that differ.
        EngineError, InstructionsError, HubError: a model, source or release is unknown or cannot be reached.
    """
    wanted = recipe.filled()
    if not (folder / "recipe.yaml").exists():
        return Run.create(folder, sealed(wanted))
    run = Run.open(folder)
    if changed := differences(run.recipe, wanted.adopting(run.recipe)):
        raise RunError(
            f"{folder}: holds a run of another recipe ({'; '.join(changed)}), and rows of two recipes are never mixed; "
            f"start a new run that keeps what is still valid: the same command with  --run {folder}-2 "
            f"--carry-over {folder}"
        )
    return run


def sealed(recipe: Recipe) -> Recipe:
    """The recipe with every revision pinned and the prompt decided, so that it makes the same rows tomorrow."""
    generate = recipe.suites.source == GENERATE
    pinned = recipe.pinned(load(recipe.instructions).revision if generate else recipe.instructions.revision)
    suites = pinned.suites.model_copy(update={"source": resolve_suites(pinned.suites.source)})
    prompt = pinned.samples.prompt
    if prompt == "auto":
        prompt = "chat" if _takes_conversations(pinned.policy) else "completion"
    return pinned.model_copy(update={"suites": suites, "samples": pinned.samples.model_copy(update={"prompt": prompt})})


def _takes_conversations(policy: EngineConfig) -> bool:
    if isinstance(policy, VllmConfig | TransformersConfig):
        return has_chat_template(policy.model, policy.revision)  # opening them would load the weights
    with policy.open() as engine:
        return engine.has_chat_template


def default_folder(recipe: Recipe) -> Path:
    """Where a run goes when `--run` does not say: `runs/<instructions>-<model>`."""
    source = recipe.instructions.source if recipe.suites.source == GENERATE else recipe.suites.source
    return Path("runs") / f"{slug(source)}-{slug(recipe.policy.model)}"


def slug(text: str) -> str:
    """The last part of a repository or path as a name: lower case, nothing but letters, digits, `.` and `-`."""
    last = text.rstrip("/").split("/")[-1].split("@")[0].split(":")[0]
    for ending in (".gz", ".jsonl", ".json", ".parquet"):
        last = last.removesuffix(ending)
    return "".join(letter if letter.isalnum() or letter == "." else "-" for letter in last.lower()).strip("-.") or "run"
