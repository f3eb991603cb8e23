"""`plum-hub build-dataset`: from a model's name to a tagged dataset on a Hub."""

from pathlib import Path
from typing import Any

import click

from plum_hub.cli.destination import destination_options


@click.command("build-dataset")
@click.option("--model", help="The policy: MODEL or ENGINE:MODEL; a Hub repository or a folder.")
@click.option(
    "--generator",
    help="Who writes the test suites: ENGINE:MODEL.  "
    "[default: an OpenAI model when OPENAI_API_KEY is set, else the policy]",
)
@click.option(
    "--instructions",
    help="starter, oss-instruct, evol-instruct-code, sharegpt, REPO[@REVISION]:COLUMN or a FILE.  "
    "[default: oss-instruct]",
)
@click.option("--suites", help="REPO@TAG: take the test suites of a published dataset instead of generating them.")
@click.option(
    "--recipe",
    type=click.Path(path_type=Path),
    help="A YAML file with any keys of the recipe, or a shipped recipe's name.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one key, as samples.per_instruction=10. May be repeated.",
)
@click.option(
    "--run", "folder", type=click.Path(path_type=Path), help="The run's folder.  [default: runs/INSTRUCTIONS-MODEL]"
)
@click.option(
    "--carry-over", type=click.Path(path_type=Path), help="An older run whose still-valid rows are taken over."
)
@destination_options
@click.option("--dry-run", is_flag=True, help="Show rows, requests, tokens, time and money; do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.option("-v", "--verbose", is_flag=True, help="Show the libraries' own log lines too.")
@click.option("-q", "--quiet", is_flag=True, help="Show errors and the result only.")
def build_dataset(**given: Any) -> None:
    """Build a preference dataset from a model's own answers, and publish it.

    A generator writes test suites for the instructions; the policy answers each instruction many times; a
    sandbox runs the answers against the suites; what passes is chosen, what fails is rejected. Run the same
    command again to go on after an interruption.

    \b
    Examples:
      plum-hub build-dataset --model Qwen/CodeQwen1.5-7B-Chat
      plum-hub build-dataset --model ./my-model --instructions tasks.jsonl:text --set samples.per_instruction=10
    """
    from plum_hub.cli.building import BuildArguments, carry_out

    carry_out(BuildArguments(**given))
