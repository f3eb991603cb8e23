"""`plum-hub views`: the same verdicts under other labelling rules."""

from pathlib import Path
from typing import Any

import click

from plum_hub.cli.options import AS_JSON, QUIET, FilePath, read_hub, setting


@click.command(short_help="Label the same verdicts under other rules.")
@click.argument("source", metavar="RUN|REPO@TAG")
@click.option("--rule", help="plum, margin, near-miss, non-executable, both, ...  [default: compare all]")
@setting("Set a key of preferences.")
@click.option(
    "--gold",
    metavar="SOURCE",
    help="Better tests, to say how true each rule's labels are: FILE[:COLUMN] or REPO[:COLUMN] whose rows have tests, "
    "humaneval+, mbpp+, or a file of verdicts from `judge`.",
)
@click.option(
    "--benchmark-data", type=FilePath, help="The file of the benchmark that --gold names, or its folder, if local."
)
@click.option("--out", type=FilePath, help="Write kto.jsonl, dpo.jsonl and sft.jsonl of the one rule into this folder.")
@read_hub()
@AS_JSON
@QUIET
def views(source: str, as_json: bool, quiet: bool, out: Path | None, **given: Any) -> None:
    """Label the samples of a run or of a published dataset under other rules, without generating or judging anything.

    Without --rule all named rules are compared: what each chooses, rejects and leaves out, and with --gold the share
    of its labels that better tests confirm. The samples are judged by these tests once; the verdicts are kept in
    gold.jsonl of the run, or beside --out.

    \b
    Examples:
      plum-hub views runs/starter
      plum-hub views runs/starter --gold tasks-with-tests.jsonl
      plum-hub views runs/mbpp --gold mbpp+ --rule margin
      plum-hub views me/plum-starter@v1.0.0 --rule margin --out runs/margin
      plum-hub views runs/starter --set deduplicate=true --set max_per_label=2 --out runs/small
      plum-hub train runs/margin/kto.jsonl --model ./policy
    """
    from plum_hub.api.views import views as label
    from plum_hub.cli import reporters, screen, view_tables

    with reporters.progress(quiet) as progress:
        result = label(source, out=out, **given, progress=progress)
    screen.show(result, view_tables.views, as_json=as_json)
