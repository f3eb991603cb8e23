"""`plum-hub doctor`: what this machine supports."""

from typing import TYPE_CHECKING

import click

from plum_hub.cli.options import AS_JSON, SANDBOX

if TYPE_CHECKING:
    from plum_hub.attacks.runner import AttackOutcome
    from plum_hub.execution.base import SandboxName
    from plum_hub.execution.layers import Layer


@click.command(short_help="Check what this machine supports: isolation, engines, Hub.")
@click.option(
    "--attack", "attacked", is_flag=True, help="Run hostile programs in a sandbox, and list which are stopped (~1 min)."
)
@SANDBOX
@AS_JSON
def doctor(attacked: bool, sandbox: "SandboxName", as_json: bool) -> None:
    """Check whether programs can be isolated on this machine, layer by layer, which engines are installed, and which
    Hub a build would publish to.

    Exits with 7 if programs cannot be isolated, naming the missing layer, or if an attack is not stopped.
    """
    if attacked:
        _attack(sandbox, as_json)
    else:
        _examine(as_json)


def _examine(as_json: bool) -> None:
    from dataclasses import asdict

    from plum_hub.cli.screen import echo_json, facts
    from plum_hub.doctor import examine

    examination = examine()
    if as_json:
        echo_json({**examination.findings, "layers": [asdict(layer) for layer in examination.layers]})
    else:
        layers = [(layer.name, _state(layer)) for layer in examination.layers]
        facts([*examination.findings.items(), *layers])
    if examination.refusal:
        raise examination.refusal


def _state(layer: "Layer") -> str:
    says = f" ({layer.says})" if layer.says else ""
    return f"yes{says}" if layer.present else f"no{says}: {layer.without}"


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
