"""Options that several commands have."""

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from typing_extensions import override

from plum_hub.home import expanded


class Count(click.IntRange):
    """A whole number within bounds, which help and errors call so, and not an `INTEGER RANGE`."""

    name = "whole number"

    @override
    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """See `click.ParamType`."""
        return "N"


class Amount(click.FloatRange):
    """A number within bounds, which help and errors call so, and not a `FLOAT RANGE`."""

    name = "number"


class UserPath(click.Path):
    """A path of the user's, with the home folder for `~`, which a shell leaves in `--run=~/x`."""

    def __init__(self, *, exists: bool = False) -> None:
        """Create the type.

        Args:
            exists: Whether there has to be such a file or folder.
        """
        super().__init__(exists=exists, path_type=Path)

    @override
    def convert(self, value: "str | os.PathLike[str]", param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        return super().convert(expanded(value), param, ctx)


FilePath = UserPath()

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Print only errors and the result.")
WORKERS = click.option("--workers", type=Count(1, 1024), help="Programs that run at a time.  [default: one per core]")
SANDBOX = click.option(
    "--sandbox",
    type=click.Choice(["auto", "jail", "landlock", "docker"]),
    default="auto",
    show_default=True,
    help="How programs are isolated; auto takes the first that this machine supports.",
)
PRIVATE = click.option("--private", is_flag=True, help="Create the repository as private.")
BENCHMARK_DATA = click.option(
    "--benchmark-data",
    type=UserPath(exists=True),
    help="A folder of benchmarks, as in evaluate --data; rows that contain their problems are left out.",
)
RECIPE = click.option(
    "--recipe", type=FilePath, help="A YAML file with any keys of the recipe, or the name of a shipped recipe."
)
SUITES = click.option(
    "--suites",
    metavar="SOURCE",
    help="Take instructions and test suites from a published dataset (REPO@TAG), or from a file or Hub dataset whose "
    "rows have tests of their own: FILE[:COLUMN] or REPO[:COLUMN]; `rows` for those of --instructions.",
)
METHOD = click.option(
    "--method", type=click.Choice(["kto", "dpo", "sft"]), default="kto", show_default=True, help="Training method."
)


def setting(about: str) -> Callable[[Any], Any]:
    """Return `--set`.

    Args:
        about: What is set, with an example.
    """
    return click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=f"{about} Can be repeated.")


_PUBLISH_HUB = "auto (the Hub if there is a token, else embedded), public, embedded, a URL, or none."
_READ_HUB = "auto (the Hub if there is a token, else embedded, else public), public, embedded, or a URL."


def publish_hub() -> Callable[[Any], Any]:
    """Return `--hub` of a command that publishes."""
    return click.option("--hub", default="auto", show_default=True, help=_PUBLISH_HUB)


def read_hub() -> Callable[[Any], Any]:
    """Return `--hub` of a command that reads a release."""
    return click.option("--hub", default="auto", show_default=True, help=_READ_HUB)


def publishing(default_repo: str) -> tuple[Callable[[Any], Any], ...]:
    """Return the options of a release.

    Args:
        default_repo: How the repository is named by default.

    Returns:
        Decorators, in the order of the help.
    """
    return (
        click.option("--repo", help=f"Repository, NAME or NAMESPACE/NAME.  [default: {default_repo}]"),
        publish_hub(),
        PRIVATE,
        click.option("--tag", help="Tag of the release.  [default: the version that follows from the content]"),
        click.option("--branch", default="main", show_default=True, help="Branch to commit to."),
        click.option("--create-pr", is_flag=True, help="Open a pull request instead; nothing is tagged."),
    )


def accepted(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a command's options that a function has a parameter for.

    Args:
        function: A function of the API.
        given: The values of the command's options, by parameter name.

    Returns:
        Keyword arguments for the function.
    """
    return {name: given[name] for name in inspect.signature(function).parameters if name in given}
