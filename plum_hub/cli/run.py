"""`plum-hub run`: rounds of sampling, judging and training."""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True, help="Rounds at most.")
@click.option("--model", help="What is sampled and trained: MODEL or ENGINE:MODEL; a Hub repository or a folder.")
@click.option("--generator", help="Who writes the test suites, as build-dataset takes it.  [default: likewise]")
@click.option("--instructions", help="As build-dataset takes them.  [default: oss-instruct]")
@click.option("--suites", help="REPO@TAG: take the test suites of a published dataset instead of generating them.")
@click.option("--recipe", type=click.Path(path_type=Path), help="A YAML file of the recipe, or a shipped one's name.")
@click.option(
    "--held-out",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of the instructions that is never trained on, and on which each round is measured.",
)
@click.option("--method", type=click.Choice(["kto", "dpo", "sft"]), default="kto", show_default=True, help="How.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a key of the recipe, as samples.per_instruction=10, or of training, as epochs=2. May be repeated.",
)
@click.option("--keep-going", is_flag=True, help="Go on also after a round whose gain was not found.")
@click.option("--launch", type=click.IntRange(1, 1024), default=1, help="Train in so many processes, one a GPU.")
@click.option(
    "--run", "folder", type=click.Path(path_type=Path), help="The folder.  [default: runs/INSTRUCTIONS-MODEL-rounds]"
)
@click.option("--repo", help="Where each round is published, as a version.  [default: plum-INSTRUCTIONS-MODEL-rounds]")
@click.option(
    "--hub",
    default="auto",
    show_default=True,
    help="auto (the Hub with a token, else embedded), public, embedded, a URL, or none.",
)
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option(
    "--benchmark-data",
    type=click.Path(exists=True, path_type=Path),
    help="A folder of benchmarks, as evaluate --data: what is found in them is left out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors and the result only.")
def run(**given: Any) -> None:
    """Sample a model, judge its answers, train it on them, and begin again with what came of it.

    The instructions are split once: on one part each round samples and trains, and on the other it answers as often, to
    be compared with the model it began with, instruction by instruction. When the 95 % interval of that gain is not
    wholly above 0, the rounds end. Each round's dataset and model are published; its folder is a run like any other,
    with the checkpoint in it. Run the same command again to go on after an interruption, or with more --rounds.

    \b
    Examples:
      plum-hub run --rounds 3 --model Qwen/CodeQwen1.5-7B-Chat
      plum-hub run --rounds 2 --model ./my-model --suites me/plum-starter@v1.0.0 --held-out 0.33 --set epochs=2
    """
    from plum_hub.cli.rounds import carry_out

    carry_out(given)
