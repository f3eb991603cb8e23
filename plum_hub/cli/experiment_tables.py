"""Tables of experiments, on stdout."""

from typing import TYPE_CHECKING

from rich.table import Table

from plum_hub.cli.screen import console, facts, figures, show_markdown

if TYPE_CHECKING:
    from plum_hub.api.experiments import ExperimentList, ExperimentResult
    from plum_hub.experiments.estimate import ExperimentEstimate, PlannedWork


def listed(found: "ExperimentList") -> None:
    """Print the shipped experiments.

    Args:
        found: What `list_experiments` returned.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("experiment", "policy", "instructions", "methods", "benchmarks", "paper"):
        table.add_column(name, no_wrap=name in ("experiment", "paper"))
    for one in found.experiments:
        methods, benchmarks = ", ".join(one.methods), ", ".join(one.benchmarks)
        table.add_row(one.name, one.policy, one.instructions, methods, benchmarks, one.table)
    console().print(table)


def plan(found: "ExperimentEstimate") -> None:
    """Print the plan of an experiment.

    Args:
        found: What `estimate_experiment` returned.
    """
    names = ("part", "work", "engine", "requests\nor rows", "prompt\ntokens", "answer\ntokens", "GPU hours", "cost")
    figures(names, map(_cells, found.works), texts=3)
    revision = found.revision or "resolved, and sealed, when the experiment begins"
    hours = "not known" if found.gpu_hours is None else f"{found.gpu_hours:,.2f}"
    facts(
        [
            ("policy", f"{found.policy}, revision {revision}"),
            ("instructions", f"{found.instructions:,}"),
            ("tokens", f"{found.tokens:,}"),
            ("GPU hours", hours),
            ("servers", _dollars(found.server_usd)),
            ("GPUs", "not known: set costs.usd_per_gpu_hour" if found.gpu_usd is None else _dollars(found.gpu_usd)),
            *(("assumed", note) for note in found.assumptions),
        ]
    )


def _cells(work: "PlannedWork") -> list[str]:
    counts = [f"{count:,}" for count in (work.requests, work.prompt_tokens, work.completion_tokens)]
    hours = "on a server" if work.on_server else "not known" if work.gpu_hours is None else f"{work.gpu_hours:,.2f}"
    return [work.phase, work.work, work.engine, *counts, hours, "not known" if work.usd is None else _dollars(work.usd)]


def _dollars(usd: float | None) -> str:
    return "price not known" if usd is None else f"${usd:,.2f}"


def results(result: "ExperimentResult") -> None:
    """Print the results of an experiment.

    Args:
        result: What `run_experiment` returned.
    """
    show_markdown(result.tables)
    facts([("run", str(result.run))])
