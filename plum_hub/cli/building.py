"""What `build-dataset` does with its options: compose the recipe, then plan or build, publish and show."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plum_hub import recipe as recipes
from plum_hub import recipes as shipped
from plum_hub.cli import screen
from plum_hub.cli.releasing import PublishArguments, show_how_to_load
from plum_hub.engines import parse_engine
from plum_hub.errors import RecipeError, UsageError
from plum_hub.files import writing
from plum_hub.pipeline.base import Context, EnginePool
from plum_hub.pipeline.build import build, default_folder, find_run, prepare
from plum_hub.pipeline.estimate import BuildEstimate, plan
from plum_hub.pipeline.published import GENERATE
from plum_hub.pipeline.status import RunStatus, summarise
from plum_hub.publishing.dataset import release
from plum_hub.publishing.repository import Released
from plum_hub.recipe import Recipe
from plum_hub.run import Run

DEFAULT_GENERATOR = "openai:gpt-4.1-mini"
"""Who writes the suites when an OpenAI key is set and `--generator` is not given. The paper took GPT-4-1106."""


@dataclass(frozen=True, kw_only=True)
class BuildArguments(PublishArguments):
    """The options of `build-dataset`, as typed."""

    model: str | None
    generator: str | None
    instructions: str | None
    suites: str | None
    recipe: Path | None
    settings: tuple[str, ...]
    folder: Path | None
    carry_over: Path | None
    dry_run: bool
    as_json: bool
    verbose: bool
    quiet: bool


def carry_out(given: BuildArguments) -> None:
    """Plan, or build and publish, and show what came of it.

    Raises:
        PlumError: with its exit code.
    """
    began = time.monotonic()
    destination = given.destination()
    progress = screen.progress(given.quiet)
    recipe, folder = composed(given, progress.say)
    donor = Run.donor(given.carry_over) if given.carry_over else None
    if given.dry_run:
        _show_plan(given, plan(recipe.filled(), find_run(recipe, folder), donor))
        return
    engines = EnginePool()
    try:
        with progress.waiting("preparing the run"):
            run = prepare(recipe, folder)
        _log_to(folder, given.verbose)
        context = Context(
            run=run, progress=progress, engines=engines, donor=donor, benchmark_data=given.benchmark_data, started=began
        )
        build(context)
        with progress.waiting("publishing" if destination else "writing the release"):
            released = release(context, destination)
    finally:
        progress.close()
        engines.close()
    _show_result(given, run, summarise(run), released)


def composed(given: BuildArguments, say: Callable[[str], None]) -> tuple[Recipe, Path]:
    """The recipe that the options describe (a file or a shipped one, under the options, under `--set`), and its run's
    folder. Where nothing says who writes the suites, a run begun before does, else the key in the environment."""
    text, origin = _recipe_text(given)
    said = recipes.sections(text, origin) if text is not None else set()
    said |= {setting.partition(".")[0].partition("=")[0] for setting in given.settings}
    base = _options(given)
    if "policy" not in said | set(base):
        raise UsageError(
            "which model? Name it with --model, as in  plum-hub build-dataset --model Qwen/CodeQwen1.5-7B-Chat"
        )
    recipe = recipes.compose(text, origin, base, given.settings)
    folder = given.folder or default_folder(recipe)
    if "generator" in said | set(base) or recipe.suites.source != GENERATE:
        return recipe, folder
    if (folder / "recipe.yaml").exists():
        return recipe.model_copy(update={"generator": Run.open(folder).recipe.generator}), folder
    if os.environ.get("OPENAI_API_KEY"):
        say(f"generator: {DEFAULT_GENERATOR}, because OPENAI_API_KEY is set; --generator ENGINE:MODEL takes another")
        return recipe.model_copy(update={"generator": parse_engine(DEFAULT_GENERATOR)}), folder
    say("generator: the policy itself, since no OPENAI_API_KEY is set; --generator ENGINE:MODEL takes another")
    return recipe, folder


def _options(given: BuildArguments) -> dict[str, Any]:
    """What the command's own options say of the recipe."""
    base: dict[str, Any] = {}
    if given.suites:
        base["suites"] = {"source": given.suites, "hub": "auto" if given.hub == "none" else given.hub}
        base["instructions"] = {"source": given.suites}
    if given.instructions:
        base["instructions"] = {"source": given.instructions}
    if given.model:
        base["policy"] = parse_engine(given.model).model_dump(mode="json")
    if given.generator:
        base["generator"] = parse_engine(given.generator).model_dump(mode="json")
    return base


def _recipe_text(given: BuildArguments) -> tuple[str | None, str]:
    if given.recipe is None:
        name = given.instructions or ("oss-instruct" if given.suites is None else "")
        return shipped.text(name), f"recipe {name}" if name else "the options"
    if (text := shipped.text(str(given.recipe))) is not None:
        return text, f"recipe {given.recipe}"
    if not given.recipe.exists():
        raise RecipeError(
            f"{given.recipe}: no such file, and no shipped recipe has this name; shipped are "
            f"{', '.join(shipped.names())}"
        )
    return recipes.read(given.recipe), str(given.recipe)


def _show_plan(given: BuildArguments, found: BuildEstimate) -> None:
    if given.as_json:
        screen.echo_json(found.as_json())
    else:
        screen.plan_tables(found)


def _show_result(given: BuildArguments, run: Run, summary: RunStatus, released: Released) -> None:
    if given.as_json:
        screen.echo_json({"run": str(run.folder), **summary.as_json(), "release": asdict(released)})
        return
    screen.summary_tables(summary)
    screen.facts([("run", str(run.folder)), *released.facts()])
    show_how_to_load(released)


def _log_to(folder: Path, verbose: bool) -> None:
    """Send our log lines to a new file in the run's logs/; other libraries' too when `verbose`."""
    logging.raiseExceptions = False  # a full disk is told once, by the rows that could not be written
    logs = folder / "logs"
    with writing(logs):
        logs.mkdir(exist_ok=True)
        handler = logging.FileHandler(logs / f"{len(list(logs.iterdir())) + 1:03}.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger() if verbose else logging.getLogger("plum_hub")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    if verbose:
        others = logging.StreamHandler()
        others.addFilter(lambda record: not record.name.startswith("plum_hub"))  # ours are on the screen already
        logger.addHandler(others)
