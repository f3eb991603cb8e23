"""What the policy was asked: the prompt that all samples of a suite answer, for the rows of preferences."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache

from plum_hub.errors import HubError
from plum_hub.pipeline.published import GENERATE, ROWS, reading_release, release_folder
from plum_hub.pipeline.samples import prompt_of
from plum_hub.records import Instruction, Prompt, Sample, TestSuite
from plum_hub.release.reading import config_files, read_rows
from plum_hub.run import Run


def prompts_of(run: Run, groups: Mapping[str, Iterable[Sample]]) -> Callable[[str], Prompt]:
    """Return a function that gives the prompt which the samples of a suite answer.

    A prompt that begins the answer (`samples.prompt: evalplus`) has the policy's chat template applied. If the run was
    made from a release that has labels of these samples, their prompts are taken from there: the policy's tokenizer may
    lie on another machine, and is not needed.

    Args:
        run: A run, or one of its shards.
        groups: Samples by the id of their suite.

    Returns:
        A function of a suite's id. It raises an `EngineError` if the tokenizer is needed and does not load.

    Raises:
        RunError: A file of the run is damaged.
    """
    instructions = {row.id: row for row in run.rows(Instruction)}
    suites = {suite.id: suite for suite in run.rows(TestSuite) if suite.id in groups}
    published = _published(run, groups) if run.recipe.samples.prompt == "evalplus" else {}

    @cache
    def prompt(suite_id: str) -> Prompt:
        if suite_id in published:
            return published[suite_id]
        suite = suites[suite_id]
        return prompt_of(run.recipe, instructions[suite.instruction_id], suite)

    return prompt


def _published(run: Run, groups: Mapping[str, Iterable[Sample]]) -> dict[str, Prompt]:
    """Read the prompts of the suites of which the release has a labelled sample, by its id."""
    config = run.recipe.suites
    if config.source in (GENERATE, ROWS):
        return {}
    suite_ids = {sample.id: name for name, samples in groups.items() for sample in samples}
    found: dict[str, Prompt] = {}
    with suppress(HubError), reading_release(config.source):  # then the tokenizer is asked
        for row in read_rows(config_files(release_folder(config), "kto"), ("sample_id", "prompt")):
            if (name := suite_ids.get(row["sample_id"])) is not None:
                found.setdefault(name, row["prompt"])
    return found
