"""`plum-hub views`: the same verdicts under other labelling rules."""

from pathlib import Path
from typing import Any

import click

from plum_hub.cli.options import AS_JSON, FilePath, read_hub


@click.command(short_help="Label the same verdicts under other rules.")
@click.argument("source", metavar="RUN|REPO@TAG")
@click.option("--rule", help="plum, margin, near-miss, non-executable, both, ...  [default: compare all]")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a key of preferences. Can be repeated."
)
@click.option("--out", type=FilePath, help="Write kto.jsonl, dpo.jsonl and sft.jsonl of the one rule into this folder.")
@read_hub()
@AS_JSON
def views(source: str, as_json: bool, out: Path | None, **given: Any) -> None:
    """Label the samples of a run or of a published dataset under other rules, without generating or judging anything.

    Without --rule all named rules are compared: what each chooses, rejects and leaves out.

    \b
    Examples:
      plum-hub views runs/starter
      plum-hub views me/plum-starter@v1.0.0 --rule margin --out runs/margin
      plum-hub views runs/starter --set deduplicate=true --set max_per_label=2 --out runs/small
      plum-hub train runs/margin/kto.jsonl --model ./policy
    """
    from plum_hub.api.views import views as label
    from plum_hub.cli import screen, tables

    screen.show(label(source, out=out, **given), tables.views, as_json=as_json)
