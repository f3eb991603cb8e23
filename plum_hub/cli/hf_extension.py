"""`plum-hub hf-extension`: teach `hf` the word `plum`."""

import click


@click.command("hf-extension")
def hf_extension() -> None:
    """Make `hf plum ...` run this plum-hub.

    \b
    Example:  plum-hub hf-extension && hf plum build-dataset --help
    """
    from plum_hub.hubs.hf_extension import register

    click.echo(f"hf plum runs this plum-hub now (noted in {register()})")
