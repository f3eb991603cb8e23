"""Shipped recipes. `--recipe NAME` selects one; by default the one named after the instructions is used, if there is
one.
"""

from importlib.resources import files


def names() -> list[str]:
    """Return the names of the shipped recipes, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")
    )


def text(name: str) -> str | None:
    """Return a shipped recipe's YAML.

    Args:
        name: Name of the recipe.

    Returns:
        The YAML; None if there is no such recipe.
    """
    return (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8") if name in names() else None
