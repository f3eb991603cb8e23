"""`plum-hub run`: a whole experiment, or rounds of sampling, judging and training."""

from collections.abc import Mapping
from typing import Any

import click

from plum_hub.cli.help import SectionedCommand, options
from plum_hub.cli.options import (
    AS_JSON,
    BENCHMARK_DATA,
    PRIVATE,
    QUIET,
    RECIPE,
    SUITES,
    Amount,
    Count,
    FilePath,
    accepted,
    publish_hub,
    setting,
)
from plum_hub.errors import UsageError

_OF_ROUNDS = {"recipe": "--recipe", "repo": "--repo", "keep_going": "--keep-going"}
_OF_EXPERIMENTS = {"until": "--until"}


@click.command(cls=SectionedCommand, short_help="Run an experiment: data, training, evaluation, release.")
@click.argument("experiment", metavar="[RECIPE]", required=False)
@options(
    "Experiment",
    click.option("--list", "listing", is_flag=True, help="List the shipped experiments."),
    click.option("--dry-run", is_flag=True, help="Show the plan with tokens, GPU hours and cost, and do nothing."),
    click.option(
        "--until",
        type=click.Choice(["data", "training", "evaluation", "release"]),
        help="The last part to run.  [default: release]",
    ),
    click.option("--run", type=FilePath, help="The folder.  [default: runs/RECIPE]"),
)
@options(
    "Models and instructions",
    click.option("--model", help="The model that is sampled and trained: MODEL or ENGINE:MODEL."),
    click.option("--generator", help="The model that writes the test suites, as in build-dataset."),
    click.option("--instructions", help="As in build-dataset.  [default: those of RECIPE, else oss-instruct]"),
    SUITES,
    BENCHMARK_DATA,
)
@options(
    "Training",
    click.option(
        "--method",
        type=click.Choice(["kto", "dpo", "sft"]),
        help="The method to train.  [default: those of RECIPE, else kto]",
    ),
    setting("Set a key, as samples.per_instruction=10, epochs=2 or training.methods=[sft,kto]."),
    click.option("--launch", type=Count(1, 1024), default=1, help="Number of training processes, one per GPU."),
)
@options(
    "Rounds",
    click.option("--rounds", type=Count(1), help="Maximum number of rounds.  [default: 1]"),
    click.option(
        "--held-out",
        type=Amount(0, 1, min_open=True, max_open=True),
        help="Share of the instructions that no round trains on, and on which each is measured.  [default: 0.2]",
    ),
    click.option("--keep-going", is_flag=True, help="Without RECIPE: continue after a round without a gain."),
    RECIPE,
)
@options(
    "Publishing",
    click.option("--repo", help="Without RECIPE: repository of all rounds, one version each."),
    publish_hub(),
    PRIVATE,
)
@options("Output", AS_JSON, QUIET)
def run(experiment: str | None, listing: bool, dry_run: bool, as_json: bool, quiet: bool, **given: Any) -> None:
    """Run a whole experiment, or, without RECIPE, rounds of sampling and training.

    RECIPE is the name of a shipped experiment or a YAML file. Its dataset is built, every method trained on it, the
    policy and each trained model evaluated and compared problem by problem, and everything released. Run the same
    command again to resume after an interruption, anywhere.

    Without RECIPE the model given by --model is sampled, trained on its judged answers, and sampled again, --rounds
    times. Each round is measured on instructions that none trains on; rounds end when the 95 % interval of the gain is
    not entirely above 0, and each round's dataset and model are published.

    \b
    Examples:
      plum-hub run --list
      plum-hub run paper/table2/codeqwen1.5-7b-chat --dry-run --set costs.usd_per_gpu_hour=2.5
      plum-hub run headline/given --model ./my-model --set training.methods=[sft,kto]
      plum-hub run --rounds 3 --model Qwen/CodeQwen1.5-7B-Chat
    """
    from plum_hub.api import experiments
    from plum_hub.api.rounds import run_rounds
    from plum_hub.cli import experiment_tables, reporters, screen, tables

    if listing:
        return screen.show(experiments.list_experiments(), experiment_tables.listed, as_json=as_json)
    chosen = _chosen(experiment, given, dry_run=dry_run)
    progress = None if quiet else reporters.reporter
    if experiment is None:
        return screen.show(
            run_rounds(**accepted(run_rounds, chosen), progress=progress), tables.rounds, as_json=as_json
        )
    if dry_run:
        estimate = experiments.estimate_experiment
        return screen.show(estimate(experiment, **accepted(estimate, chosen)), experiment_tables.plan, as_json=as_json)
    carry_out = experiments.run_experiment
    result = carry_out(experiment, **accepted(carry_out, chosen), progress=progress)
    return screen.show(result, experiment_tables.results, as_json=as_json)


def _chosen(experiment: str | None, given: Mapping[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """Return the options that were given; refuse those that are for the other kind of run."""
    chosen = {name: value for name, value in given.items() if value is not None and value is not False}
    foreign = _OF_EXPERIMENTS if experiment is None else _OF_ROUNDS
    wrong = [option for name, option in foreign.items() if name in chosen] + ["--dry-run"] * (
        dry_run and not experiment
    )
    if wrong and experiment is None:
        raise UsageError(f"{wrong[0]} is for an experiment: name one, as in  plum-hub run headline/given {wrong[0]}")
    if wrong:
        raise UsageError(
            f"{wrong[0]} is for rounds without RECIPE: set keys of the experiment instead, as data, release.dataset or "
            "keep_going, with --set KEY=VALUE"
        )
    return chosen
