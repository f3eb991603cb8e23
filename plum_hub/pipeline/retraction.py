"""Take rows back that no longer hold, so that their stages make them again.

An id names what a row was made from, and not what came of it: an engine that is asked again may answer otherwise under
the same id. So what was made of a sample goes with it when its line is lost, and the labels of a suite go when a
verdict is lost, or when a sample turns out to be a benchmark's.
"""

from collections.abc import Callable, Set

from plum_hub.lines import replacing
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.stage import forget_comparisons
from plum_hub.records import Drop, Preference, RecordT, Sample, Verdict, to_json
from plum_hub.release.preferences import STAGE as PREFERENCES
from plum_hub.run import Run


def run_retraction(context: Context) -> None:
    """Remove the verdicts of samples that are missing, and the labels of instructions that lack a sample or a verdict.

    Lines are missing that somebody has deleted because they were damaged, or that were lost with the machine's power.
    This comes before such samples are made again, and until then they are missing, so a kill in between does no harm.

    Args:
        context: One shard of the run.

    Raises:
        RunError: A file of the run is damaged or cannot be written.
    """
    run = context.run
    samples, judged, lacking = run.ids(Sample), set[str](), set[str]()
    for sample, instruction in run.columns(Verdict, "sample_id", "instruction_id"):
        if sample in samples:
            judged.add(sample)
        else:
            lacking.add(instruction)
    lacking |= {of for sample, of in run.columns(Preference, "sample_id", "instruction_id") if sample not in judged}
    lacking |= {
        of
        for sample, stage, of in run.columns(Drop, "id", "stage", "instruction_id")
        if stage == PREFERENCES and sample not in judged
    }
    verdicts = _rewrite(run, Verdict, lambda row: row.sample_id in samples)
    labels = retract_labels(run, lacking)
    forget_comparisons(run)
    if verdicts or labels:
        context.progress.say(
            f"{run.own_folder}: rows are missing of which others were made: {verdicts:,} verdicts and {labels:,} "
            "labels are made again"
        )


def retract_removed(run: Run, removed: Set[str]) -> None:
    """Remove the labels of every instruction of which a labelled sample was found in a benchmark.

    Which samples of a suite are labelled depends on the others. The rows of the samples that were found go last: if the
    process is killed before, they show the next call what remains to be done.

    Args:
        run: One shard of a run.
        removed: Ids of the rows that were found.

    Raises:
        RunError: A file of the run is damaged or cannot be written.
    """
    if not removed:
        return
    concerned = {of for sample, of in run.columns(Preference, "sample_id", "instruction_id") if sample in removed}
    concerned |= {
        of
        for sample, stage, of in run.columns(Drop, "id", "stage", "instruction_id")
        if stage == PREFERENCES and sample in removed
    }
    retract_labels(run, concerned, but=removed)
    retract_labels(run, concerned)


def retract_labels(run: Run, instructions: Set[str], but: Set[str] = frozenset()) -> int:
    """Remove what the stage `preferences` has made of some instructions.

    Args:
        run: One shard of a run.
        instructions: Their ids.
        but: Ids of samples whose rows stay.

    Returns:
        The number of rows that were removed.

    Raises:
        RunError: A file of the run is damaged or cannot be written.
    """
    if not instructions:
        return 0
    return _rewrite(
        run, Preference, lambda row: row.instruction_id not in instructions or row.sample_id in but
    ) + _rewrite(
        run, Drop, lambda row: row.stage != PREFERENCES or row.instruction_id not in instructions or row.id in but
    )


def _rewrite(run: Run, kind: type[RecordT], keeps: Callable[[RecordT], bool]) -> int:
    """Replace a file by one of the rows to keep, in one step; return how many were left out."""
    left_out = sum(not keeps(row) for row in run.rows(kind))
    if left_out:
        with replacing(run.path(kind)) as append:
            for row in run.rows(kind):
                if keeps(row):
                    append(to_json(row))
    return left_out
