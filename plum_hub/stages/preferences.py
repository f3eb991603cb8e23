"""Stage `preferences`: the paper's rule over the verdicts. It costs nothing, so it is made whole each time."""

from collections import defaultdict
from functools import partial

from plum_hub.records import Drop, Instruction, Preference, Prompt, Sample, TestSuite, Verdict
from plum_hub.release.preferences import STAGE, preferences
from plum_hub.stages.base import Context
from plum_hub.stages.samples import prompt_of


def run_preferences(context: Context) -> None:
    """Append the preferences, and the drops, that are not there yet."""
    run = context.run
    instructions = {row.id: row for row in run.rows(Instruction)}
    suites = {suite.id: suite for suite in run.rows(TestSuite)}
    verdicts = {verdict.sample_id: verdict for verdict in run.rows(Verdict)}
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in run.rows(Sample):
        groups[sample.suite_id].append(sample)
    done = {row.sample_id for row in run.rows(Preference)}
    done |= {drop.id for drop in run.rows(Drop) if drop.stage == STAGE}
    context.progress.begin(STAGE, sum(map(len, groups.values())), len(done))
    with run.keeping(Preference) as keep:
        for name, samples in groups.items():
            suite = suites[name]
            prompt = prompt_of(run.recipe, instructions[suite.instruction_id], suite)
            for row in preferences(samples, verdicts, partial(_same, prompt), run.recipe.preferences):
                if (row.id if isinstance(row, Drop) else row.sample_id) not in done:
                    keep(row)
                    context.progress.advance()
    context.progress.end()


def _same(prompt: Prompt, _: Sample) -> Prompt:
    """All samples of a suite answer one prompt."""
    return prompt
