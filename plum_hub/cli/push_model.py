"""`plum-hub push-model`: publish a checkpoint."""

from pathlib import Path
from typing import Any

import click

from plum_hub.cli.destination import model_destination_options


@click.command("push-model")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@model_destination_options
@click.option("--merged", "weights", flag_value="merged", help="Publish the whole model that `--set merge=true` made.")
@click.option("--adapter", "weights", flag_value="adapter", help="Publish LoRA's adapters (the default).")
@click.option("--base", help="Where the model that was trained lies.  [default: where it lay then]")
@click.option("--base-license", metavar="ID", help="Its licence.  [default: what its card states]")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="The run that it was trained on.  [default: found around CHECKPOINT or in runs]",
)
@click.option(
    "--results",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder of `plum-hub evaluate`, of this model or of its base; both make a comparison.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors and the result only.")
def push_model(**given: Any) -> None:
    """Publish the checkpoint that `plum-hub train` left in folder CHECKPOINT (or in the run's folder).

    Weights, tokenizer, settings, metrics, curves, scores and card go up in one commit. It is read back, loaded in a
    fresh process and compared with the checkpoint on fixed prompts, and only then tagged. A first release is v1.0.0;
    after it another base makes a major version, other weights a minor one, another card a patch; the same content makes
    none. After whatever went wrong, run the same command again: it goes on from there.

    \b
    Example:
      plum-hub push-model runs/starter-qwen2.5-coder-0.5b-instruct/checkpoint --repo me/coder-plum
    """
    from plum_hub.cli.pushing import push_checkpoint

    push_checkpoint(given)
