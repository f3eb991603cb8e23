"""What `push-model` does with its options, and how it shows what came of it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from plum_hub.cli import screen
from plum_hub.cli.releasing import PublishArguments, show_how_to_load
from plum_hub.publishing.model import ModelPublishRequest, push_model

_WHERE = ("repo", "hub", "private", "tag", "branch", "create_pr")


def push_checkpoint(given: Mapping[str, Any]) -> None:
    """Publish a checkpoint.

    Raises:
        PlumError: with its exit code.
    """
    destination = PublishArguments(**{name: given[name] for name in _WHERE}).destination()
    names = ("checkpoint", "weights", "base", "base_license", "run", "results")
    progress = screen.progress(given["quiet"])
    try:
        released = push_model(ModelPublishRequest(**{name: given[name] for name in names}), destination, progress)
    finally:
        progress.close()
    if given["as_json"]:
        screen.echo_json(asdict(released))
        return
    screen.facts(released.facts())
    show_how_to_load(released, "")
