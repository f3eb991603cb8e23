"""`plum-hub card`: the card of a run or a checkpoint before it is published."""

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--preview", is_flag=True, help="Show it as it will look, here and as a page for the browser.")
def card(folder: Path, preview: bool) -> None:
    """Show the card that the run, or the checkpoint, in folder RUN would be published with.

    The whole tree of the release is written to RUN/release, and nothing is published.

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
