"""`plum-hub diff`: what changed from one version of a dataset to another."""

import click


@click.command()
@click.argument("repo")
@click.argument("old")
@click.argument("new")
@click.option(
    "--hub",
    default="auto",
    show_default=True,
    help="auto (the Hub with a token, else embedded, else public), public, embedded, or a URL.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object, row by row.")
def diff(repo: str, old: str, new: str, hub: str, as_json: bool) -> None:
    """Show what became of the rows of version OLD of a dataset in version NEW, and why.

    For each config: rows added, removed and changed. A row has gone, or come, with its instruction, its suite, the
    policy or the number of samples, or because it was left out; a changed row names the columns that differ. A label
    that flipped (chosen in one version, rejected in the other) names all that differs between its two runs: suite,
    generator, policy, harness, limits. A sample is found again by its id, else by the same answer to the same
    instruction, else by its number.

    \b
    Example:
      plum-hub diff me/plum-starter v1.0.0 v1.1.0
    """
    from plum_hub.cli.findings import show_difference
    from plum_hub.verification.diff import diff as compare

    show_difference(compare(repo, old, new, hub), as_json=as_json)
