"""Differences in what two releases were made with, and the differences between rows that they can explain."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from plum_hub.errors import HubError, RecipeError
from plum_hub.layers import read
from plum_hub.release.manifest import MANIFEST, RECIPE

Cause: TypeAlias = Literal["harness", "limits", "policy", "generator", "strengthening", "rule"]
"""What can explain a difference between rows."""

_CAUSES: dict[Cause, tuple[str, ...]] = {
    "harness": (
        "harness_version", "checker_version", "extraction",
        "recipe.verdicts.sandbox", "recipe.verdicts.numpy", "recipe.verdicts.pandas",
    ),
    "limits": ("limits.",),
    "policy": ("policy.", "samples_per_suite", "prompts.solve_", "recipe.samples."),
    "generator": ("generator.", "generator", "suites_from", "prompts.suite", "recipe.suites."),
    "strengthening": ("recipe.suites.strengthen",),
    "rule": ("recipe.preferences.", "recipe.decontamination."),
}  # fmt: skip
"""Prefixes of the keys in lineage and recipe by which each cause shows."""
_NO_CAUSE = ("instructions", "self_consistency.", "added_cases.", "decontamination.", "weights")
"""Prefixes of keys that hold counts; they follow from the others."""


@dataclass(frozen=True)
class ReleaseFacts:
    """What a release states that it was made with."""

    facts: Mapping[str, object]
    """Values of lineage and recipe by flat keys; those of the recipe begin with `recipe.`."""

    def differences(self, other: "ReleaseFacts") -> dict[str, tuple[object, object]]:
        """Compare with another release.

        Args:
            other: The facts of that release.

        Returns:
            Both values of each key that differs; None stands for a missing one. Counts are not compared.
        """
        keys = sorted(self.facts.keys() | other.facts.keys())
        pairs = {key: (self.facts.get(key), other.facts.get(key)) for key in keys}
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and not key.startswith(_NO_CAUSE)}


def release_facts(folder: Path, name: str) -> ReleaseFacts:
    """Read what a downloaded release was made with.

    Args:
        folder: The release's folder.
        name: Its name, for the error message.

    Returns:
        The facts in its manifest and recipe, including those that this version does not know.

    Raises:
        HubError: It has no readable manifest or recipe, so it is not a release of plum-hub.
    """
    import yaml

    from plum_hub import plain_yaml

    try:
        lineage = json.loads((folder / MANIFEST).read_bytes())["lineage"]
        recipe = plain_yaml.load(read(folder / RECIPE))
        return ReleaseFacts(_flat({**lineage, "recipe": recipe}))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, RecipeError, yaml.YAMLError) as error:
        raise HubError(
            f"{name}: is not a release of plum-hub, or is damaged ({type(error).__name__} in its manifest or recipe); "
            f"check it with  plum-hub verify {name}"
        ) from error


def causes(differences: Mapping[str, object]) -> set[Cause]:
    """Find the causes behind differences.

    Args:
        differences: The keys that differ, as from `ReleaseFacts.differences`.

    Returns:
        The causes that they belong to.
    """
    return {cause for cause, starts in _CAUSES.items() if any(key.startswith(starts) for key in differences)}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
