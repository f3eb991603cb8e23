"""`plum-hub push-dataset`: publish a run that is already made."""

from pathlib import Path
from typing import Any

import click

from plum_hub.cli.destination import destination_options


@click.command("push-dataset")
@click.argument("run", type=click.Path(path_type=Path))
@destination_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors and the result only.")
def push_dataset(run: Path, as_json: bool, quiet: bool, **given: Any) -> None:
    """Publish the complete run in folder RUN as a versioned dataset.

    A first release is v1.0.0. After it, other columns make a major version, other rows a minor one, another card a
    patch; the same content makes none. All files go up in one commit, are read back and compared, and only then
    tagged. After whatever went wrong, run the same command again: it goes on from there.

    \b
    Example:
      plum-hub push-dataset runs/starter-qwen2.5-coder-0.5b-instruct --repo me/plum-starter
    """
    from plum_hub.cli.releasing import PublishArguments, push_run

    push_run(run, PublishArguments(**given), as_json=as_json, quiet=quiet)
