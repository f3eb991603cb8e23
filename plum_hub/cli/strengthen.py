"""`plum-hub strengthen`: add cases to the suites of a published dataset."""

from typing import Any

import click

from plum_hub.cli.help import SectionedCommand, options
from plum_hub.cli.options import AS_JSON, BENCHMARK_DATA, QUIET, Count, FilePath, publishing


@click.command(cls=SectionedCommand, short_help="Add test cases to a published dataset.")
@click.argument("source", metavar="RUN|REPO@TAG")
@options(
    "Cases",
    click.option("--most", type=Count(1), default=5, show_default=True, help="Most new cases of a suite."),
    click.option(
        "--by",
        type=click.Choice(["mutants", "samples", "inputs"]),
        default="mutants",
        show_default=True,
        help="Cases that fail a mutant which the suite lets pass, then those that tell samples apart, or any inputs.",
    ),
    click.option("--run", type=FilePath, help="Folder to work in.  [default: runs/NAME-TAG-stronger]"),
    click.option("--dry-run", is_flag=True, help="Only tell how many cases would be added."),
)
@options("Publishing", *publishing("that of the release"), BENCHMARK_DATA)
@options("Output", AS_JSON, QUIET)
def strengthen(source: str, as_json: bool, quiet: bool, **given: Any) -> None:
    """Add test cases to the suites of a published dataset, judge its samples again, and publish the next version.

    Inputs are variations of those of each suite, and its reference solution gives the expected values. Only samples of
    suites that get cases are judged again; no model is asked. A run folder stands for its last release. After an
    interruption, run the same command again to resume.

    \b
    Examples:
      plum-hub strengthen me/plum-starter@v1.0.0 --dry-run
      plum-hub strengthen me/plum-starter@v1.0.0
      plum-hub diff me/plum-starter v1.0.0 v1.1.0
    """
    from plum_hub.api.strengthening import strengthen as strengthen_release
    from plum_hub.cli import reporters, screen, tables

    with reporters.progress(quiet) as progress:
        result = strengthen_release(source, **given, progress=progress)
    screen.show(result, tables.strengthened, as_json=as_json)
