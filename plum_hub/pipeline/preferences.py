"""Stage `preferences`: apply the paper's rule to the verdicts. It costs nothing.

Samples that the stage `decontamination` left out count as if they had never been sampled. If that stage finds a match
in a run that already has preferences, those of the suites concerned are made again.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Set

from plum_hub.pipeline.asked import prompts_of
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.stage import removed_ids
from plum_hub.pipeline.retraction import retract_labels, retract_removed
from plum_hub.records import Drop, Preference, Sample, Verdict
from plum_hub.release.preferences import STAGE, preferences
from plum_hub.run import Run


def run_preferences(context: Context) -> None:
    """Append the missing preferences and drops.

    Args:
        context: The run.

    Raises:
        RunError: A file of the run is damaged or cannot be written.
    """
    run = context.run
    removed = removed_ids(run)
    retract_removed(run, removed)
    labels = _labels(run)
    if partly := _partly_labelled(run, labels, removed):
        retract_labels(run, partly)
        labels = _labels(run)
    done = labels.keys()
    total, pending = 0, set()
    for name, suite in run.columns(Sample, "id", "suite_id"):
        if name not in removed:
            total += 1
            if name not in done:
                pending.add(suite)
    context.progress.begin(STAGE, total, len(done - removed))
    if pending:
        _append_pending(context, pending, done, removed)
    context.progress.end()


def _labels(run: Run) -> Counter[str]:
    """Count the rows that this stage has made of each sample."""
    labels = Counter(name for (name,) in run.columns(Preference, "sample_id"))
    labels.update(name for name, stage in run.columns(Drop, "id", "stage") if stage == STAGE)
    return labels


def _partly_labelled(run: Run, labels: Mapping[str, int], removed: Set[str]) -> set[str]:
    """Find the instructions of which a label was lost, or is there twice, so that the rows of a suite stay together."""
    begun, amiss = set[str](), set[str]()
    for name, instruction in run.columns(Sample, "id", "instruction_id"):
        if name in labels:
            begun.add(instruction)
        if labels.get(name) != 1 and name not in removed:
            amiss.add(instruction)
    return begun & amiss


def _append_pending(context: Context, pending: set[str], done: Set[str], removed: set[str]) -> None:
    """Label the samples of the pending suites, and append the rows that are missing."""
    run = context.run
    verdicts = {verdict.sample_id: verdict for verdict in run.rows(Verdict) if verdict.suite_id in pending}
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in run.rows(Sample):
        if sample.suite_id in pending and sample.id not in removed:
            groups[sample.suite_id].append(sample)
    prompt_of, rule = prompts_of(run, groups), run.recipe.preferences
    with run.keeping(Preference) as keep:
        for samples in groups.values():
            for row in preferences(samples, verdicts, lambda sample: prompt_of(sample.suite_id), rule):
                if (row.id if isinstance(row, Drop) else row.sample_id) not in done:
                    keep(row)
                    context.progress.advance()
