"""`plum-hub hf-extension`: make `hf plum` run plum-hub."""

import click


@click.command("hf-extension", short_help="Make `hf plum ...` run plum-hub.")
def hf_extension() -> None:
    """Make `hf plum ...` run this installation of plum-hub.

    \b
    Example:  plum-hub hf-extension && hf plum build-dataset --help
    """
    from plum_hub.hubs.hf_extension import register

    click.echo(f"hf plum now runs this plum-hub (registered in {register()})")
