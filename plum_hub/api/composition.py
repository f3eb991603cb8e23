"""From the arguments of a build to its recipe and its run folder."""

import os
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plum_hub import layers
from plum_hub import recipe as recipes
from plum_hub import recipes as shipped
from plum_hub.api.settings import StrPath, engine
from plum_hub.engines import EngineConfig, parse_engine
from plum_hub.errors import RecipeError, UsageError, perhaps
from plum_hub.home import expanded
from plum_hub.hubs.client import choose_target
from plum_hub.hubs.embedded import has_dataset
from plum_hub.instructions.addresses import DatasetAddress, LocalAddress, canonical, parse_source
from plum_hub.pipeline.build import default_folder
from plum_hub.pipeline.published import GENERATE, ROWS
from plum_hub.recipe import Recipe, SuitesConfig
from plum_hub.run import Run

_DEFAULT_GENERATOR = "openai:gpt-4.1-mini"
"""Writes the test suites when `OPENAI_API_KEY` is set and no generator is named. The paper used GPT-4-1106."""


_FOR_GENERATED = (
    *("responses", "min_cases", "max_cases", "roles", "structured", "vote"),
    *("temperature", "top_p", "max_tokens", "seed"),
)
_FOR_OWN = ("strengthen",)
"""Keys of `suites` that only suites of a generator have a use for, and those that tests of the rows have too."""


@dataclass(frozen=True, kw_only=True)
class RecipeArguments:
    """The arguments that a recipe is composed from, the later ones taking precedence."""

    recipe: "StrPath | Recipe | None"
    """A YAML file, the name of a shipped recipe, or a recipe; None for the one named after the instructions."""
    model: str | EngineConfig | None
    generator: str | EngineConfig | None
    instructions: str | None
    suites: str | None
    hub: str
    """Where `suites` is looked up."""
    settings: tuple[str, ...]

    def compose(self, folder: Path | None, say: Callable[[str], None]) -> tuple[Recipe, Path]:
        """Compose the recipe and decide the run folder.

        When nothing names a generator, it is that of the run in the folder, else an OpenAI model if a key is set, else
        the policy.

        Args:
            folder: The run folder; None for `runs/INSTRUCTIONS-MODEL`.
            say: Receives one line that explains the choice of the generator.

        Returns:
            The recipe and the run folder.

        Raises:
            UsageError: No model is named.
            RecipeError: The recipe or a setting is invalid.
            EngineError: An engine is unknown.
        """
        text, origin = self._recipe_text()
        sections = layers.sections(text, origin) if text is not None else set()
        keys = {setting.partition("=")[0].strip() for setting in self.settings}
        base = self._base()
        if "policy" not in sections | set(base) | {key.partition(".")[0] for key in keys}:
            raise UsageError(
                "no model given: name one with --model, as in  plum-hub build-dataset --model Qwen/CodeQwen1.5-7B-Chat"
            )
        if "generator" in sections | set(base) or keys & {"generator", "generator.type"}:
            recipe = recipes.compose(text, origin, base, self.settings)
            folder = folder or default_folder(recipe)
        else:
            others = [setting for setting in self.settings if not setting.strip().startswith("generator.")]
            recipe = recipes.compose(text, origin, base, others)
            folder = folder or default_folder(recipe)
            if (chosen := _chosen_generator(recipe, folder, say)) is not None:
                base["generator"] = chosen.model_dump(mode="json")
            recipe = recipes.compose(text, origin, base, self.settings)  # those of the generator refine the chosen one
        if ineffective := _ineffective(recipe, keys | self._own_keys(text, origin)):
            say(ineffective)
        return recipe, folder

    def _own_keys(self, text: str | None, origin: str) -> set[str]:
        """Return the keys that a recipe of the user's own sets, and no shipped one."""
        is_own = self.recipe is not None and origin == str(self.recipe)
        return set(layers.flat(layers.mapping(text, origin))) if text is not None and is_own else set()

    def _base(self) -> dict[str, Any]:
        """Return the part of the recipe that the arguments beside `recipe` and `settings` decide."""
        base: dict[str, Any] = {}
        if self.suites:
            base |= suites_sections(self.suites, "auto" if self.hub == "none" else self.hub)
        if self.instructions:
            _check_one_source(self.suites, base, self.instructions)
            base["instructions"] = {"source": canonical(self.instructions)}
        if self.model:
            base["policy"] = engine(self.model).model_dump(mode="json")
        if self.generator:
            base["generator"] = engine(self.generator).model_dump(mode="json")
        return base

    def _recipe_text(self) -> tuple[str | None, str]:
        """Return the recipe as YAML, and where it comes from."""
        if self.recipe is None:
            name = self.instructions or ("oss-instruct" if self.suites is None else "")
            text = shipped.text(name)
            return text, "the options" if text is None else f"recipe {name}"
        if isinstance(self.recipe, Recipe):
            return self.recipe.to_yaml(), "the recipe"
        if (text := shipped.text(str(self.recipe))) is not None:
            return text, f"recipe {self.recipe}"
        path = expanded(self.recipe)
        if not path.exists():
            names = shipped.names()
            near = perhaps(str(path), names)
            raise RecipeError(
                f"{path}: no such file, and no shipped recipe has this name{near}; the shipped recipes are "
                f"{', '.join(names)}"
            )
        return layers.read(path), str(path)


