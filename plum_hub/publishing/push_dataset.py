"""`push-dataset` as a library: publish what a complete run has, without asking a model for anything."""

from plum_hub.errors import RunError
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.stage import removed_ids, run_decontamination
from plum_hub.pipeline.preferences import run_preferences
from plum_hub.pipeline.status import summarise
from plum_hub.publishing.dataset import release
from plum_hub.publishing.repository import PublishOptions, Released
from plum_hub.records import Instruction, Sample, TestSuite
from plum_hub.run import Run


def push(context: Context, destination: PublishOptions | None) -> Released:
    """Hold the run against the benchmarks that are at hand, label it and publish it.

    Raises:
        RunError: the run is not complete.
        PlumError: as `release`.
    """
    run = context.run
    with run.lock():
        _refuse_unfinished(run)
        run_decontamination(context)
        run_preferences(context)
    return release(context, destination)


def _refuse_unfinished(run: Run) -> None:
    summary = summarise(run)
    if gone := removed_ids(run):
        gone -= run.ids(Instruction) | run.ids(TestSuite) | run.ids(Sample)  # before the run was pulled
    for kind in ("samples", "verdicts"):
        wanted = summary.wanted[kind]
        made = summary.rows[kind] + sum(summary.dropped.get(kind, {}).values()) + len(gone)
        if wanted is None or made < wanted:
            raise RunError(
                f"{run.folder}: is not complete ({made} {kind}, wanted are {wanted or 'more'}); end it first: "
                f"plum-hub build-dataset --recipe {run.folder}/recipe.yaml --run {run.folder}"
            )
