"""`plum-hub verify`: whether a published dataset or model is what it says."""

from typing import Any

import click

from plum_hub.cli.help import SectionedCommand, options
from plum_hub.cli.options import AS_JSON, QUIET, SANDBOX, WORKERS, Count, FilePath, read_hub


@click.command(cls=SectionedCommand, short_help="Check that a published dataset or model is what it says.")
@click.argument("release", metavar="REPO@TAG")
@options(
    "Release",
    read_hub(),
    click.option("--kind", type=click.Choice(["dataset", "model"]), help="What REPO is.  [default: whichever exists]"),
    click.option("--commit", metavar="SHA", help="The commit that TAG stands for, by your own record."),
    click.option("--run", type=FilePath, help="The run that published it, whose list of releases is a record too."),
    click.option("--base", type=FilePath, help="Of a model: a copy of its base, to be compared."),
)
@options(
    "Judging",
    click.option("--sample", type=Count(1), help="Judge this many samples, drawn at random.  [default: all]"),
    click.option("--seed", type=int, help="Seed of that draw.  [default: a new one]"),
    SANDBOX,
    WORKERS,
)
@options("Output", AS_JSON, QUIET)
def verify(release: str, as_json: bool, quiet: bool, **given: Any) -> None:
    """Check a published dataset or model on your own machine.

    Downloads the release and checks that every file has the sha256 of the manifest, every id is the digest of what its
    row was made from, kto, dpo, sft and dropped are what samples and verdicts give under the recipe, and every program
    comes to the same status once more. Exits with 0 if everything agrees, else with 14 and a list of the mismatches.

    Of a model it checks hashes, weights and tag, that the dataset holds the very rows that were trained on, then that
    dataset as above, and the base.

    A tag that was moved to another complete release can only be detected with a record: --commit, --run, or what was
    used on this machine before.

    \b
    Example:
      plum-hub verify me/plum-starter@v1.0.0 --sample 500
    """
    from plum_hub.api.verification import verify as verify_release
    from plum_hub.cli import findings, reporters, screen
    from plum_hub.errors import VerificationError

    with reporters.progress(quiet) as progress:
        report = verify_release(release, **given, progress=progress)
    screen.show(report, findings.show_report, as_json=as_json)
    if not report.agrees:
        raise VerificationError(
            f"{release} is not what it says: {report.differing:,} mismatches; do not rely on it, and report the list "
            "to its publisher"
        )
