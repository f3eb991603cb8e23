"""`plum-hub show`: one instruction from its text to its labels."""

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def show(run: Path, id: str, as_json: bool) -> None:  # noqa: A002 - click names the argument
    """Show one instruction of a run on one screen: its suite, its samples, their verdicts and labels.

    ID is the id, or its first digits, of the instruction or of any row made from it. A sample's id, or its
    verdict's, also shows its text and what happened in each case; a dropped row's id shows why it was left out.

    \b
    Example:  plum-hub show runs/starter-qwen2.5-coder-0.5b-instruct 3f2a
    """
    from plum_hub.cli.screen import echo_json, story_screen
    from plum_hub.pipeline.show import look_up
    from plum_hub.run import Run

    found = look_up(Run.open(run), id)
    if as_json:
        echo_json(found.as_json())
    else:
        story_screen(found)
