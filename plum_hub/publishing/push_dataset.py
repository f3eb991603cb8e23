"""Publish a complete run, without asking a model for anything: `push-dataset` as a library."""

from plum_hub.errors import RunError
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.stage import removed_ids, run_decontamination
from plum_hub.pipeline.preferences import run_preferences
from plum_hub.pipeline.shards import over_shards
from plum_hub.pipeline.status import summarise
from plum_hub.publishing.dataset import release
from plum_hub.publishing.repository import PublishOptions, Released
from plum_hub.records import Instruction, Sample, TestSuite
from plum_hub.remedies import finished
from plum_hub.run import Run


def push(context: Context, options: PublishOptions | None) -> Released:
    """Decontaminate the run against the benchmarks available here, label it and publish it.

    Args:
        context: The run, the benchmark data and the progress reporter.
        options: Where to publish; None only writes the release.

    Returns:
        The release.

    Raises:
        RunError: The run is not complete.
        PlumError: As `release`.
    """
    run = context.run
    with run.lock():
        _refuse_unfinished(run)
        over_shards(context, run_decontamination)
        over_shards(context, run_preferences)
    return release(context, options)


def _refuse_unfinished(run: Run) -> None:
    """Check that every sample has its verdict or was dropped."""
    summary = summarise(run)
    if lost := removed_ids(run):
        for shard in run.shards:  # what is still here; the rest was lost before the run was pulled
            lost -= shard.ids(Instruction) | shard.ids(TestSuite) | shard.ids(Sample)
    for kind in ("samples", "verdicts"):
        expected = summary.wanted[kind]
        made = summary.rows[kind] + sum(summary.dropped.get(kind, {}).values()) + len(lost)
        if expected is None or made < expected:
            raise RunError(
                f"{run.folder}: is not complete ({made} {kind}; expected {expected or 'more'}); finish it first: "
                f"{finished(run.folder)}"
            )
