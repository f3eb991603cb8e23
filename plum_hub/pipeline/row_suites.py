"""Stage `suites` for datasets whose rows have tests of their own (`suites.source: rows`)."""

from collections.abc import Iterator
from itertools import islice
from typing import TypeAlias

from plum_hub.errors import InstructionsError
from plum_hub.execution import Judge
from plum_hub.execution.closeness import without_as_lists
from plum_hub.instructions.sources import source_rows, source_tasks
from plum_hub.judging.cases import judge_of, limits_of
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.own_tests import COLUMNS, RowSuite, UnusableTests, suites_of
from plum_hub.pipeline.proof import run_proofs, unproved
from plum_hub.pipeline.strengthening import Strengthening, strengthening_of
from plum_hub.pipeline.strengths import WEAK, StrengthFilter, measuring
from plum_hub.records import Drop, Instruction, TestSuite, digest
from plum_hub.strength import WeakSuite

_BATCH = 64
"""Instructions whose suites are proved together, and lost together by a kill: seconds of work."""
_PEEKED = 1000
"""Rows that are searched for the column of the tests."""
_Reading: TypeAlias = list[RowSuite] | UnusableTests


def prove_rows(context: Context, stage: str) -> None:
    """Read and prove the tests of every instruction that is not decided yet.

    Args:
        context: The run.
        stage: Name of the stage, for progress and drops.

    Raises:
        InstructionsError: The source cannot be read, or has changed since the recipe was sealed.
        SandboxError: Programs cannot be run on this machine.
    """
    run = context.run
    recipe, instructions = run.recipe, run.ids(Instruction)
    decided = {suite.instruction_id for suite in run.rows(TestSuite)}
    decided |= {drop.instruction_id for drop in run.rows(Drop) if drop.stage == stage and drop.instruction_id}
    context.progress.begin(stage, len(instructions), len(decided))
    column = recipe.suites.column
    if column is not None and instructions - decided:
        _check_column(context, column)
    rows = context.reader(stage, lambda: source_rows(recipe.instructions, COLUMNS | {column or ""}))
    readings = ((name, suites_of(row, column)) for name, row in rows.take(instructions - decided))
    settings = recipe.verdicts
    with (
        judge_of(settings) as judge,
        measuring(run, judge) as strengths,
        run.keeping(TestSuite) as keep,
        strengthening_of(run, judge) as strengthening,
    ):
        while batch := tuple(islice(readings, _BATCH)):
            decided_now = _strengthened(list(_decide(batch, judge, strengths, stage)), strengthening)
            for row in _not_weak(decided_now, strengths, stage):
                keep(row)
                context.progress.advance()
        strengthening.report(context.progress)
    context.progress.end()


def _check_column(context: Context, column: str) -> None:
    """Refuse a column that none of the first rows has: of each row it would be said that it has no tests."""
    config = context.run.recipe.instructions
    known: set[str] = set()
    for _, row in islice(source_tasks(config, COLUMNS | {column}), _PEEKED):
        if column in row:
            return
        known |= row.keys()
    raise InstructionsError(
        f"{config.source} has no column {column!r}; its columns: {', '.join(sorted(known)) or 'none'}. Name that of "
        "the tests with  --suites SOURCE:COLUMN"
    )


def _decide(
    batch: tuple[tuple[str, _Reading], ...], judge: Judge, strengths: StrengthFilter, stage: str
) -> Iterator[TestSuite | Drop]:
    """Prove a batch: of several readings of one row, the first that is proved is the suite.

    Without a reference each reading is proved that no stub passes, and nothing tells which one is meant.
    """
    suites = {
        f"{name}:{number}": suite
        for name, found in batch
        if not isinstance(found, UnusableTests)
        for number, suite in enumerate(found)
    }
    executions = run_proofs(suites, judge, limits_of(strengths.recipe.verdicts))
    for name, found in batch:
        if isinstance(found, UnusableTests):
            yield _drop(name, stage, found.reason, found.detail)
            continue
        results = [unproved(f"{name}:{number}", executions, suite) for number, suite in enumerate(found)]
        proved = [suite for suite, (reason, _) in zip(found, results, strict=True) if reason is None]
        if not proved:
            reason, detail = results[0]
            yield _drop(name, stage, str(reason), detail)
        elif len(proved) > 1 and not proved[0].reference:
            yield _drop(name, stage, "ambiguous_tests", _readings(proved))
        else:
            yield TestSuite.of(name, proved[0])


def _readings(suites: list[RowSuite]) -> str:
    """Show what the first test may mean."""
    first = [one.cases[0] for one in suites[:2]]
    shown = [
        f"{case.call} == {without_as_lists(str(case.expected))}" if case.call else f"input {case.stdin!r:.60}"
        for case in first
    ]
    return f"its first test may be {' or '.join(shown)}, and there is no solution that tells: add one to the row"


def _strengthened(rows: list[TestSuite | Drop], strengthening: Strengthening) -> list[TestSuite | Drop]:
    """Add cases to the proved suites of a batch; a row has no other reference to compare."""
    stronger = iter(strengthening.apply([WeakSuite(row) for row in rows if isinstance(row, TestSuite)]))
    return [next(stronger) if isinstance(row, TestSuite) else row for row in rows]


def _not_weak(rows: list[TestSuite | Drop], strengths: StrengthFilter, stage: str) -> Iterator[TestSuite | Drop]:
    """Measure the proved suites of a batch, and drop those that are too weak."""
    strengths.measure([row for row in rows if isinstance(row, TestSuite)])
    for row in rows:
        weakness = strengths.weakness(row) if isinstance(row, TestSuite) else None
        yield row if weakness is None else _drop(row.instruction_id, stage, WEAK, weakness)


def _drop(instruction_id: str, stage: str, reason: str, detail: str) -> Drop:
    return Drop(
        id=digest(stage, instruction_id), stage=stage, reason=reason, instruction_id=instruction_id, detail=detail
    )
