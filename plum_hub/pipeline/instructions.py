"""Stage `instructions`: take the instructions from their source, cleaned and without duplicates."""

from collections import Counter
from collections.abc import Iterable, Iterator

from plum_hub.errors import InstructionsError
from plum_hub.instructions.sources import LoadedInstructions, load
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.published import GENERATE, ROWS, published_suites
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, Instruction, digest


def run_instructions(context: Context) -> None:
    """Append the instructions that are missing.

    Loading is deterministic at a pinned revision, so an interrupted stage continues where it stopped.

    Args:
        context: The run.

    Raises:
        InstructionsError: The source cannot be read or has changed since the recipe was sealed, or none of its rows is
            an instruction; the message says why.
    """
    run = context.run
    existing = run.ids(Instruction)
    dropped = {(drop.id, drop.reason) for drop in run.rows(Drop) if drop.stage == "instructions"}
    limit = run.recipe.instructions.limit
    if limit is not None and len(existing) >= limit:
        context.progress.begin("instructions", len(existing), len(existing))
        context.progress.end()
        return
    context.progress.begin("instructions", limit or 0, len(existing))
    with run.keeping(Instruction) as keep:
        for row in load_rows(run.recipe):
            if isinstance(row, Instruction):
                if row.id not in existing:
                    keep(row)
                    context.progress.advance()
            elif (row.id, row.reason) not in dropped:
                keep(row)
    context.progress.end()


def load_rows(recipe: Recipe) -> Iterator[Instruction | Drop]:
    """Load the instructions of a recipe.

    They are the clean rows of the source, or the instructions of a release that have a suite, up to the limit; of
    these, those that belong to the recipe's part.

    Args:
        recipe: The recipe.

    Yields:
        Instructions, and drops for the rows that are left out.

    Raises:
        InstructionsError: After the last row, if there was no instruction.
    """
    loaded = load(recipe.instructions) if recipe.suites.source in (GENERATE, ROWS) else None
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
    """Explain why a source gave no instruction."""
    if clean:
        return (
            f"{loaded.name}: none of its {clean:,} instructions belongs to the part {part}: take more of them, or "
            "change instructions.held_out or instructions.part"
        )
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return (
        f"{loaded.name}: none of its {reasons.total():,} rows is an instruction (left out: {why}); its columns: "
        f"{', '.join(sorted(loaded.columns))}. Name the column of the tasks with `SOURCE:COLUMN`, or change the "
        "filters (instructions.python_only, min_characters, max_characters)"
    )


def _published(recipe: Recipe) -> Iterable[Instruction | Drop]:
    rows = [instruction for instruction, _ in published_suites(recipe.suites)]
    limit, seed = recipe.instructions.limit, recipe.instructions.seed
    chosen = {row.id for row in sorted(rows, key=lambda row: digest(seed, row.id))[:limit]}
    return [row for row in rows if row.id in chosen]
