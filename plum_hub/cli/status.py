"""`plum-hub status`: how far a run is."""

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as one JSON object.")
def status(run: Path, as_json: bool) -> None:
    """Show how far the run in folder RUN is: rows made and wanted, what was left out and why.

    A stage is done when its rows and those left out make up what is wanted; of instructions, the rows alone.

    \b
    Example:  plum-hub status runs/starter-qwen2.5-coder-0.5b-instruct
    """
    from plum_hub.cli.screen import echo_json, facts, summary_tables
    from plum_hub.pipeline.status import is_running, last_release, summarise
    from plum_hub.run import Run

    opened = Run.open(run)
    summary, busy, released = summarise(opened), is_running(opened), last_release(opened)
    if as_json:
        echo_json({**summary.as_json(), "at_work": busy, "last_release": released})
    else:
        summary_tables(summary)
        last = f"{released['repo']} {released['tag']}" if released else "none yet"
        facts([("at work", "yes, a process is on it now" if busy else "no"), ("last release", last)])
