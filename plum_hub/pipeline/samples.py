"""Stage `samples`: the policy that will be trained answers the instruction of each suite K times.

See the paper, section 3, "Sampling Solutions from the Policy". Each answer is kept unchanged with its seed, and is
judged while the policy generates the next ones.

In EvalPlus' words the answer is begun inside a code block and sampling stops where the block is closed. The closing
line is kept with the answer, so that what is trained on is what was sampled: the program, the fence, and no more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event

from plum_hub.engines import EngineConfig
from plum_hub.engines.base import Completion, Sampling
from plum_hub.errors import EngineError
from plum_hub.execution.closeness import without_as_lists
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
from plum_hub.pipeline.decontamination.stage import removed_ids
from plum_hub.pipeline.extraction import extracted, extraction_of
from plum_hub.pipeline.verdicts import judging
from plum_hub.prompts import conversation, prompt_digest, render
from plum_hub.prompts.evalplus import evalplus_rules
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, Instruction, Prompt, Sample, TestSuite, digest

STAGE = "samples"
"""Name of the stage."""
_EXAMPLE_CHARACTERS = 300
"""Longest case that is shown as an example."""


def run_samples(context: Context) -> None:
    """Generate the missing samples, and run the stage `verdicts` at the same time.

    Args:
        context: The run.

    Raises:
        EngineError: The policy cannot be opened or failed. Samples that arrived before are kept.
        PlumError: Judging failed, as in `verdicts.judging`.
    """
    planned = _planned(context)
    with judging(context, planned.total) as halt:
        planned.generate(halt)


def run_sampling(context: Context) -> None:
    """Generate the missing samples, which `run_verdicts` judges afterwards, perhaps on another machine.

    Args:
        context: The run.

    Raises:
        EngineError: The policy cannot be opened or failed. Samples that arrived before are kept.
    """
    _planned(context).generate(None)


def run_verdicts(context: Context) -> None:
    """Judge the samples that have no verdict, without asking the policy for more.

    Args:
        context: The run, whose samples are complete.

    Raises:
        PlumError: Judging failed, as in `verdicts.judging`.
    """
    with judging(context, sum(1 for _ in context.run.columns(Sample, "id"))):
        pass


@dataclass(frozen=True)
class _PlannedSamples:
    context: Context
    pending: dict[str, RowRequest[Sample]]
    sampling: Sampling
    total: int
    """All samples of the stage, those included that exist."""

    def generate(self, halt: Event | None) -> None:
        policy = self.context.run.recipe.policy
        generate_rows(self.context, Sample, policy, self.pending, self.sampling, halt)


def _planned(context: Context) -> _PlannedSamples:
    """Begin the stage: take over what a donor has, and list what remains to be generated."""
    run = context.run
    settings = run.recipe.samples
    instructions = {row.id: row for row in run.rows(Instruction)}
    suites, removed = {suite.id: suite for suite in run.rows(TestSuite)}, removed_ids(run)
    requests = [
        request
        for suite in suites.values()
        if suite.instruction_id not in removed
        for request in policy_requests(run.recipe, instructions[suite.instruction_id], suite)
    ]
    extraction = extraction_of(run.recipe)

    def renew(sample: Sample) -> Sample:
        return extracted(sample, suites[sample.suite_id], extraction)

    sampling = sampling_of(settings, _stop(settings.prompt))
    requests = within_budget(context, Sample, run.recipe.policy, requests, sampling, renew)
    pending = pending_requests(context, Sample, STAGE, requests, renew)
    context.progress.expect(min(SAMPLE_TOKENS, settings.max_tokens))
    return _PlannedSamples(context, pending, sampling, len(requests))


def prompt_of(recipe: Recipe, instruction: Instruction, suite: TestSuite) -> Prompt:
    """Build the prompt of the policy: the instruction, and the starter code that fixes the names used by the tests.

    EvalPlus' form shows a case instead of starter code where it can, as MBPP's problems do: starter code ends in
    `pass`, after which a model begins a second definition, often under another name.

    Args:
        recipe: A sealed recipe.
        instruction: The instruction.
        suite: One of its suites.

    Returns:
        A conversation; plain text for a base model, or where the answer is begun.
    """
    values = {"instruction": instruction.text, "starter_code": suite.starter_code}
    match recipe.samples.prompt:
        case "completion":
            return render("solve_completion", **values)
        case "evalplus":
            example = _example(suite)
            task = render("solve_evalplus", **values)
            if example:
                task = render("solve_evalplus_example", instruction=instruction.text, example=example)
            return recipe.policy.begun_answer(evalplus_rules().prefilled(task))
    return conversation("solve_chat", **values)


def samples_prompt_digest(recipe: Recipe) -> str:
    """Compute the digest that identifies the prompt of the policy.

    Args:
        recipe: A sealed recipe.

    Returns:
        The digest of the template; for EvalPlus' words also of those, as the installed package has them.

    Raises:
        MissingExtraError: The prompt is EvalPlus', and its package is not installed.
    """
    name = f"solve_{recipe.samples.prompt}"
    if recipe.samples.prompt == "evalplus":
        templates = [prompt_digest(name), prompt_digest(f"{name}_example")]
        return digest(templates, evalplus_rules().words, _stop(recipe.samples.prompt))
    return prompt_digest(name)


def _example(suite: TestSuite) -> str:
    """Return the first short call of a suite as an assertion; "" if it has none."""
    for case in suite.cases:
        if case.kind == "call" and case.tolerance is None:
            example = f"assert {case.call} == {without_as_lists(str(case.expected))}"
            if len(example) <= _EXAMPLE_CHARACTERS and "\n" not in example:
                return example
    return ""


def check_begun(policy: EngineConfig) -> None:
    """Check that a policy can go on with an answer that is begun in EvalPlus' words.

    Args:
        policy: The pinned configuration of the engine.

    Raises:
        EngineError: It is on a server, has no chat template, or its template refuses such a conversation.
        MissingExtraError: The package of EvalPlus is not installed.
    """
    rules = evalplus_rules()
    if not policy.takes_conversations():
        raise EngineError(
            f"{policy.model} has no chat template, so EvalPlus begins no answer for it: use  --set samples.prompt=auto"
        )
    policy.begun_answer(rules.prefilled("x"))


def _stop(prompt: str) -> tuple[str, ...]:
    """Return the end of the code block that the prompt ends in."""
    match prompt:
        case "completion":
            return ("\n```",)
        case "evalplus":
            return evalplus_rules().fence_stop
    return ()


def policy_requests(recipe: Recipe, instruction: Instruction, suite: TestSuite) -> Iterator[RowRequest[Sample]]:
    """List the requests for one suite, which share its prompt.

    Args:
        recipe: A sealed recipe.
        instruction: The instruction.
        suite: One of its suites.

    Yields:
        One request for each sample.
    """
    assert recipe.samples.per_instruction is not None  # a sealed recipe is filled in
    prompt, template = prompt_of(recipe, instruction, suite), samples_prompt_digest(recipe)
    for index in range(recipe.samples.per_instruction):
        yield _request(recipe, prompt, template, suite, index)


def _request(recipe: Recipe, prompt: Prompt, template: str, suite: TestSuite, index: int) -> RowRequest[Sample]:
    settings, instruction_id = recipe.samples, suite.instruction_id
    assert settings.prompt != "auto"  # a sealed recipe says which
    seed = seed_of(settings.seed, suite.id, index)
    sampling = [settings.temperature, settings.top_p, settings.max_tokens]
    name = digest(instruction_id, suite.id, template, engine_inputs(recipe.policy), sampling, seed, index)

    def keep(completion: Completion, engine: str) -> Sample | Drop:
        if completion.finish_reason == "refused":
            return Drop(id=name, stage=STAGE, reason="refused", instruction_id=instruction_id, detail=completion.text)
        sample = Sample(
            id=name,
            instruction_id=instruction_id,
            suite_id=suite.id,
            index=index,
            seed=seed,
            prompt_digest=template,
            text=completion.text + (completion.stop if settings.prompt == "evalplus" else ""),
            code=None,
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            engine=engine,
        )
        return extracted(sample, suite, extraction_of(recipe))

    return RowRequest(id=name, instruction_id=instruction_id, prompt=prompt, seed=seed, keep=keep)
