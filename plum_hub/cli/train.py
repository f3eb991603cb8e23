"""`plum-hub train`: KTO, DPO or SFT on labelled answers."""

import os
from typing import Any

import click

from plum_hub.cli.help import SectionedCommand, options
from plum_hub.cli.options import AS_JSON, METHOD, QUIET, Count, FilePath, setting


@click.command(cls=SectionedCommand, short_help="Train a model with KTO, DPO or SFT.")
@click.argument("source")
@options(
    "Training",
    METHOD,
    click.option(
        "--model", help="The model to train: MODEL[@REVISION] or a folder.  [default: the one that wrote the samples]"
    ),
    click.option("--allow-off-policy", is_flag=True, help="Allow a model that did not write the samples."),
    click.option(
        "--out",
        type=FilePath,
        help="The checkpoint folder.  [default: checkpoint in the run, else runs/train-SOURCE; with -dpo, -sft]",
    ),
    setting("Set a training key, as epochs=2."),
    click.option("--hub", default="auto", show_default=True, help="Where SOURCE is: auto, public, embedded or a URL."),
)
@options(
    "Execution",
    click.option("--launch", type=Count(1, 1024), help="Number of processes on this machine, one per GPU."),
    click.option("--preflight", is_flag=True, help="Show what TRL would pair and batch, and train nothing."),
)
@options("Output", AS_JSON, QUIET)
def train(source: str, preflight: bool, as_json: bool, quiet: bool, **given: Any) -> None:
    """Train a model on SOURCE: a run folder, REPO@TAG, or a file or folder of rows.

    kto takes rows of prompt, completion and label, and orders them so that no KL pair shares its prompt and every batch
    holds both labels; dpo takes balanced pairs of them, sft the chosen rows. Without a GPU it trains LoRA adapters.
    Rows that are too long are left out and counted, never truncated. To resume after an interruption, run the same
    command again. Under `accelerate launch -m plum_hub` or torchrun it trains in several processes.

    \b
    Examples:
      plum-hub train runs/oss-instruct-codeqwen1.5-7b-chat
      plum-hub train me/plum-oss-instruct@v1.0.0 --launch 8
      plum-hub train rows.jsonl --model ./my-model --method sft --set epochs=3
    """
    from plum_hub.api import model as api
    from plum_hub.cli import reporters, screen, tables

    with reporters.progress(quiet) as progress:
        if preflight:
            found = api.preflight(source, **given, progress=progress)
            screen.show(found, tables.preflight, as_json=as_json)
            return found.preflight.check()
        result = api.train(source, **given, progress=progress)
    if os.environ.get("RANK", "0") == "0":  # of several processes only the first prints
        screen.show(result, tables.training, as_json=as_json)
    return None