def _check_one_source(suites: str | None, base: Mapping[str, Any], instructions: str) -> None:
    """Refuse instructions beside other rows whose tests are to be used: a row's tests are of its own task."""
    if suites == ROWS or base.get("suites", {}).get("source") != ROWS:
        return
    mine, others = (_without_column(one) for one in (base["instructions"]["source"], canonical(instructions)))
    if mine != others:
        raise UsageError(
            f"--suites {suites} with --instructions {instructions}: tests of rows belong to their own tasks; leave "
            "--instructions out, or name the column of the task in the same source, as SOURCE:COLUMN"
        )


def _without_column(source: str) -> str:
    """Write a source without the column that is named behind it."""
    found = parse_source(source)
    if isinstance(found, LocalAddress):
        return str(found.path)
    return source if found is None else found.name


def _chosen_generator(recipe: Recipe, folder: Path, say: Callable[[str], None]) -> EngineConfig | None:
    """Choose the generator where none is named: that of the run, else OpenAI's with a key, else the policy (None)."""
    if recipe.suites.source != GENERATE:
        return None
    if (folder / "recipe.yaml").exists():
        return Run.open(folder).recipe.generator
    if os.environ.get("OPENAI_API_KEY"):
        say(f"generator: {_DEFAULT_GENERATOR}, because OPENAI_API_KEY is set; choose another with --generator")
        return parse_engine(_DEFAULT_GENERATOR)
    say("generator: the policy itself, because OPENAI_API_KEY is not set; choose another with --generator")
    return None


def _ineffective(recipe: Recipe, given: Set[str]) -> str | None:
    """Say which given keys of the suites do nothing, because the suites come from elsewhere; None if there are none."""
    source, unset = recipe.suites.source, SuitesConfig()
    unused = _FOR_GENERATED if source == ROWS else () if source == GENERATE else (*_FOR_GENERATED, *_FOR_OWN)
    keys = [
        f"suites.{key}"
        for key in unused
        if f"suites.{key}" in given and getattr(recipe.suites, key) != getattr(unset, key)
    ]
    if not keys:
        return None
    if source == ROWS:
        return f"{', '.join(keys)}: no effect, because the suites are the rows' own tests and no generator writes any"
    return (
        f"{', '.join(keys)}: no effect, because the suites of {source} stay as they are published; to add cases to "
        f"them:  plum-hub strengthen {source}"
    )


def suites_sections(text: str, hub: str) -> dict[str, Any]:
    """Return the sections that `suites` decides: `generate`, `rows`, a release, or a source whose rows have tests.

    `REPO@TAG` is a release. A file, a repository without a tag, or either with `:COLUMN` is a source of instructions.

    Args:
        text: As `--suites` takes it.
        hub: Where a release is looked up.

    Returns:
        The sections `suites` and, except for `generate` and `rows`, `instructions`.

    Raises:
        InstructionsError: It is an address, but not of a dataset on a Hub.
        UsageError: It is a dataset of the embedded Hub without a version.
    """
    if text in (GENERATE, ROWS):
        return {"suites": {"source": text}}
    found = parse_source(text)
    if found is None:
        return {"suites": {"source": text, "hub": hub}, "instructions": {"source": text}}
    here = text.removesuffix(f":{found.column}") if found.column else text
    name = here if isinstance(found, LocalAddress) else found.name
    if isinstance(found, DatasetAddress) and found.revision and not (found.is_part or found.column):
        hub = "public" if found.explicit and hub == "auto" else hub
        return {"suites": {"source": name, "hub": hub}, "instructions": {"source": name}}
    if name == text and choose_target(hub).embedded and has_dataset(name):
        raise UsageError(
            f"--suites {text}: the embedded Hub has this dataset; name its version, as in  --suites {text}@v1.0.0"
        )
    suites = {"source": ROWS, "column": found.column} if found.column else {"source": ROWS}
    return {"suites": suites, "instructions": {"source": name}}
