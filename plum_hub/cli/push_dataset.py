"""`plum-hub push-dataset`: publish a complete run."""

from pathlib import Path
from typing import Any

import click

from plum_hub.cli.help import SectionedCommand, options
from plum_hub.cli.options import AS_JSON, BENCHMARK_DATA, QUIET, FilePath, publishing


@click.command("push-dataset", cls=SectionedCommand, short_help="Publish a complete run as a dataset.")
@click.argument("run", type=FilePath)
@options("Publishing", *publishing("that of the last release, else plum-INSTRUCTIONS-MODEL"), BENCHMARK_DATA)
@options("Output", AS_JSON, QUIET)
def push_dataset(run: Path, as_json: bool, quiet: bool, **given: Any) -> None:
    """Publish the complete run in folder RUN as a versioned dataset.

    The first release is v1.0.0. After it, other columns make a major version, other rows a minor one, another card a
    patch; equal content makes none. All files are uploaded in one commit, read back, compared, and only then tagged.
    After an interruption or an error, run the same command again to resume.

    \b
    Example:
      plum-hub push-dataset runs/starter-qwen2.5-coder-0.5b-instruct --repo me/plum-starter
    """
    from plum_hub.api.dataset import push_dataset as push
    from plum_hub.cli import reporters, screen, tables

    with reporters.progress(quiet) as progress:
        released = push(run, **given, progress=progress)
    screen.show(released, tables.dataset_release, as_json=as_json)
