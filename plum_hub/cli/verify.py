"""`plum-hub verify`: whether a published dataset or model is what it says."""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("release", metavar="REPO@TAG")
@click.option("--sample", type=click.IntRange(1), help="Judge so many samples only, drawn at random.  [default: all]")
@click.option("--seed", type=int, help="Draws them: the same seed, the same samples.  [default: a new one]")
@click.option("--commit", metavar="SHA", help="The commit that TAG stands for, by your own record.")
@click.option(
    "--run", type=click.Path(path_type=Path), help="The run that published it, whose list of releases is a record too."
)
@click.option(
    "--hub",
    default="auto",
    show_default=True,
    help="auto (the Hub with a token, else embedded, else public), public, embedded, or a URL.",
)
@click.option(
    "--workers", type=click.IntRange(1, 1024), help="Programs that run at a time.  [default: one on each core]"
)
@click.option(
    "--sandbox",
    type=click.Choice(["auto", "jail", "landlock", "docker"]),
    default="auto",
    show_default=True,
    help="What isolates; auto takes the first that can be had.",
)
@click.option("--kind", type=click.Choice(["dataset", "model"]), help="What REPO is.  [default: whichever there is]")
@click.option("--base", type=click.Path(path_type=Path), help="Of a model: a copy of its base, to be compared.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors and the result only.")
def verify(**given: Any) -> None:
    """Check a published dataset or model on your own machine.

    Downloads the release and checks that every file has the sha256 of the manifest, every id is the digest of what its
    row was made from, kto, dpo, sft and dropped are what samples and verdicts give under the recipe, and every program
    comes to the same status once more. Exits with 0 if everything agrees, else with 14 and a list of what does not.

    Of a model it checks hashes, weights and tag, that the dataset holds the very rows that were trained on, then that
    dataset as above, and the base.

    A tag that was moved to another whole release is seen only against a record: --commit, --run, or what was used on
    this machine before.

    \b
    Example:
      plum-hub verify me/plum-starter@v1.0.0 --sample 500
    """
    from plum_hub.cli.findings import carry_out_verify

    carry_out_verify(given)
