"""`plum-hub pull`: begin a run from a release."""

from pathlib import Path

import click

from plum_hub.cli.options import AS_JSON, FilePath, read_hub


@click.command(short_help="Turn a published dataset back into a run folder.")
@click.argument("release", metavar="REPO@TAG")
@click.option("--run", "folder", type=FilePath, required=True, help="The new run folder.")
@read_hub()
@AS_JSON
def pull(release: str, folder: Path, hub: str, as_json: bool) -> None:
    """Turn a published dataset back into a run folder, with its instructions, suites, samples and verdicts.

    Use it like any other run: look at it (status, show), publish it elsewhere (push-dataset), sample more answers, or
    reuse its rows in a run of your own (build-dataset --carry-over).

    \b
    Example:
      plum-hub pull me/plum-starter@v1.0.0 --run runs/starter
    """
    from plum_hub.cli import screen, tables
    from plum_hub.pipeline.pull import pull as pull_release
    from plum_hub.pipeline.status import summarise

    summary = summarise(pull_release(release, folder, hub))
    if as_json:
        screen.echo_json({"run": str(folder), **summary.as_json()})
    else:
        tables.run_status(summary)
        screen.facts([("run", str(folder))])
