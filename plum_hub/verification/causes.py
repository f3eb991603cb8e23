"""In what the making of two releases differs, and which of their rows' differences that can explain."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from plum_hub.errors import HubError, RecipeError
from plum_hub.recipe import read
from plum_hub.release.manifest import MANIFEST, RECIPE

Cause: TypeAlias = Literal["harness", "limits", "policy", "generator", "rule"]

_CAUSES: dict[Cause, tuple[str, ...]] = {
    "harness": ("harness_version", "checker_version", "extraction", "recipe.verdicts.sandbox", "recipe.verdicts.numpy"),
    "limits": ("limits.",),
    "policy": ("policy.", "samples_per_suite", "prompts.solve_", "recipe.samples."),
    "generator": ("generator.", "generator", "suites_from", "prompts.suite", "recipe.suites."),
    "rule": ("recipe.preferences.", "recipe.decontamination."),
}
"""Where in the lineage or the recipe each cause shows: the beginnings of its keys."""
_NO_CAUSE = ("instructions", "self_consistency.", "decontamination.", "weights")
"""What was counted in the making; it follows from the rest."""


@dataclass(frozen=True)
class ReleaseFacts:
    """What a release says it was made from, as flat keys with their values; the recipe's begin with `recipe.`."""

    facts: Mapping[str, object]

    def differences(self, other: "ReleaseFacts") -> dict[str, tuple[object, object]]:
        """The keys that differ, with the value here and there; None where there is none."""
        keys = sorted(self.facts.keys() | other.facts.keys())
        pairs = {key: (self.facts.get(key), other.facts.get(key)) for key in keys}
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and not key.startswith(_NO_CAUSE)}


def release_facts(folder: Path, name: str) -> ReleaseFacts:
    """The making of a downloaded release.

    Raises:
        HubError: it has no manifest or recipe that can be read, so it is no release of plum-hub.
    """
    import yaml

    try:
        lineage = json.loads((folder / MANIFEST).read_bytes())["lineage"]
        recipe = yaml.safe_load(read(folder / RECIPE))
        return ReleaseFacts(_flat({**lineage, "recipe": recipe}))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, RecipeError, yaml.YAMLError) as error:
        raise HubError(
            f"{name}: is no release of plum-hub, or a damaged one ({type(error).__name__} in its manifest or recipe); "
            f"look closer with  plum-hub verify {name}"
        ) from error


def causes(differences: Mapping[str, object]) -> set[Cause]:
    """Which of the causes these differences can be."""
    return {cause for cause, starts in _CAUSES.items() if any(key.startswith(starts) for key in differences)}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
