"""Stage `suites`: have a generator write test suites, and keep the self-consistent ones.

For each instruction it writes a reference solution, starter code and test cases (paper, section 3, "Generating
high-quality test cases"). Every answer is first stored unchanged (`responses`), because answers cost money, and then
parsed and run. A suite is kept only if its own reference passes it twice and stubs fail it (law 3). An instruction
keeps one suite: the one with the most cases, and the earliest of equals; or, with `suites.vote`, the one that a vote of
their references makes of all (`plum_hub.pipeline.vote`).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass

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
from plum_hub.pipeline.proof import proof_programs, unproved
from plum_hub.pipeline.published import GENERATE, ROWS, published_suites
from plum_hub.pipeline.row_suites import prove_rows
from plum_hub.pipeline.vote import VoteResult, vote_all
from plum_hub.prompts import conversation, prompt_digest
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, Instruction, Response, SuiteVote, TestSuite, digest

STAGE = "suites"
"""Name of the stage."""
_SPARE = "spare_suite"
"""Reason of a self-consistent suite that is left out because its instruction has a better one, or it could not vote."""
_MERGED, _DISAGREEMENT, _MERGE_FAILED = "merged", "disagreement", "merge_failed"
"""Reasons with `suites.vote`: the cases went into the suite of another response; too few cases have a majority; the
merged suite is not proved."""
_SELF_CONSISTENT = (_SPARE, _MERGED, _DISAGREEMENT, _MERGE_FAILED, "stub_passed")
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
        reasons: Number of drops of this stage for each reason. `flaky` suites do not pass twice, so they are not
            self-consistent.

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
    groups: dict[str, list[Response]] = defaultdict(list)
    for response in run.rows(Response):
        groups[response.instruction_id].append(response)
    suites = list(run.rows(TestSuite))
    decided = {suite.response_id for suite in suites}
    decided |= {drop.id for drop in run.rows(Drop) if drop.stage == STAGE}
    context.progress.begin(STAGE, sum(map(len, groups.values())), len(decided))
    settings = run.recipe.verdicts
    with Judge(sandbox=settings.sandbox, numpy=settings.numpy) as judge:
        if run.recipe.suites.vote:
            _decide_by_vote(context, groups, decided, judge)
        else:
            _decide_by_size(context, groups, decided, judge)
    context.progress.end()


def _decide_by_size(context: Context, groups: Mapping[str, list[Response]], decided: Set[str], judge: Judge) -> None:
    run = context.run
    with_suite = {suite.instruction_id for suite in run.rows(TestSuite)}
    pending = [undecided for group in groups.values() if (undecided := [one for one in group if one.id not in decided])]
    with run.keeping(TestSuite) as keep:
        for start in range(0, len(pending), _BATCH):
            for row in prove(pending[start : start + _BATCH], with_suite, judge, run.recipe):
                keep(row)
                context.progress.advance()


def _decide_by_vote(context: Context, groups: Mapping[str, list[Response]], decided: Set[str], judge: Judge) -> None:
    """Hold the vote of every instruction that lacks a row, and keep the rows that it lacks.

    All its responses vote, also the decided ones, so the result does not depend on which rows a kill has left.
    """
    run = context.run
    suites = {suite.instruction_id: suite.id for suite in run.rows(TestSuite)}
    votes = run.ids(SuiteVote)
    unvoted = {name for name, suite in suites.items() if suite not in votes}
    pending = [
        group for name, group in groups.items() if name in unvoted or any(one.id not in decided for one in group)
    ]
    with run.keeping(TestSuite) as keep, run.appending(SuiteVote) as append:
        for start in range(0, len(pending), _BATCH):
            for row in elect(pending[start : start + _BATCH], judge, run.recipe):
                kept = suites.get(row.instruction_id)
                if isinstance(row, SuiteVote):
                    if row.id not in votes and kept in (None, row.id):
                        append(row)
                elif (row.id if isinstance(row, Drop) else row.response_id) not in decided:
                    # An instruction keeps the suite that it has, even if a reference does not always do the same.
                    keep(row if isinstance(row, Drop) or kept is None else _left_out(row, _MERGED))
                    context.progress.advance()


@dataclass(frozen=True)
class _CheckedResponses:
    """The responses of one instruction in order: those that are left out, and the self-consistent ones."""

    drops: list[Drop]
    suites: list[tuple[Response, ParsedSuite]]


def prove(
    groups: list[list[Response]], with_suite: set[str], judge: Judge, recipe: Recipe
) -> Iterator[TestSuite | Drop]:
    """Parse and run the undecided responses of a batch of instructions, and choose the suite with the most cases.

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
    for checked in _check(groups, judge, recipe):
        yield from checked.drops
        consistent = [_suite(response, suite) for response, suite in checked.suites]
        # The suite precedes the spare ones, so that a kill between them leaves no spare one without a suite.
        best = max(consistent, key=lambda suite: len(suite.cases), default=None)  # the earliest of equals
        if best is not None and best.instruction_id not in with_suite:
            yield best
            consistent.remove(best)
        yield from (_left_out(spare, _SPARE) for spare in consistent)


