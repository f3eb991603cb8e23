"""Stage `instructions`: take the instructions from their source, cleaned and without duplicates, into the run."""

from collections import Counter
from collections.abc import Iterable, Iterator

from plum_hub.errors import InstructionsError
from plum_hub.instructions.sources import LoadedInstructions, load
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.published import GENERATE, published
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, Instruction, digest


def run_instructions(context: Context) -> None:
    """Append the instructions that are not there yet.

    Loading is deterministic at a pinned revision, so a stage cut off in the middle goes on where it stopped.

    Raises:
        InstructionsError: the source cannot be had, or has changed since the recipe was sealed; or no row of it is an
            instruction, and why.
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
    these the recipe's part.

    Raises:
        InstructionsError: at the end, if there was not one instruction.
    """
    loaded = load(recipe.instructions) if recipe.suites.source == GENERATE else None
    reasons: Counter[str] = Counter()
    clean = kept = 0
    for row in _published(recipe) if loaded is None else loaded.rows:
        if isinstance(row, Drop):
            reasons[row.reason] += 1
        else:
            clean += 1
        if isinstance(row, Drop) or recipe.instructions.selects(row.id):
            kept += isinstance(row, Instruction)
            yield row
    if loaded is not None and not kept:
        raise InstructionsError(_nothing(loaded, reasons, clean, recipe.instructions.part))


def _nothing(loaded: LoadedInstructions, reasons: Counter[str], clean: int, part: str) -> str:
    """Why a source gave no instruction."""
    if clean:
        return (
            f"{loaded.name}: none of its {clean:,} instructions belongs to the part {part}: take more of them, or set "
            "instructions.held_out or instructions.part otherwise"
        )
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return (
        f"{loaded.name}: none of its {reasons.total():,} rows is an instruction (left out: {why}); its columns: "
        f"{', '.join(sorted(loaded.columns))}. Name the column of the tasks with `SOURCE:COLUMN`, or set what leaves "
        "rows out (instructions.python_only, min_characters, max_characters)"
    )


def _published(recipe: Recipe) -> Iterable[Instruction | Drop]:
    rows = [instruction for instruction, _ in published(recipe.suites)]
    limit, seed = recipe.instructions.limit, recipe.instructions.seed
    chosen = {row.id for row in sorted(rows, key=lambda row: digest(seed, row.id))[:limit]}
    return [row for row in rows if row.id in chosen]
