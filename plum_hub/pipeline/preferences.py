"""Stage `preferences`: the paper's rule over the verdicts. It costs nothing, so it is made whole each time.

What the stage `decontamination` has left out counts as if it had never been sampled. Where it finds something in a run
that has its preferences already, those of the suites concerned are made anew.
"""

from collections import defaultdict
from functools import partial

from plum_hub.files import writing
from plum_hub.lines import appending
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.decontamination.stage import removed
from plum_hub.pipeline.samples import prompt_of
from plum_hub.records import Drop, Instruction, Preference, Prompt, Sample, TestSuite, Verdict, to_json
from plum_hub.release.preferences import STAGE, preferences
from plum_hub.run import Run


def run_preferences(context: Context) -> None:
    """Append the preferences, and the drops, that are not there yet."""
    run = context.run
    gone = removed(run)
    _withdraw(run, gone)
    done = {name for (name,) in run.columns(Preference, "sample_id")}
    done |= {name for name, stage in run.columns(Drop, "id", "stage") if stage == STAGE}
    wanted, owed = 0, set()
    for name, suite in run.columns(Sample, "id", "suite_id"):
        if name not in gone:
            wanted += 1
            if name not in done:
                owed.add(suite)
    context.progress.begin(STAGE, wanted, len(done - gone))
    if owed:
        _append_owed(context, owed, done, gone)
    context.progress.end()


def _append_owed(context: Context, owed: set[str], done: set[str], gone: set[str]) -> None:
    """Label the samples of the suites that are owed, and keep what is not done."""
    run = context.run
    instructions = {row.id: row for row in run.rows(Instruction)}
    suites = {suite.id: suite for suite in run.rows(TestSuite)}
    verdicts = {verdict.sample_id: verdict for verdict in run.rows(Verdict) if verdict.suite_id in owed}
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in run.rows(Sample):
        if sample.suite_id in owed and sample.id not in gone:
            groups[sample.suite_id].append(sample)
    with run.keeping(Preference) as keep:
        for name, samples in groups.items():
            suite = suites[name]
            prompt = prompt_of(run.recipe, instructions[suite.instruction_id], suite)
            for row in preferences(samples, verdicts, partial(_same, prompt), run.recipe.preferences):
                if (row.id if isinstance(row, Drop) else row.sample_id) not in done:
                    keep(row)
                    context.progress.advance()


def _withdraw(run: Run, gone: set[str]) -> None:
    """Take back the preferences of every suite that has one of a sample that is gone: without it, the suite may have no
    chosen sample any more."""
    suites = {row.suite_id for row in run.rows(Preference) if row.sample_id in gone} if gone else set()
    if suites:
        path = run.path(Preference)
        kept = (to_json(row) for row in run.rows(Preference) if row.suite_id not in suites)
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        with appending(fresh) as append:
            for row in kept:
                append(row)
        with writing(path):
            fresh.replace(path)


def _same(prompt: Prompt, _: Sample) -> Prompt:
    """All samples of a suite answer one prompt."""
    return prompt
