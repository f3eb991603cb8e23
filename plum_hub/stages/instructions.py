"""Stage `instructions`: take the instructions from their source, cleaned and without duplicates, into the run."""

from collections.abc import Iterable, Iterator

from plum_hub.instructions.sources import load
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, Instruction, digest
from plum_hub.stages.base import Context
from plum_hub.stages.published import GENERATE, published


def run_instructions(context: Context) -> None:
    """Append the instructions that are not there yet.

    Loading is deterministic at a pinned revision, so a stage cut off in the middle goes on where it stopped.

    Raises:
        InstructionsError: the source cannot be had, or has changed since the recipe was sealed.
    """
    run = context.run
    have = run.ids(Instruction)
    dropped = {(drop.id, drop.reason) for drop in run.rows(Drop) if drop.stage == "instructions"}
    limit = run.recipe.instructions.limit
    if limit is not None and len(have) >= limit:
        context.progress.begin("instructions", len(have), len(have))
        context.progress.end()
        return
    context.progress.begin("instructions", limit or 0, len(have))
    with run.keeping(Instruction) as keep:
        for row in wanted_rows(run.recipe):
            if isinstance(row, Instruction):
                if row.id not in have:
                    keep(row)
                    context.progress.advance()
            elif (row.id, row.reason) not in dropped:
                keep(row)
    context.progress.end()


def wanted_rows(recipe: Recipe) -> Iterator[Instruction | Drop]:
    """The clean rows of the source; of a release the instructions that have a suite, as many as the limit allows; of
    these the recipe's part."""
    for row in _within_limit(recipe):
        if isinstance(row, Drop) or recipe.instructions.has(row.id):
            yield row


def _within_limit(recipe: Recipe) -> Iterable[Instruction | Drop]:
    if recipe.suites.source == GENERATE:
        return load(recipe.instructions).rows
    rows = [instruction for instruction, _ in published(recipe.suites)]
    limit, seed = recipe.instructions.limit, recipe.instructions.seed
    chosen = {row.id for row in sorted(rows, key=lambda row: digest(seed, row.id))[:limit]}
    return [row for row in rows if row.id in chosen]
