"""`plum-hub judge`: any programs against any test suites, without a run folder."""

from pathlib import Path
from typing import Any

import click

from plum_hub.cli.help import SectionedCommand, options
from plum_hub.cli.options import AS_JSON, QUIET, SANDBOX, WORKERS, FilePath


@click.command(cls=SectionedCommand, short_help="Judge any programs by any test suites.")
@click.argument("samples", type=FilePath)
@options(
    "Files",
    click.option("--suites", type=FilePath, required=True, help="The test suites."),
    click.option("--out", type=FilePath, required=True, help="The file of verdicts, one per line (.jsonl)."),
)
@options(
    "Limits",
    click.option("--cpu-limit", type=float, metavar="SECONDS", help="CPU time of a program.  [default: 5]"),
    click.option(
        "--wall-limit",
        type=float,
        metavar="SECONDS",
        help="Wall time of a program, for those that sleep.  [default: 60, or 12 times the CPU limit]",
    ),
    click.option("--memory-limit", type=int, metavar="MB", help="Address space of a program.  [default: 1024]"),
)
@options(
    "Execution",
    SANDBOX,
    WORKERS,
    click.option("--numpy", is_flag=True, help="Allow programs to import numpy."),
    click.option("--pandas", is_flag=True, help="Allow programs to import pandas and numpy."),
    click.option(
        "--mypy/--no-mypy",
        default=False,
        show_default=True,
        help="Reject programs that mypy finds broken before they run, as a build does.",
    ),
)
@options("Output", AS_JSON, QUIET)
def judge(samples: Path, as_json: bool, quiet: bool, **given: Any) -> None:
    """Judge the programs in SAMPLES by test suites, in isolation.

    SAMPLES has the columns sample_id, instruction_id and code (a program, or null). The suites have instruction_id,
    entry_point (optional, absent for a script) and cases: a list of assertions in Python, or of objects with call and
    expected (and tolerance), with statement, or with stdin and stdout; or one test module as text, whose pytest and
    unittest tests are run. Both are JSON lines, JSON, CSV (each also compressed), Parquet or Arrow files, or folders of
    them, such as those of a run or of a published dataset.

    A verdict has sample_id, instruction_id, status, cases (outcome, detail, judged), detail, output, cpu_seconds,
    peak_memory_mb and harness (versions and limits). To resume after an interruption, run the same command again.

    A suite that cannot be read, or could fail no program, is refused. Its samples have no verdict: they are counted,
    and named with the suite's file and line in a file beside the verdicts (.dropped.jsonl). The exit code is 0 if
    others can be judged. Correct the suites and run the same command again to judge the rest.

    \b
    Example:
      plum-hub judge samples.jsonl --suites suites.jsonl --out verdicts.jsonl
    """
    from plum_hub.api.judgement import judge as judge_programs
    from plum_hub.cli import reporters, screen, tables

    with reporters.progress(quiet) as progress:
        result = judge_programs(samples, **given, progress=progress)
    screen.show(result, tables.judgement, as_json=as_json)
