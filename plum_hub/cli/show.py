"""`plum-hub show`: one instruction from its text to its labels."""

from pathlib import Path

import click

from plum_hub.cli.options import FilePath
from plum_hub.errors import UsageError


@click.command(short_help="Show one instruction with its suite, answers and labels.")
@click.argument("run", type=FilePath)
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def show(run: Path, id: str, as_json: bool) -> None:  # noqa: A002 - click names the argument
    """Show one instruction of a run on one screen: its suite, its samples, their verdicts and labels.

    ID is the id, or its first digits, of the instruction or of any row made from it. The id of a sample or of its
    verdict also shows the answer's text and the outcome of each case; that of a dropped row shows why it was left out.

    \b
    Example:  plum-hub show runs/starter-qwen2.5-coder-0.5b-instruct 3f2a
    """
    from plum_hub.cli import screen, tables
    from plum_hub.pipeline.show import look_up
    from plum_hub.run import Run

    if not run.exists() and Path(id).is_dir():
        raise UsageError(f"{run} is no folder: name the run first, as in  plum-hub show {id} {run}")
    screen.show(look_up(Run.open(run), id), tables.instruction, as_json=as_json)
