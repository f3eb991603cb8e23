"""`plum-hub push-model`: publish a checkpoint."""

from pathlib import Path
from typing import Any

import click

from plum_hub.cli.help import SectionedCommand, options
from plum_hub.cli.options import AS_JSON, QUIET, FilePath, publishing


@click.command("push-model", cls=SectionedCommand, short_help="Publish a trained checkpoint as a model.")
@click.argument("checkpoint", type=FilePath)
@options(
    "Model",
    click.option("--merged", "weights", flag_value="merged", help="Publish the whole model made by --set merge=true."),
    click.option("--adapter", "weights", flag_value="adapter", help="Publish the LoRA adapters (the default)."),
    click.option("--base", help="Where the base model is now.  [default: where it was when it was trained]"),
    click.option("--base-license", metavar="ID", help="Licence of the base model.  [default: what its card says]"),
    click.option(
        "--run", type=FilePath, help="The run that was trained on.  [default: found around CHECKPOINT or in runs]"
    ),
    click.option(
        "--results",
        multiple=True,
        type=FilePath,
        help="A folder of plum-hub evaluate, of this model or of its base; with both, the card compares them. "
        "Can be repeated.",
    ),
)
@options("Publishing", *publishing("that of the last release, else MODEL-plum-METHOD"))
@options("Output", AS_JSON, QUIET)
def push_model(checkpoint: Path, as_json: bool, quiet: bool, **given: Any) -> None:
    """Publish the checkpoint that `plum-hub train` wrote to folder CHECKPOINT (or to the run's folder).

    Weights, tokenizer, settings, metrics, curves, scores and card are uploaded in one commit. It is read back, loaded
    in a fresh process and compared with the checkpoint on fixed prompts, and only then tagged. The first release is
    v1.0.0; after it another base makes a major version, other weights a minor one, another card a patch; equal content
    makes none. After an interruption or an error, run the same command again to resume.

    \b
    Example:
      plum-hub push-model runs/starter-qwen2.5-coder-0.5b-instruct/checkpoint --repo me/coder-plum
    """
    from plum_hub.api.model import push_model as push
    from plum_hub.cli import reporters, screen, tables

    with reporters.progress(quiet) as progress:
        released = push(checkpoint, **given, progress=progress)
    screen.show(released, tables.model_release, as_json=as_json)
