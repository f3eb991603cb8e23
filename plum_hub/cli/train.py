"""`plum-hub train`: KTO, DPO or SFT on labelled answers."""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("source")
@click.option("--method", type=click.Choice(["kto", "dpo", "sft"]), default="kto", show_default=True, help="How.")
@click.option(
    "--model", help="What to train: MODEL[@REVISION] or a folder.  [default: the model that wrote the samples]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The checkpoint's folder.  [default: checkpoint in the run, else runs/train-SOURCE; with -dpo, -sft]",
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set one key, as epochs=2. May be repeated."
)
@click.option("--hub", default="auto", show_default=True, help="Where SOURCE is: auto, public, embedded or a URL.")
@click.option("--allow-off-policy", is_flag=True, help="Train a model that did not write the samples; it is recorded.")
@click.option("--launch", type=click.IntRange(1, 1024), help="Train in so many processes on this machine, one a GPU.")
@click.option("--preflight", is_flag=True, help="Show what TRL would pair and batch; train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors and the result only.")
def train(**given: Any) -> None:
    """Train a model on SOURCE: a run's folder, REPO@TAG, or a .jsonl, .json or .parquet file.

    kto takes rows of prompt, completion and label, and lays them out so that no KL pair shares its prompt and every
    batch holds both labels; dpo takes balanced pairs of them, sft the chosen. Without a GPU it trains LoRA adapters.
    Rows that are too long are left out and counted, never cut. Run the same command again to go on after an
    interruption. Under `accelerate launch -m plum_hub` or torchrun it trains in many processes.

    \b
    Examples:
      plum-hub train runs/oss-instruct-codeqwen1.5-7b-chat
      plum-hub train me/plum-oss-instruct@v1.0.0 --launch 8
      plum-hub train rows.jsonl --model ./my-model --method sft --set epochs=3
    """
    from plum_hub.cli.training import carry_out

    carry_out(given)
