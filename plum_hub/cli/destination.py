"""The options that say where a release goes and how, shared by the commands that make one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

_CommandT = TypeVar("_CommandT", bound=Callable[..., Any])

_REPO = "Where to publish: NAME or NAMESPACE/NAME.  [default: {}]"
_PLACES = (
    click.option(
        "--hub",
        default="auto",
        show_default=True,
        help="auto (the Hub with a token, else embedded), public, embedded, a URL, or none.",
    ),
    click.option("--private", is_flag=True, help="Make the repository private."),
    click.option("--tag", help="The release's tag.  [default: the version that follows from the content]"),
    click.option("--branch", default="main", show_default=True, help="The branch to commit to."),
    click.option("--create-pr", is_flag=True, help="Propose the release as a pull request; nothing is tagged."),
)
_BENCHMARKS = click.option(
    "--benchmark-data",
    type=click.Path(exists=True, path_type=Path),
    help="A folder of benchmarks, as evaluate --data: what is found in them is left out.",
)


def destination_options(command: _CommandT) -> _CommandT:
    """Give a command the options of `plum_hub.cli.releasing.Where` for a dataset."""
    repo = click.option("--repo", help=_REPO.format("plum-INSTRUCTIONS-MODEL"))
    return _given((repo, *_PLACES, _BENCHMARKS), command)


def model_destination_options(command: _CommandT) -> _CommandT:
    """Give a command the options of `plum_hub.cli.releasing.Where` for a model."""
    repo = click.option("--repo", help=_REPO.format("MODEL-plum-METHOD"))
    return _given((repo, *_PLACES), command)


def _given(options: Sequence[Callable[[_CommandT], _CommandT]], command: _CommandT) -> _CommandT:
    for option in reversed(options):
        command = option(command)
    return command
