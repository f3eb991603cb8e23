"""`plum-hub card`: the card of a run or a checkpoint before it is published."""

from pathlib import Path

import click

from plum_hub.cli.options import FilePath


@click.command(short_help="Show the card that a run or checkpoint would have.")
@click.argument("folder", metavar="RUN", type=FilePath)
@click.option("--preview", is_flag=True, help="Render it, in the terminal and as a page for the browser.")
def card(folder: Path, preview: bool) -> None:
    """Show the card that the run, or the checkpoint, in folder RUN would be published with.

    All files of the release are written to RUN/release, and nothing is published.

    \b
    Example:
      plum-hub card runs/starter-qwen2.5-coder-0.5b-instruct --preview
    """
    from plum_hub.cli.screen import facts, show_markdown
    from plum_hub.publishing.preview import read_card, write_page, write_tree

    tree = write_tree(folder)
    text = read_card(tree)
    if preview:
        show_markdown(text)
        facts([("page", str(write_page(tree, text)))])
    else:
        click.echo(text)
