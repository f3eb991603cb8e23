"""Commands that go on with a run or make it anew, as messages name them."""

from pathlib import Path
from shlex import quote


def finished(folder: Path) -> str:
    """Write the command that finishes a run, for a shell.

    Args:
        folder: The run.

    Returns:
        The command.
    """
    return f"plum-hub build-dataset --recipe {quote(str(folder / 'recipe.yaml'))} --run {quote(str(folder))}"


def made_anew(folder: Path) -> str:
    """Write the command that makes a run anew beside it, with what is still valid of it, for a shell.

    Args:
        folder: The run.

    Returns:
        The command.
    """
    return f"plum-hub build-dataset --recipe {quote(str(folder / 'recipe.yaml'))} {beside(folder)}"


def beside(folder: Path) -> str:
    """Write the options of a new run beside an old one, with what is still valid of it, for a shell.

    Args:
        folder: The old run.

    Returns:
        The options.
    """
    new = f"{folder if folder.name else folder.absolute()}-2"
    return f"--run {quote(new)} --carry-over {quote(str(folder))}"
