"""Stage `suites`: have a generator write test suites, and keep the self-consistent ones.

For each instruction it writes a reference solution, starter code and test cases (paper, section 3, "Generating
high-quality test cases"). Every answer is first stored unchanged (`responses`), because answers cost money, and then
parsed and run. A suite is kept only if its own reference passes it twice and stubs fail it (law 3). An instruction
keeps one suite: the one with the most cases, and the earliest of equals.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from plum_hub.answers.suite import ParsedSuite, Unusable, parse_suite
from plum_hub.engines.base import Completion
from plum_hub.execution import Execution, Judge
from plum_hub.judging.cases import limits_of
from plum_hub.pipeline.base import (
    Context,
    RowRequest,
    engine_inputs,
    generate_rows,
    pending_requests,
    sampling_of,
    seed_of,
)
from plum_hub.pipeline.budget import RESPONSE_TOKENS, within_budget
from plum_hub.pipeline.proof import run_proofs, unproved
from plum_hub.pipeline.published import GENERATE, ROWS, published_suites
from plum_hub.pipeline.row_suites import prove_rows
from plum_hub.prompts import conversation, prompt_digest
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, Instruction, Response, TestSuite, digest

STAGE = "suites"
"""Name of the stage."""
_SPARE = "spare_suite"
"""Reason of a self-consistent suite that is left out because its instruction has a better one."""
_SELF_CONSISTENT = (_SPARE, "stub_passed")
"""Reasons for which a self-consistent suite is left out."""
_BATCH = 64
"""Instructions whose suites are checked together, and lost together by a kill: seconds of work."""


def run_suites(context: Context) -> None:
    """Generate the missing responses, then decide which suites to keep.

    Args:
        context: The run.

    Raises:
        EngineError: The generator cannot be opened or failed.
        HubError: The published suites cannot be downloaded.
        SandboxError: Programs cannot be run on this machine.
    """
    source = context.run.recipe.suites.source
    if source == GENERATE:
        _generate(context)
        _decide(context)
    elif source == ROWS:
        prove_rows(context, STAGE)
    else:
        _take_published(context)


def self_consistency(kept: int, reasons: Mapping[str, int]) -> tuple[int, int]:
    """Count the self-consistent responses (paper, Table 1).

    Args:
        kept: Suites in the run.
        reasons: Number of drops of this stage for each reason. `flaky` and `nondeterministic` suites do not pass twice,
            so they are not self-consistent.

    Returns:
        The number of self-consistent responses, and the number of decided ones.
    """
    return kept + sum(reasons.get(reason, 0) for reason in _SELF_CONSISTENT), kept + sum(reasons.values())


def _take_published(context: Context) -> None:
    """Append the suites of the release that the recipe names. They were checked before they were published."""
    run = context.run
    done = run.ids(TestSuite)
    instruction_ids = run.ids(Instruction)
    suites = [suite for _, suite in published_suites(run.recipe.suites) if suite.instruction_id in instruction_ids]
    context.progress.begin(STAGE, len(suites), len(done))
    with run.appending(TestSuite) as append:
        for suite in suites:
            if suite.id not in done:
                append(suite)
                context.progress.advance()
    context.progress.end()


def _generate(context: Context) -> None:
    recipe = context.run.recipe
    engine, settings = recipe.generator, recipe.suites
    assert settings.responses is not None  # a sealed recipe is filled in
    requests = [
        _request(recipe, instruction, index)
        for instruction in context.run.rows(Instruction)
        for index in range(settings.responses)
    ]
    sampling = sampling_of(settings)
    requests = within_budget(context, Response, engine, requests, sampling)
    pending = pending_requests(context, Response, "responses", requests)
    context.progress.expect(min(RESPONSE_TOKENS, settings.max_tokens))
    generate_rows(context, Response, engine, pending, sampling)


def _request(recipe: Recipe, instruction: Instruction, index: int) -> RowRequest[Response]:
    settings, prompt_id = recipe.suites, prompt_digest("suite")
    seed = seed_of(settings.seed, instruction.id, index)
    sampling = [settings.temperature, settings.top_p, settings.max_tokens]
    name = digest(instruction.id, prompt_id, engine_inputs(recipe.generator), sampling, seed, index)

    def keep(completion: Completion, engine: str) -> Response | Drop:
        if completion.finish_reason == "refused":
            return Drop(
                id=name, stage="responses", reason="refused", instruction_id=instruction.id, detail=completion.text
            )
        return Response(
            id=name,
            instruction_id=instruction.id,
            index=index,
            seed=seed,
            prompt_digest=prompt_id,
            text=completion.text,
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            engine=engine,
        )

    prompt = conversation("suite", instruction=instruction.text)
    return RowRequest(id=name, instruction_id=instruction.id, prompt=prompt, seed=seed, keep=keep)


def _decide(context: Context) -> None:
    """Parse and check the responses of every instruction that has an undecided one."""
    run = context.run
    decided = {suite.response_id for suite in run.rows(TestSuite)}
    decided |= {drop.id for drop in run.rows(Drop) if drop.stage == STAGE}
    groups: dict[str, list[Response]] = defaultdict(list)
    for response in run.rows(Response):
        groups[response.instruction_id].append(response)
    total = sum(map(len, groups.values()))
    context.progress.begin(STAGE, total, len(decided))
    with_suite = {suite.instruction_id for suite in run.rows(TestSuite)}
    pending = [undecided for group in groups.values() if (undecided := [one for one in group if one.id not in decided])]
    settings = run.recipe.verdicts
    with Judge(sandbox=settings.sandbox, numpy=settings.numpy) as judge, run.keeping(TestSuite) as keep:
        for start in range(0, len(pending), _BATCH):
            for row in prove(pending[start : start + _BATCH], with_suite, judge, run.recipe):
                keep(row)
                context.progress.advance()
    context.progress.end()


def prove(
    groups: list[list[Response]], with_suite: set[str], judge: Judge, recipe: Recipe
) -> Iterator[TestSuite | Drop]:
    """Parse and run the undecided responses of a batch of instructions.

    Args:
        groups: Responses by instruction.
        with_suite: Instructions that have a suite already.
        judge: Runs the programs.
        recipe: Gives the limits.

    Yields:
        A suite or a drop for each response.

    Raises:
        SandboxError: Programs cannot be run on this machine.
    """
    read: dict[str, ParsedSuite | Unusable] = {
        response.id: parse_suite(response.text, min_cases=recipe.suites.min_cases, max_cases=recipe.suites.max_cases)
        for group in groups
        for response in group
    }
    parsed = {name: suite for name, suite in read.items() if isinstance(suite, ParsedSuite)}
    executions = run_proofs(parsed, judge, limits_of(recipe.verdicts))
    for group in groups:
        consistent: list[TestSuite] = []
        for response in sorted(group, key=lambda response: response.index):
            suite = read[response.id]
            reason, detail = _verdict_on(response, suite, executions)
            if reason is not None:
                yield _drop(response, reason, detail)
            else:
                assert isinstance(suite, ParsedSuite)
                consistent.append(_suite(response, suite))
        # The suite precedes the spare ones, so that a kill between them leaves no spare one without a suite.
        best = max(consistent, key=lambda suite: len(suite.cases), default=None)  # the earliest of equals
        if best is not None and best.instruction_id not in with_suite:
            yield best
            consistent.remove(best)
        for spare in consistent:
            yield Drop(id=spare.response_id, stage=STAGE, reason=_SPARE, instruction_id=spare.instruction_id)


def _verdict_on(
    response: Response, suite: ParsedSuite | Unusable, executions: Mapping[str, Execution]
) -> tuple[str | None, str]:
    """Return why a suite is left out, and the evidence; None if it is self-consistent."""
    if isinstance(suite, Unusable):
        return suite.reason, suite.detail
    return unproved(response.id, executions, suite)


def _suite(response: Response, suite: ParsedSuite) -> TestSuite:
    cases = [asdict(case) for case in suite.cases]
    return TestSuite(
        id=digest(response.instruction_id, suite.entry_point, suite.starter_code, suite.reference, cases),
        instruction_id=response.instruction_id,
        response_id=response.id,
        entry_point=suite.entry_point,
        starter_code=suite.starter_code,
        reference=suite.reference,
        cases=suite.cases,
    )


def _drop(response: Response, reason: str, detail: str) -> Drop:
    return Drop(id=response.id, stage=STAGE, reason=reason, instruction_id=response.instruction_id, detail=detail)
