"""Stage `suites`: have a generator write test suites, and keep the self-consistent ones.

For each instruction it writes a reference solution, starter code and test cases (paper, section 3, "Generating
high-quality test cases"). Every answer is first stored unchanged (`responses`), because answers cost money, and then
parsed and run. A suite is kept only if its own reference passes it twice and stubs fail it (law 3), and if it is not
weaker than the recipe allows. An instruction keeps one suite: the one with the most cases, and the earliest of equals;
or, with `suites.vote`, the one that a vote of their references makes of all (`plum_hub.pipeline.vote`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TypeVar

from plum_hub.answers.suite import ParsedSuite, Unusable, parse_suite
from plum_hub.engines.base import Completion
from plum_hub.execution import Execution, Judge, Limits
from plum_hub.judging.cases import judge_of, limits_of
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
from plum_hub.pipeline.decontamination.stage import removed_ids
from plum_hub.pipeline.proof import run_proofs, unproved
from plum_hub.pipeline.published import GENERATE, ROWS, published_suites
from plum_hub.pipeline.roles import record_roles
from plum_hub.pipeline.row_suites import prove_rows
from plum_hub.pipeline.strengthening import Strengthening, strengthening_of
from plum_hub.pipeline.strengths import WEAK, StrengthFilter, measuring
from plum_hub.pipeline.vote import VoteResult, vote_all
from plum_hub.prompts import answer_schema, conversation, prompt_digest
from plum_hub.recipe import Recipe, suite_template
from plum_hub.records import Drop, Instruction, Response, SuiteVote, TestSuite, digest
from plum_hub.strength import WeakSuite

STAGE = "suites"
"""Name of the stage."""
_SPARE = "spare_suite"
"""Reason of a self-consistent suite that is left out because its instruction has a better one, or it could not vote."""
_MERGED, _DISAGREEMENT, _MERGE_FAILED = "merged", "disagreement", "merge_failed"
"""Reasons with `suites.vote`: the cases went into the suite of another response; too few cases have a majority; the
merged suite is not proved."""
_SELF_CONSISTENT = (_SPARE, WEAK, _MERGED, _DISAGREEMENT, _MERGE_FAILED, "stub_passed")
"""Reasons for which a self-consistent suite is left out."""
_RowT = TypeVar("_RowT", TestSuite | Drop, TestSuite | SuiteVote | Drop)
_BATCH = 64
"""Instructions whose suites are checked together, and lost together by a kill: seconds of work."""


def run_responses(context: Context) -> None:
    """Generate the missing responses, if the recipe has its suites generated.

    Args:
        context: The run.

    Raises:
        EngineError: The generator cannot be opened or failed.
    """
    if context.run.recipe.suites.source == GENERATE:
        _generate(context)


def run_suites(context: Context) -> None:
    """Decide which suites to keep: of those generated, of a release, or of the rows of the source.

    Args:
        context: The run.

    Raises:
        HubError: The published suites cannot be downloaded.
        SandboxError: Programs cannot be run on this machine.
    """
    source = context.run.recipe.suites.source
    if source == GENERATE:
        _decide(context)
        record_roles(context.run)
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
    """Keep the suites of the release that the recipe names. They were proved before they were published."""
    run, settings = context.run, context.run.recipe.verdicts
    done = run.ids(TestSuite) | {drop.id for drop in run.rows(Drop) if drop.stage == STAGE}
    instruction_ids = run.ids(Instruction)
    published = context.reader(STAGE, lambda: ((one.id, suite) for one, suite in published_suites(run.recipe.suites)))
    suites: list[TestSuite] = [suite for _, suite in published.take(instruction_ids)]
    pending = [suite for suite in suites if suite.id not in done]
    context.progress.begin(STAGE, len(suites), len(suites) - len(pending))
    with (
        judge_of(settings) as judge,
        measuring(run, judge) as strengths,
        run.keeping(TestSuite) as keep,
    ):
        for start in range(0, len(pending), _BATCH):
            batch = pending[start : start + _BATCH]
            strengths.measure(batch)
            for suite in batch:
                weakness = strengths.weakness(suite)
                keep(suite if weakness is None else replace(_left_out(suite, WEAK, weakness), id=suite.id))
                context.progress.advance()
    context.progress.end()


def _generate(context: Context) -> None:
    recipe = context.run.recipe
    engine, settings = recipe.generator, recipe.suites
    removed = removed_ids(context.run)
    requests = [
        request
        for instruction in context.run.rows(Instruction)
        if instruction.id not in removed
        for request in generator_requests(recipe, instruction)
    ]
    sampling = sampling_of(settings)
    requests = within_budget(context, Response, engine, requests, sampling)
    pending = pending_requests(context, Response, "responses", requests)
    context.progress.expect(min(RESPONSE_TOKENS, settings.max_tokens))
    generate_rows(context, Response, engine, pending, sampling)


def generator_requests(recipe: Recipe, instruction: Instruction) -> Iterator[RowRequest[Response]]:
    """List the requests for the suites of one instruction, which share its prompt.

    Args:
        recipe: A sealed recipe.
        instruction: The instruction.

    Yields:
        One request for each response.
    """
    assert recipe.suites.responses is not None  # a sealed recipe is filled in
    for index in range(recipe.suites.responses):
        yield _request(recipe, instruction, index)


def _request(recipe: Recipe, instruction: Instruction, index: int) -> RowRequest[Response]:
    settings, template = recipe.suites, suite_template(recipe.suites)
    prompt_id = prompt_digest(template)
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

    prompt = conversation(template, instruction=instruction.text)
    return RowRequest(
        id=name,
        instruction_id=instruction.id,
        prompt=prompt,
        seed=seed,
        keep=keep,
        schema=answer_schema(template),
    )


def _decide(context: Context) -> None:
    """Parse and check the responses of every instruction that has an undecided one."""
    run = context.run
    groups: dict[str, list[Response]] = defaultdict(list)
    for response in run.rows(Response):
        groups[response.instruction_id].append(response)
    decided = {suite.response_id for suite in run.rows(TestSuite)}
    decided |= {drop.id for drop in run.rows(Drop) if drop.stage == STAGE}
    context.progress.begin(STAGE, sum(map(len, groups.values())), len(decided))
    settings = run.recipe.verdicts
    decide = _decide_by_vote if run.recipe.suites.vote else _decide_by_size
    with (
        judge_of(settings) as judge,
        measuring(run, judge) as strengths,
    ):
        decide(context, groups, decided, judge, strengths)
    context.progress.end()


def _decide_by_size(
    context: Context, groups: Mapping[str, list[Response]], decided: Set[str], judge: Judge, strengths: StrengthFilter
) -> None:
    """Choose a suite for every instruction with an undecided response, and keep the rows that are lacking.

    Where cases are added, the references of all responses count, also of the decided ones, so the result does not
    depend on which rows a kill has left.
    """
    run = context.run
    with_suite = {suite.instruction_id for suite in run.rows(TestSuite)}
    whole = run.recipe.suites.strengthen > 0
    undecided = ([one for one in group if one.id not in decided] for group in groups.values())
    pending = [group if whole else left for group, left in zip(groups.values(), undecided, strict=True) if left]
    with run.keeping(TestSuite) as keep, strengthening_of(run, judge) as strengthening:
        for start in range(0, len(pending), _BATCH):
            batch = pending[start : start + _BATCH]
            for row in _in_order(prove(batch, with_suite, strengthening, strengths), batch):
                if _response_of(row) not in decided:
                    keep(row)
                    context.progress.advance()
    strengthening.report(context.progress)


def _decide_by_vote(
    context: Context, groups: Mapping[str, list[Response]], decided: Set[str], judge: Judge, strengths: StrengthFilter
) -> None:
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
    with (
        run.keeping(TestSuite) as keep,
        run.appending(SuiteVote) as append,
        strengthening_of(run, judge) as strengthening,
    ):
        for start in range(0, len(pending), _BATCH):
            batch = pending[start : start + _BATCH]
            for row in _in_order(elect(batch, strengthening, strengths), batch):
                kept = suites.get(row.instruction_id)
                if isinstance(row, SuiteVote):
                    if row.id not in votes and kept in (None, row.id):
                        append(row)
                elif _response_of(row) not in decided:
                    # An instruction keeps the suite that it has, even if a reference does not always do the same.
                    keep(row if isinstance(row, Drop) or kept is None else _left_out(row, _MERGED))
                    context.progress.advance()
    strengthening.report(context.progress)


def _in_order(rows: Iterable[_RowT], batch: Sequence[Sequence[Response]]) -> list[_RowT]:
    """Put the rows of a batch into the order of its instructions, which does not depend on where a batch begins."""
    places = {group[0].instruction_id: place for place, group in enumerate(batch)}
    return sorted(rows, key=lambda row: places[row.instruction_id])  # stable


@dataclass(frozen=True)
class _CheckedResponses:
    """The responses of one instruction in order: those that are left out, and the self-consistent ones."""

    drops: list[Drop]
    suites: list[tuple[Response, ParsedSuite]]

    def as_suites(self) -> list[TestSuite]:
        """Return the self-consistent ones as records."""
        return [
            TestSuite.of(response.instruction_id, suite, response_id=response.id) for response, suite in self.suites
        ]


def prove(
    groups: list[list[Response]], with_suite: set[str], strengthening: Strengthening, strengths: StrengthFilter
) -> Iterator[TestSuite | Drop]:
    """Parse and run the responses of a batch of instructions, and choose the suite with the most cases.

    Args:
        groups: Responses by instruction.
        with_suite: Instructions that have a suite already.
        strengthening: Adds cases to a suite, and has the judge.
        strengths: Tells which suites are too weak, and has the recipe, which gives the limits.

    Yields:
        A suite or a drop for each response.

    Raises:
        SandboxError: Programs cannot be run on this machine.
    """
    checked = _check(groups, strengthening.judge, strengths.recipe)
    for one in checked:
        yield from one.drops
    yield from _choose([one.as_suites() for one in checked], with_suite, strengthening, strengths)


def _choose(
    groups: list[list[TestSuite]], with_suite: set[str], strengthening: Strengthening, strengths: StrengthFilter
) -> Iterator[TestSuite | Drop]:
    """Choose one of the self-consistent suites of each instruction that has none yet: the best that is not too weak.

    No more suites are strengthened and measured than that takes. A suite precedes the spare ones of its instruction,
    so that a kill between them leaves no spare one without a suite.
    """
    # The most cases first, and the earliest of equals; sorting is stable.
    waiting = [sorted(group, key=lambda suite: -len(suite.cases)) for group in groups]
    others = {suite.id: _others(suite, group) for group in groups for suite in group}
    while waiting := [group for group in waiting if group]:
        chosen = [group for group in waiting if group[0].instruction_id not in with_suite]
        stronger = strengthening.apply([WeakSuite(group[0], others[group[0].id]) for group in chosen])
        for group, suite in zip(chosen, stronger, strict=True):
            group[0] = suite
        strengths.measure(stronger)
        for group in waiting:
            best = group[0]
            if best.instruction_id not in with_suite:
                del group[0]
                if (weakness := strengths.weakness(best)) is not None:
                    yield _left_out(best, WEAK, weakness)
                    continue  # the next best has its turn
                yield best
            for spare in group:
                yield _left_out(spare, _SPARE)
            group.clear()


def elect(
    groups: Sequence[Sequence[Response]], strengthening: Strengthening, strengths: StrengthFilter
) -> Iterator[TestSuite | SuiteVote | Drop]:
    """Parse and run the responses of a batch of instructions, and merge the suites of each by a vote.

    Args:
        groups: All responses of each instruction.
        strengthening: Adds cases to a merged suite, and has the judge.
        strengths: Tells which suites are too weak, and has the recipe, which gives the limits.

    Yields:
        A suite or a drop for each response; before each suite, its vote.

    Raises:
        SandboxError: Programs cannot be run on this machine.
    """
    recipe, judge = strengths.recipe, strengthening.judge
    settings, limits = recipe.suites, limits_of(recipe.verdicts)
    assert settings.responses is not None  # a sealed recipe is filled in
    checked = _check(groups, judge, recipe)
    parsed = [[suite for _, suite in one.suites] for one in checked]
    most = settings.max_cases * settings.responses
    results = vote_all(parsed, judge, limits, min_cases=settings.min_cases, max_cases=most)
    elections = [
        _Election(one.suites, result, problem)
        for one, result, problem in zip(checked, results, _problems(results, judge, limits), strict=True)
    ]
    elections = _strengthened(elections, checked, strengthening)
    strengths.measure([suite for one in elections if (suite := one.suite()) is not None])
    for one, election in zip(checked, elections, strict=True):
        yield from one.drops
        yield from election.rows(strengths)


def _strengthened(
    elections: Sequence["_Election"], checked: Sequence[_CheckedResponses], strengthening: Strengthening
) -> list["_Election"]:
    """Add cases to the suites that were elected."""
    elected = {number: suite for number, one in enumerate(elections) if (suite := one.suite()) is not None}
    weak = [WeakSuite(suite, _others(suite, checked[number].as_suites())) for number, suite in elected.items()]
    stronger = dict(zip(elected, strengthening.apply(weak), strict=True))
    return [one.with_cases_of(stronger[number]) if number in stronger else one for number, one in enumerate(elections)]


def _problems(results: Sequence[VoteResult], judge: Judge, limits: Limits) -> list[str]:
    """Prove the suites that votes have merged; for each result, return why it is not proved, or "" if it is."""
    merged = {str(number): result.suite for number, result in enumerate(results) if len(result.voters) > 1}
    proved = {name: suite for name, suite in merged.items() if suite is not None}  # a suite alone is proved already
    executions = run_proofs(proved, judge, limits)
    problems = [""] * len(results)
    for name, suite in proved.items():
        reason, detail = unproved(name, executions, suite)
        problems[int(name)] = "" if reason is None else f"{reason}: {detail}"
    return problems


@dataclass(frozen=True)
class _Election:
    """The vote of one instruction's self-consistent responses; `problem` says why the merged suite is not proved."""

    suites: Sequence[tuple[Response, ParsedSuite]]
    result: VoteResult
    problem: str

    def base(self) -> Response | None:
        """Return the response whose reference is taken; None if there is no suite."""
        place = None if self.problem else self.result.base
        return None if place is None else self.suites[place][0]

    def suite(self) -> TestSuite | None:
        base = self.base()
        if base is None or self.result.suite is None:
            return None
        return TestSuite.of(base.instruction_id, self.result.suite, response_id=base.id)

    def with_cases_of(self, stronger: TestSuite) -> "_Election":
        """Take the cases of the suite with further ones behind its own, which all voters' references pass."""
        suite, result = self.result.suite, self.result
        assert suite is not None
        assert result.base is not None
        added = len(stronger.cases) - len(suite.cases)
        shares, origins = result.shares + (1.0,) * added, result.origins + (result.base,) * added
        suite = replace(suite, cases=stronger.cases)
        return replace(self, result=replace(result, suite=suite, shares=shares, origins=origins))

    def rows(self, strengths: StrengthFilter) -> Iterator[TestSuite | SuiteVote | Drop]:
        """Yield the vote and the suite, unless it is too weak, and a drop for each response that gave none."""
        base, suite, result = self.base(), self.suite(), self.result
        voters = [self.suites[place][0] for place in result.voters]
        weakness = None if suite is None else strengths.weakness(suite)
        if suite is not None and weakness is not None:
            yield _left_out(suite, WEAK, weakness)
        elif suite is not None:
            names = [voter.id for voter in voters]
            yield SuiteVote(
                id=suite.id, instruction_id=suite.instruction_id, responses=names, shares=list(result.shares)
            )
            yield suite
        for place, (response, suite_of_its_own) in enumerate(self.suites):
            if response not in voters:
                yield _drop(response, _SPARE, "")
            elif self.problem:
                yield _drop(response, _MERGE_FAILED, self.problem)
            elif base is None:
                yield _drop(response, _DISAGREEMENT, result.disagreement)
            elif response is not base:
                cases = f"{result.origins.count(place)} of {len(suite_of_its_own.cases)} cases"
                yield _drop(response, _MERGED, f"{cases} went into the suite of response {base.id}")