def elect(groups: Sequence[Sequence[Response]], judge: Judge, recipe: Recipe) -> Iterator[TestSuite | SuiteVote | Drop]:
    """Parse and run the responses of a batch of instructions, and merge the suites of each by a vote.

    Args:
        groups: All responses of each instruction.
        judge: Runs the programs.
        recipe: Gives the limits.

    Yields:
        A suite or a drop for each response; before each suite, its vote.

    Raises:
        SandboxError: Programs cannot be run on this machine.
    """
    settings, limits = recipe.suites, limits_of(recipe.verdicts)
    assert settings.responses is not None  # a sealed recipe is filled in
    checked = _check(groups, judge, recipe)
    parsed = [[suite for _, suite in one.suites] for one in checked]
    most = settings.max_cases * settings.responses
    results = vote_all(parsed, judge, limits, min_cases=settings.min_cases, max_cases=most)
    programs = (
        one
        for number, result in enumerate(results)
        if result.suite is not None and len(result.voters) > 1  # a suite alone is proved already
        for one in proof_programs(str(number), result.suite, limits)
    )
    executions = {execution.id: execution for execution in judge.run(programs)}
    for number, (one, result) in enumerate(zip(checked, results, strict=True)):
        is_new = result.suite is not None and len(result.voters) > 1
        reason, detail = unproved(str(number), executions) if is_new else (None, "")
        yield from one.drops
        yield from _elected(one.suites, result, "" if reason is None else f"{reason}: {detail}")


def _elected(
    suites: Sequence[tuple[Response, ParsedSuite]], result: VoteResult, problem: str
) -> Iterator[TestSuite | SuiteVote | Drop]:
    """Yield the rows of one instruction's self-consistent responses.

    `problem` says why the merged suite is not proved; "" if it is.
    """
    voters = [suites[place][0] for place in result.voters]
    base = None if problem or result.base is None else suites[result.base][0]
    if base is not None and result.suite is not None:
        suite = _suite(base, result.suite)
        names = [voter.id for voter in voters]
        yield SuiteVote(id=suite.id, instruction_id=base.instruction_id, responses=names, shares=list(result.shares))
        yield suite
    for place, (response, suite_of_its_own) in enumerate(suites):
        if response not in voters:
            yield _drop(response, _SPARE, "")
        elif problem:
            yield _drop(response, _MERGE_FAILED, problem)
        elif base is None:
            yield _drop(response, _DISAGREEMENT, result.disagreement)
        elif response is not base:
            cases = f"{result.origins.count(place)} of {len(suite_of_its_own.cases)} cases"
            yield _drop(response, _MERGED, f"{cases} went into the suite of response {base.id}")


def _check(groups: Sequence[Sequence[Response]], judge: Judge, recipe: Recipe) -> list[_CheckedResponses]:
    """Parse and run the responses of a batch of instructions."""
    limits = limits_of(recipe.verdicts)
    read: dict[str, ParsedSuite | Unusable] = {
        response.id: parse_suite(response.text, min_cases=recipe.suites.min_cases, max_cases=recipe.suites.max_cases)
        for group in groups
        for response in group
    }
    programs = (
        one
        for name, suite in read.items()
        if isinstance(suite, ParsedSuite)
        for one in proof_programs(name, suite, limits)
    )
    executions = {execution.id: execution for execution in judge.run(programs)}
    batch = []
    for group in groups:
        checked = _CheckedResponses([], [])
        for response in sorted(group, key=lambda response: response.index):
            suite = read[response.id]
            reason, detail = _verdict_on(response, suite, executions)
            if reason is not None:
                checked.drops.append(_drop(response, reason, detail))
            else:
                assert isinstance(suite, ParsedSuite)
                checked.suites.append((response, suite))
        batch.append(checked)
    return batch


def _verdict_on(
    response: Response, suite: ParsedSuite | Unusable, executions: Mapping[str, Execution]
) -> tuple[str | None, str]:
    """Return why a suite is left out, and the evidence; None if it is self-consistent."""
    if isinstance(suite, Unusable):
        return suite.reason, suite.detail
    return unproved(response.id, executions)


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


def _left_out(suite: TestSuite, reason: str) -> Drop:
    return Drop(id=suite.response_id, stage=STAGE, reason=reason, instruction_id=suite.instruction_id)
