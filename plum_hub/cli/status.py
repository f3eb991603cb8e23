"""`plum-hub status`: how far a run is."""

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as one JSON object.")
def status(run: Path, as_json: bool) -> None:
    """Show how far the run in folder RUN is: rows of each stage, what was left out and why.

    \b
    Example:  plum-hub status runs/starter-qwen2.5-coder-0.5b-instruct
    """
    from plum_hub.cli.screen import echo_json, summary_tables
    from plum_hub.run import Run
    from plum_hub.stages.summary import summarise

    summary = summarise(Run.open(run))
    if as_json:
        echo_json(summary.as_json())
    else:
        summary_tables(summary)
