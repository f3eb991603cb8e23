"""`plum-hub run`: rounds of sampling, judging and training."""

from typing import Any

import click

from plum_hub.cli.help import SectionedCommand, options
from plum_hub.cli.options import (
    AS_JSON,
    BENCHMARK_DATA,
    METHOD,
    PRIVATE,
    QUIET,
    RECIPE,
    SUITES,
    FilePath,
    publish_hub,
)


@click.command(cls=SectionedCommand, short_help="Repeat sampling, judging and training in rounds.")
@options(
    "Models and instructions",
    click.option("--model", help="The model that is sampled and trained: MODEL or ENGINE:MODEL."),
    click.option("--generator", help="The model that writes the test suites, as in build-dataset."),
    click.option("--instructions", help="As in build-dataset.  [default: oss-instruct]"),
    SUITES,
    BENCHMARK_DATA,
)
@options(
    "Rounds",
    click.option("--rounds", type=click.IntRange(1), default=1, show_default=True, help="Maximum number of rounds."),
    click.option(
        "--held-out",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.2,
        show_default=True,
        help="Share of the instructions that is never trained on, and on which each round is measured.",
    ),
    click.option("--keep-going", is_flag=True, help="Continue after a round without a significant gain."),
    click.option("--run", type=FilePath, help="The folder.  [default: runs/INSTRUCTIONS-MODEL-rounds]"),
)
@options(
    "Recipe and training",
    RECIPE,
    METHOD,
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set a recipe key, as samples.per_instruction=10, or a training key, as epochs=2. Can be repeated.",
    ),
    click.option(
        "--launch", type=click.IntRange(1, 1024), default=1, help="Number of training processes, one per GPU."
    ),
)
@options(
    "Publishing",
    click.option(
        "--repo", help="Repository of all rounds, one version each.  [default: plum-INSTRUCTIONS-MODEL-rounds]"
    ),
    publish_hub(),
    PRIVATE,
)
@options("Output", AS_JSON, QUIET)
def run(as_json: bool, quiet: bool, **given: Any) -> None:
    """Sample a model, judge its answers, train it on them, and start over with the trained model.

    The instructions are split once: each round samples and trains on one part, and is measured on the other against the
    model it began with, instruction by instruction. The rounds end when the 95 % interval of the gain is not entirely
    above 0. Each round's dataset and model are published; its folder is a run like any other, with the checkpoint in
    it. Run the same command again to resume after an interruption, or to continue with more --rounds.

    \b
    Examples:
      plum-hub run --rounds 3 --model Qwen/CodeQwen1.5-7B-Chat
      plum-hub run --rounds 2 --model ./my-model --suites me/plum-starter@v1.0.0 --held-out 0.33 --set epochs=2
    """
    from plum_hub.api.rounds import run_rounds
    from plum_hub.cli import reporters, screen, tables

    result = run_rounds(**given, progress=None if quiet else reporters.reporter)
    screen.show(result, tables.rounds, as_json=as_json)
