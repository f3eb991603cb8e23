"""`plum-hub status`: the progress of a run."""

from pathlib import Path

import click

from plum_hub.cli.options import AS_JSON, FilePath


@click.command(short_help="Show the progress of a run, and what was left out.")
@click.argument("run", type=FilePath)
@AS_JSON
def status(run: Path, as_json: bool) -> None:
    """Show the progress of the run in folder RUN: rows made and wanted, what was left out and why.

    A stage is complete when its rows and those left out add up to the rows wanted; for instructions, the rows alone.

    \b
    Example:  plum-hub status runs/starter-qwen2.5-coder-0.5b-instruct
    """
    from plum_hub.cli import screen, tables
    from plum_hub.pipeline.status import is_running, summarise
    from plum_hub.release.record import last_release
    from plum_hub.run import Run

    opened = Run.open(run)
    summary, busy, released = summarise(opened), is_running(opened), last_release(opened.folder)
    place = {"repo": released.repo, "tag": released.tag} if released else None
    if as_json:
        screen.echo_json({**summary.as_json(), "at_work": busy, "last_release": place})
    else:
        tables.run_status(summary)
        last = f"{released.repo} {released.tag}" if released else "none yet"
        screen.facts([("at work", "yes, a process is on it now" if busy else "no"), ("last release", last)])
