"""`plum-hub build-dataset`: from a model's name to a tagged dataset on a Hub."""

from typing import Any

import click

from plum_hub.cli.help import SectionedCommand, options
from plum_hub.cli.options import (
    AS_JSON,
    BENCHMARK_DATA,
    QUIET,
    RECIPE,
    SUITES,
    Amount,
    Count,
    FilePath,
    accepted,
    publishing,
    setting,
)


@click.command("build-dataset", cls=SectionedCommand, short_help="Build a preference dataset and publish it.")
@options(
    "Models and instructions",
    click.option("--model", help="The policy: MODEL or ENGINE:MODEL; a Hub repository or a folder."),
    click.option(
        "--generator",
        help="The model that writes the test suites: ENGINE:MODEL.  "
        "[default: an OpenAI model if OPENAI_API_KEY is set, else the policy]",
    ),
    click.option(
        "--instructions",
        help="starter, oss-instruct, evol-instruct-code, sharegpt, REPO[@REVISION]:COLUMN or a FILE.  "
        "[default: oss-instruct]",
    ),
    SUITES,
    BENCHMARK_DATA,
)
@options(
    "Recipe and run",
    RECIPE,
    setting("Set a recipe key, as samples.per_instruction=10."),
    click.option("--run", type=FilePath, help="The run folder.  [default: runs/INSTRUCTIONS-MODEL]"),
    click.option("--carry-over", type=FilePath, help="An older run whose rows are reused where they are still valid."),
    click.option("--budget", type=Amount(0, min_open=True), help="Stop when the answers cost so many dollars."),
    click.option("--max-tokens", type=Count(1), help="Stop when the answers took so many tokens."),
    click.option(
        "--workers",
        metavar="N|ray[:N]",
        default=1,
        type=lambda given: int(given) if str(given).isdecimal() else given,
        show_default=True,
        help="Processes that share the work, each with an engine; with GPUs of its own where there are any. Or `ray`, "
        "the nodes of a Ray cluster; with a number, so many engines at a time.",
    ),
    click.option(
        "--address",
        metavar="HOST:PORT",
        help="The Ray cluster of `--workers ray`.  [default: RAY_ADDRESS, or the one that this machine belongs to]",
    ),
    click.option("--dry-run", is_flag=True, help="Show requests, tokens, time and cost, and do nothing."),
)
@options("Publishing", *publishing("that of the last release, else plum-INSTRUCTIONS-MODEL"))
@options(
    "Output",
    AS_JSON,
    click.option("-v", "--verbose", is_flag=True, help="Show the log records of other libraries too."),
    QUIET,
)
def build_dataset(dry_run: bool, as_json: bool, quiet: bool, **given: Any) -> None:
    """Build a preference dataset from a model's own answers, and publish it.

    A generator writes test suites for the instructions; the policy answers each instruction several times; a sandbox
    runs the answers against the suites. Answers that pass are chosen, answers that fail are rejected. To resume an
    interrupted build, run the same command again.

    \b
    Examples:
      plum-hub build-dataset --model Qwen/CodeQwen1.5-7B-Chat
      plum-hub build-dataset --model ./my-model --instructions tasks.jsonl:text --set samples.per_instruction=10
    """
    from plum_hub.api.dataset import build_dataset as build
    from plum_hub.api.dataset import estimate_build
    from plum_hub.cli import reporters, screen, tables
    from plum_hub.clusters.options import ClusterOptions
    from plum_hub.pipeline.ledger import SpendingLimit
    from plum_hub.publishing.repository import PublishOptions

    with reporters.progress(quiet) as progress:
        if dry_run:
            for check in (PublishOptions.chosen, ClusterOptions.chosen, SpendingLimit.chosen):
                check(**accepted(check, given))
            estimate = estimate_build(**accepted(estimate_build, given), progress=progress)
            return screen.show(estimate, tables.build_estimate, as_json=as_json)
        result = build(**given, progress=progress)
    return screen.show(result, tables.build, as_json=as_json)
