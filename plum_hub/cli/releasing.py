"""What the options of a release mean, and how a release is shown."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from plum_hub.cli import screen
from plum_hub.errors import UsageError
from plum_hub.hubs.client import choose_target
from plum_hub.pipeline.base import Context
from plum_hub.publishing.push_dataset import push
from plum_hub.publishing.repository import PublishOptions, Released
from plum_hub.run import Run

_REPO = re.compile(r"(?:[A-Za-z0-9][\w-]*/)?(?!.*(?:--|\.\.))[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
"""What huggingface_hub's `validate_repo_id` lets through."""
_REF = re.compile(r"(?![/.-])(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)))[^\s~^:?*\[\\\x00-\x1f\x7f]+(?<![/.])")
"""What git takes as the name of a branch or tag."""


@dataclass(frozen=True, kw_only=True)
class PublishArguments:
    """The options of `plum_hub.cli.destination`, as typed."""

    repo: str | None
    hub: str
    private: bool
    tag: str | None
    branch: str
    create_pr: bool
    benchmark_data: Path | None = None

    def destination(self) -> PublishOptions | None:
        """Where to publish, as far as that can be checked before hours of work; None for nowhere.

        Raises:
            UsageError: the options do not fit together, or are no names.
            HubError: there is no such Hub.
        """
        if self.hub == "none":
            if self.repo or self.private or self.tag or self.create_pr or self.branch != "main":
                raise UsageError(
                    "--hub none publishes nothing; leave --repo, --private, --tag, --branch and --create-pr out, "
                    "or name a Hub"
                )
            return None
        if self.repo is not None and not _REPO.fullmatch(self.repo):
            raise UsageError(
                f"--repo {self.repo}: a Hub takes NAME or NAMESPACE/NAME of letters, digits and single - _ . between "
                "them"
            )
        for option, name in (("--tag", self.tag), ("--branch", self.branch)):
            if name is not None and not _REF.fullmatch(name):
                raise UsageError(f"{option} {name}: git takes no such name; write it as v1.2.0 or as my-branch")
        choose_target(self.hub)
        return PublishOptions(
            hub=self.hub,
            repo=self.repo,
            private=self.private,
            tag=self.tag,
            branch=self.branch,
            create_pr=self.create_pr,
        )


def push_run(folder: Path, where: PublishArguments, *, as_json: bool, quiet: bool) -> None:
    """Publish a run, and show what came of it."""
    destination = where.destination()
    progress = screen.progress(quiet)
    context = Context(run=Run.open(folder), progress=progress, benchmark_data=where.benchmark_data)
    try:
        released = push(context, destination)
    finally:
        progress.close()
    if as_json:
        screen.echo_json(asdict(released))
        return
    screen.facts(released.facts())
    show_how_to_load(released)


def show_how_to_load(released: Released, imports: str = "from datasets import load_dataset\n") -> None:
    """What a user pastes to load the release, after the line that imports what it calls."""
    if released.load_line:
        if released.hub == "embedded":
            click.echo("\n# in another terminal:  plum-hub hub serve\nexport HF_ENDPOINT=http://127.0.0.1:8077")
        elif released.endpoint:
            click.echo(f"\nexport HF_ENDPOINT={released.endpoint}")
        click.echo(f"\n{imports}{released.load_line}")
