"""Named experiments. `--recipe NAME` takes one; without it, the one named after the instructions, if there is one."""

from importlib.resources import files


def names() -> list[str]:
    """The shipped recipes."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")
    )


def text(name: str) -> str | None:
    """A shipped recipe's YAML, or None where there is none of this name."""
    return (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8") if name in names() else None
