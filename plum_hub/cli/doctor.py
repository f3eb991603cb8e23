"""`plum-hub doctor`: what this machine supports, and what it reaches."""

from typing import TYPE_CHECKING

import click

from plum_hub.cli.options import AS_JSON, SANDBOX

if TYPE_CHECKING:
    from plum_hub.attacks.runner import AttackOutcome
    from plum_hub.doctor.diagnosis import Diagnosis
    from plum_hub.execution.base import SandboxName


@click.command(short_help="Check this machine: versions, isolation, engines, Hub.")
@click.option(
    "--attack", "attacked", is_flag=True, help="Run hostile programs in a sandbox, and list which are stopped (~1 min)."
)
@SANDBOX
@click.option(
    "--engine",
    "engines",
    multiple=True,
    metavar="ENGINE",
    help="A server to reach: openai:NAME@URL or tgi:URL; repeatable.  [default: OpenAI's, where there is a key]",
)
@click.option("--hub", default="auto", show_default=True, help="The Hub to reach: auto, public, embedded, or a URL.")
@click.option("--address", metavar="HOST:PORT", help="A Ray cluster to reach.  [default: RAY_ADDRESS, or a local one]")
@AS_JSON
def doctor(
    attacked: bool, sandbox: "SandboxName", engines: tuple[str, ...], hub: str, address: str | None, as_json: bool
) -> None:
    """Check this machine: whether the installed packages fit together, GPU, memory and disk, whether programs can be
    isolated, layer by layer, whether the Hub and the engines' servers answer and accept their tokens, and Ray. Each
    finding that is not in order comes with its mend. Tokens and keys are never shown.

    Exits with 7 if programs cannot be isolated or an attack is not stopped; else by its first fault: with 9 for the
    Hub, 6 for an engine, 16 for the machine, its packages or Ray.
    """
    if attacked:
        _attack(sandbox, as_json)
    else:
        _examine(engines, hub, address, as_json)


def _examine(engines: tuple[str, ...], hub: str, address: str | None, as_json: bool) -> None:
    from dataclasses import asdict

    from plum_hub.cli.screen import echo_json, facts
    from plum_hub.doctor import examine

    found = examine(engines, hub, address)
    if as_json:
        layers, findings = [asdict(layer) for layer in found.layers], [asdict(one) for one in found.diagnoses]
        echo_json({"schema_version": 1, **found.findings, "layers": layers, "findings": findings})
    else:
        facts([(one.name, _line(one)) for one in found.diagnoses])
    if (error := found.error()) is not None:
        raise error


def _line(one: "Diagnosis") -> str:
    return one.says if one.state == "ok" else f"{one.state}: {one.says}; {one.mend}"


def _attack(sandbox: "SandboxName", as_json: bool) -> None:
    from dataclasses import asdict

    from plum_hub.cli.screen import echo_json, facts
    from plum_hub.doctor import attack
    from plum_hub.errors import SandboxError

    groups: dict[str, list[AttackOutcome]] = {}
    for outcome in attack(sandbox=sandbox):
        groups.setdefault(outcome.group, []).append(outcome)
    faults = [outcome for group in groups.values() for outcome in group if not outcome.stopped]
    unexpected = [outcome for outcome in faults if not outcome.told]
    if as_json:
        echo_json({name: [asdict(outcome) for outcome in group] for name, group in groups.items()})
    else:
        facts([(name, _count(name, group)) for name, group in groups.items()])
        facts([(outcome.name, _fault(outcome)) for outcome in faults])
    if unexpected:
        names = ", ".join(outcome.name for outcome in unexpected)
        raise SandboxError(
            f"{len(unexpected)} programs did not end as required on this machine ({names}); run `plum-hub doctor`"
        )


def _fault(outcome: "AttackOutcome") -> str:
    if outcome.told:
        return f"{outcome.about}: this sandbox cannot stop that, as `plum-hub doctor` says"
    return f"{outcome.about}: {outcome.status}, not {outcome.wanted}"


def _count(name: str, group: "list[AttackOutcome]") -> str:
    right = sum(outcome.stopped for outcome in group)
    return f"{right} of {len(group)} {'passed' if name == 'right programs' else 'stopped'}"
