"""Shipped experiments by name.

A file below `plum_hub/recipes/` is either one experiment, named by its path (`headline/given`), or a table: what all
rows of it share under `experiment`, and the names of its policies under `policies`. Each policy of
`paper/policies.yaml` then makes one experiment, such as `paper/table2/codeqwen1.5-7b-chat`.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from plum_hub import plain_yaml
from plum_hub.layers import merged

_FOLDERS = ("headline", "paper")
_NOT_EXPERIMENTS = {"policies", "published"}


def names() -> tuple[str, ...]:
    """Return the names of all shipped experiments, in the order of the paper's tables."""
    return tuple(_trees())


def text(name: str) -> str | None:
    """Return a shipped experiment's YAML.

    Args:
        name: Name of the experiment.

    Returns:
        The YAML of this one experiment, its table's keys included; None if there is no such experiment.
    """
    tree = _trees().get(name)
    return None if tree is None else yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


@cache
def policies() -> Mapping[str, Mapping[str, Any]]:
    """Read the paper's policies.

    Returns:
        By short name: `model`, its Hub repository; `revision`, a commit, or None where none is known, so that the
        newest is resolved and sealed when a run begins; and `parameters`, in billions.
    """
    found: Mapping[str, Mapping[str, Any]] = _read("paper", "policies")
    return found


@cache
def _trees() -> Mapping[str, dict[str, Any]]:
    trees: dict[str, dict[str, Any]] = {}
    for folder in _FOLDERS:
        entries = sorted(entry.name for entry in files("plum_hub.recipes").joinpath(folder).iterdir())
        for stem in (name.removesuffix(".yaml") for name in entries if name.endswith(".yaml")):
            if stem in _NOT_EXPERIMENTS:
                continue
            tree = _read(folder, stem)
            if "policies" not in tree:
                trees[f"{folder}/{stem}"] = tree
                continue
            for policy in tree["policies"]:
                trees[f"{folder}/{stem}/{policy}"] = merged(tree["experiment"], _of_policy(policy))
    return trees


def _of_policy(name: str) -> dict[str, Any]:
    """Return the keys that a policy decides."""
    facts = policies()[name]
    engine = {"type": "vllm", "model": facts["model"], "revision": facts["revision"]}
    return {"data": {"policy": engine}, "costs": {"parameters": facts["parameters"]}}


def _read(folder: str, stem: str) -> dict[str, Any]:
    content = files("plum_hub.recipes").joinpath(folder, f"{stem}.yaml").read_text(encoding="utf-8")
    tree: dict[str, Any] = plain_yaml.load(content)
    return tree
