"""`plum-hub doctor`: what this machine can do."""

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def doctor(as_json: bool) -> None:
    """Say whether programs can be isolated here, which engines are installed, and which Hub a build would publish to.

    Exits with 7 where programs cannot be isolated, naming the layer that is missing.
    """
    from plum_hub.cli.screen import echo_json, facts
    from plum_hub.stages.examination import examine

    findings = examine()
    if as_json:
        echo_json(findings)
    else:
        facts([(name, str(found)) for name, found in findings.items()])
