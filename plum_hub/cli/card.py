"""`plum-hub card`: a run's card before it is published."""

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--preview", is_flag=True, help="Show it as it will look, here and as a page for the browser.")
def card(run: Path, preview: bool) -> None:
    """Show the card that the run in folder RUN would be published with.

    The whole tree of the release is written to RUN/release/dataset, and nothing is published.

    \b
    Example:
      plum-hub card runs/starter-qwen2.5-coder-0.5b-instruct --preview
    """
    from plum_hub.cli.screen import facts, show_markdown
    from plum_hub.run import Run
    from plum_hub.stages.base import Context
    from plum_hub.stages.preview import card_of, write_page

    context = Context(run=Run.open(run))
    text = card_of(context)
    if preview:
        show_markdown(text)
        facts([("page", str(write_page(context, text)))])
    else:
        click.echo(text)
