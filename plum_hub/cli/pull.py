"""`plum-hub pull`: begin a run from a release."""

from pathlib import Path

import click


@click.command()
@click.argument("release", metavar="REPO@TAG")
@click.option("--run", "folder", type=click.Path(path_type=Path), required=True, help="The new run's folder.")
@click.option(
    "--hub",
    default="auto",
    show_default=True,
    help="auto (the Hub with a token, else embedded), public, embedded or a URL.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as one JSON object.")
def pull(release: str, folder: Path, hub: str, as_json: bool) -> None:
    """Make a run folder from a published dataset, with its instructions, suites, samples and verdicts.

    Go on with it as with any run: look at it (status, show), publish it elsewhere (push-dataset), have more sampled, or
    take its rows over into a run of your own (build-dataset --carry-over).

    \b
    Example:
      plum-hub pull me/plum-starter@v1.0.0 --run runs/starter
    """
    from plum_hub.cli.screen import echo_json, facts, summary_tables
    from plum_hub.pipeline.pull import pull as pull_release
    from plum_hub.pipeline.status import summarise

    summary = summarise(pull_release(release, folder, hub))
    if as_json:
        echo_json({"run": str(folder), **summary.as_json()})
    else:
        summary_tables(summary)
        facts([("run", str(folder))])
