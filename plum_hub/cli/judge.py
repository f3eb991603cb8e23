"""`plum-hub judge`: any programs against any suites, with no run folder."""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("samples", type=click.Path(path_type=Path))
@click.option("--suites", type=click.Path(path_type=Path), required=True, help="What the programs are judged by.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the verdicts go, one a line.")
@click.option(
    "--workers", type=click.IntRange(1, 1024), help="Programs that run at a time.  [default: one on each core]"
)
@click.option("--cpu-limit", type=float, metavar="SECONDS", help="CPU time of a program.  [default: 5]")
@click.option(
    "--wall-limit",
    type=float,
    metavar="SECONDS",
    help="The stop behind it, for programs that sleep.  [default: 60, or 12 times the CPU limit]",
)
@click.option("--memory-limit", type=int, metavar="MB", help="Address space of a program.  [default: 1024]")
@click.option(
    "--mypy/--no-mypy",
    default=False,
    show_default=True,
    help="Also reject, before it runs, what mypy calls broken, as a build does.",
)
@click.option(
    "--sandbox",
    type=click.Choice(["auto", "jail", "landlock", "docker"]),
    default="auto",
    show_default=True,
    help="What isolates; auto takes the first that can be had.",
)
@click.option("--numpy", is_flag=True, help="Let programs import numpy.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors and the result only.")
def judge(as_json: bool, quiet: bool, **given: Any) -> None:
    """Judge the programs in SAMPLES by test suites, in isolation.

    SAMPLES has the columns sample_id, instruction_id and code (a program, or null). The suites have instruction_id,
    entry_point (may be missing, for a script) and cases: a list of assertions in Python, or of objects with call and
    expected (and tolerance), with statement, or with stdin and stdout; or one test module as text, whose pytest and
    unittest tests are run. Both are .jsonl, .json (also .gz) or .parquet files; those of a run or of a published
    dataset will do.

    A verdict has sample_id, instruction_id, status, cases (outcome, detail, judged), detail, output, cpu_seconds,
    peak_memory_mb and harness (versions and limits). Run the same command again to go on after an interruption.

    \b
    Example:
      plum-hub judge samples.jsonl --suites suites.jsonl --out verdicts.jsonl
    """
    from plum_hub.cli import screen
    from plum_hub.cli.judge_options import order, show_count
    from plum_hub.judging.verdict_file import judge_file

    wanted = order(given)
    progress = screen.progress(quiet)
    try:
        count = judge_file(wanted, progress)
    finally:
        progress.close()
    show_count(wanted, count, as_json=as_json)
