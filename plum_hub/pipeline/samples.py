"""Stage `samples`: the policy that will be trained answers the instruction of each suite K times.

See the paper, section 3, "Sampling Solutions from the Policy". Each answer is kept unchanged with its seed, and is
judged while the policy generates the next ones.
"""

from dataclasses import replace

from plum_hub.answers.code import EXTRACTION, extract_code
from plum_hub.engines.base import Completion
from plum_hub.pipeline.base import (
    Context,
    RowRequest,
    engine_inputs,
    generate_rows,
    pending_requests,
    sampling_of,
    seed_of,
)
from plum_hub.pipeline.budget import SAMPLE_TOKENS, within_budget
from plum_hub.pipeline.verdicts import judging
from plum_hub.prompts import conversation, prompt_digest, render
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, Instruction, Prompt, Sample, TestSuite, digest

STAGE = "samples"
"""Name of the stage."""


def run_samples(context: Context) -> None:
    """Generate the missing samples, and run the stage `verdicts` at the same time.

    Args:
        context: The run.

    Raises:
        EngineError: The policy cannot be opened or failed. Samples that arrived before are kept.
        PlumError: Judging failed, as in `verdicts.judging`.
    """
    run = context.run
    settings = run.recipe.samples
    assert settings.per_instruction is not None  # a sealed recipe is filled in
    instructions = {row.id: row for row in run.rows(Instruction)}
    suites = {suite.id: suite for suite in run.rows(TestSuite)}
    requests = [
        _request(run.recipe, instructions[suite.instruction_id], suite, index)
        for suite in suites.values()
        for index in range(settings.per_instruction)
    ]
    stop = ("\n```",) if settings.prompt == "completion" else ()  # the completion prompt ends inside a code block

    def renew(sample: Sample) -> Sample:
        return _extracted(sample, suites[sample.suite_id])

    sampling = sampling_of(settings, stop)
    requests = within_budget(context, Sample, run.recipe.policy, requests, sampling)
    pending = pending_requests(context, Sample, STAGE, requests, renew)
    context.progress.expect(min(SAMPLE_TOKENS, settings.max_tokens))
    with judging(context, len(requests)) as halt:
        generate_rows(context, Sample, run.recipe.policy, pending, sampling, halt)


def prompt_of(recipe: Recipe, instruction: Instruction, suite: TestSuite) -> Prompt:
    """Build the prompt of the policy: the instruction, and the starter code that fixes the names used by the tests.

    Args:
        recipe: A sealed recipe.
        instruction: The instruction.
        suite: One of its suites.

    Returns:
        A conversation, or plain text for a base model.
    """
    values = {"instruction": instruction.text, "starter_code": suite.starter_code}
    if recipe.samples.prompt == "completion":
        return render("solve_completion", **values)
    return conversation("solve_chat", **values)


def _request(recipe: Recipe, instruction: Instruction, suite: TestSuite, index: int) -> RowRequest[Sample]:
    settings = recipe.samples
    assert settings.prompt != "auto"  # a sealed recipe says which
    template = f"solve_{settings.prompt}"
    seed = seed_of(settings.seed, suite.id, index)
    sampling = [settings.temperature, settings.top_p, settings.max_tokens]
    name = digest(
        instruction.id, suite.id, prompt_digest(template), engine_inputs(recipe.policy), sampling, seed, index
    )

    def keep(completion: Completion, engine: str) -> Sample | Drop:
        if completion.finish_reason == "refused":
            return Drop(id=name, stage=STAGE, reason="refused", instruction_id=instruction.id, detail=completion.text)
        sample = Sample(
            id=name,
            instruction_id=instruction.id,
            suite_id=suite.id,
            index=index,
            seed=seed,
            prompt_digest=prompt_digest(template),
            text=completion.text,
            code=None,
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            engine=engine,
        )
        return _extracted(sample, suite)

    return RowRequest(
        id=name, instruction_id=instruction.id, prompt=prompt_of(recipe, instruction, suite), seed=seed, keep=keep
    )


def _extracted(sample: Sample, suite: TestSuite) -> Sample:
    """Return the sample with the program that this version of the extraction finds in its text."""
    if sample.extraction == EXTRACTION:
        return sample
    return replace(sample, code=extract_code(sample.text, suite.entry_point or None), extraction=EXTRACTION)