def _check(groups: Sequence[Sequence[Response]], judge: Judge, recipe: Recipe) -> list[_CheckedResponses]:
    """Parse and run the responses of a batch of instructions."""
    read: dict[str, ParsedSuite | Unusable] = {
        response.id: parse_suite(response.text, min_cases=recipe.suites.min_cases, max_cases=recipe.suites.max_cases)
        for group in groups
        for response in group
    }
    parsed = {name: suite for name, suite in read.items() if isinstance(suite, ParsedSuite)}
    executions = run_proofs(parsed, judge, limits_of(recipe.verdicts))
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
    return unproved(response.id, executions, suite)


def _others(suite: TestSuite, group: Sequence[TestSuite]) -> list[TestSuite]:
    """Return the suites of a group that other responses gave."""
    return [one for one in group if one.response_id != suite.response_id]


def _response_of(row: TestSuite | Drop) -> str:
    return row.id if isinstance(row, Drop) else row.response_id


def _drop(response: Response, reason: str, detail: str) -> Drop:
    return Drop(id=response.id, stage=STAGE, reason=reason, instruction_id=response.instruction_id, detail=detail)


def _left_out(suite: TestSuite, reason: str, detail: str = "") -> Drop:
    return Drop(id=suite.response_id, stage=STAGE, reason=reason, instruction_id=suite.instruction_id, detail=detail)
