"""What `build-dataset` does with its options: compose the recipe, then plan or build, publish and show."""

import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from plum_hub import recipe as recipes
from plum_hub import recipes as shipped
from plum_hub.cli import screen
from plum_hub.engines import parse_engine
from plum_hub.errors import RecipeError, UsageError
from plum_hub.recipe import Recipe
from plum_hub.run import Run
from plum_hub.stages.base import Context
from plum_hub.stages.build import build, default_folder, prepare
from plum_hub.stages.plan import plan
from plum_hub.stages.release import Destination, Released, release
from plum_hub.stages.summary import Summary, summarise

DEFAULT_GENERATOR = "openai:gpt-4.1-mini"
"""Who writes the suites when an OpenAI key is set and `--generator` is not given. The paper took GPT-4-1106."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """The options of `build-dataset`, as typed."""

    model: str | None
    generator: str | None
    instructions: str | None
    suites: str | None
    recipe: Path | None
    settings: tuple[str, ...]
    folder: Path | None
    carry_over: Path | None
    repo: str | None
    hub: str
    private: bool
    dry_run: bool
    as_json: bool
    verbose: bool
    quiet: bool


def carry_out(given: Given) -> None:
    """Plan, or build and publish, and show what came of it.

    Raises:
        PlumError: with its exit code.
    """
    progress = screen.progress(given.quiet)
    recipe = _recipe(given, progress.say)
    folder = given.folder or default_folder(recipe)
    if given.dry_run:
        _show_plan(given, recipe, folder)
        return
    donor = Run.open(given.carry_over) if given.carry_over else None
    run = prepare(recipe, folder)
    _log_to(folder, given.verbose)
    context = Context(run=run, progress=progress, donor=donor)
    try:
        build(context)
    finally:
        context.engines.close()
    destination = None if given.hub == "none" else Destination(hub=given.hub, repo=given.repo, private=given.private)
    released = release(context, destination)
    _show_result(given, run, summarise(run), released)


def _recipe(given: Given, say: Callable[[str], None]) -> Recipe:
    """The recipe that the options describe: a file or a shipped one, under the options, under `--set`."""
    text, origin = _recipe_text(given)
    written = recipes.sections(text, origin) if text is not None else set()
    base: dict[str, Any] = {}
    if given.instructions:
        base["instructions"] = {"source": given.instructions}
    if given.suites:
        base["suites"] = {"source": given.suites}
    if given.model:
        base["policy"] = parse_engine(given.model).model_dump(mode="json")
    if given.generator:
        base["generator"] = parse_engine(given.generator).model_dump(mode="json")
    elif given.model and "generator" not in written:
        base["generator"] = _default_generator(given, base["policy"], say)
    if not given.model and "policy" not in written:
        raise UsageError(
            "which model? Name it with --model, as in  plum-hub build-dataset --model Qwen/CodeQwen1.5-7B-Chat"
        )
    return recipes.compose(text, origin, base, given.settings)


def _recipe_text(given: Given) -> tuple[str | None, str]:
    if given.recipe is None:
        name = given.instructions or "oss-instruct"
        return shipped.text(name), f"recipe {name}"
    if (text := shipped.text(str(given.recipe))) is not None:
        return text, f"recipe {given.recipe}"
    if not given.recipe.exists():
        raise RecipeError(
            f"{given.recipe}: no such file, and no shipped recipe has this name; shipped are "
            f"{', '.join(shipped.names())}"
        )
    return recipes.read(given.recipe), str(given.recipe)


def _default_generator(given: Given, policy: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    if given.suites:
        return policy  # suites are taken, not generated
    if os.environ.get("OPENAI_API_KEY"):
        say(f"generator: {DEFAULT_GENERATOR}, because OPENAI_API_KEY is set; --generator ENGINE:MODEL takes another")
        return parse_engine(DEFAULT_GENERATOR).model_dump(mode="json")
    say("generator: the policy itself, since no OPENAI_API_KEY is set; --generator ENGINE:MODEL takes another")
    return policy


def _show_plan(given: Given, recipe: Recipe, folder: Path) -> None:
    found = plan(recipe.filled(), Run.open(folder) if (folder / "recipe.yaml").exists() else None)
    if given.as_json:
        screen.echo_json(found.as_json())
    else:
        screen.plan_tables(found)


def _show_result(given: Given, run: Run, summary: Summary, released: Released) -> None:
    if given.as_json:
        screen.echo_json({"run": str(run.folder), **summary.as_json(), "release": asdict(released)})
        return
    screen.summary_tables(summary)
    screen.facts([("run", str(run.folder)), *released.facts()])
    if released.load_line:
        if released.hub == "embedded":
            click.echo("\n# in another terminal:  plum-hub hub serve\nexport HF_ENDPOINT=http://127.0.0.1:8077")
        elif released.endpoint:
            click.echo(f"\nexport HF_ENDPOINT={released.endpoint}")
        click.echo(f"\nfrom datasets import load_dataset\n{released.load_line}")


def _log_to(folder: Path, verbose: bool) -> None:
    """Send our log lines to a new file in the run's logs/; other libraries' too when `verbose`."""
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    handler = logging.FileHandler(logs / f"{len(list(logs.iterdir())) + 1:03}.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger() if verbose else logging.getLogger("plum_hub")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    if verbose:
        logger.addHandler(logging.StreamHandler())
