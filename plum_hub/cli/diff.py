"""`plum-hub diff`: what changed from one version of a dataset to another."""

import click

from plum_hub.cli.options import read_hub


@click.command(short_help="Compare two versions of a dataset, row by row.")
@click.argument("repo")
@click.argument("old")
@click.argument("new")
@read_hub()
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object, row by row.")
def diff(repo: str, old: str, new: str, hub: str, as_json: bool) -> None:
    """Show what became of the rows of version OLD of a dataset in version NEW, and why.

    For each config: rows added, removed and changed. A row was removed, or added, with its instruction, its suite, the
    policy or the number of samples, or because it was left out; a changed row names the columns that differ. A label
    that flipped (chosen in one version, rejected in the other) names everything that differs between its two runs:
    suite, generator, strengthening, policy, harness, limits. A sample is matched by its id, else by the same answer to
    the same instruction, else by its number.

    \b
    Example:
      plum-hub diff me/plum-starter v1.0.0 v1.1.0
    """
    from plum_hub.cli import findings, screen
    from plum_hub.verification.diff import diff as compare

    screen.show(compare(repo, old, new, hub), findings.show_difference, as_json=as_json)
