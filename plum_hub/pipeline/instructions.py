"""Stage `instructions`: take the instructions from their source, cleaned and without duplicates."""

from collections import Counter
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack
from heapq import nsmallest

from plum_hub.errors import InstructionsError
from plum_hub.instructions.sources import LoadedInstructions, is_gone, load
from plum_hub.pipeline.base import Context
from plum_hub.pipeline.published import GENERATE, ROWS, published_suites
from plum_hub.pipeline.shards import shard_size, weights
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, Instruction, Response, Sample, TestSuite, digest
from plum_hub.run import Run


def run_instructions(context: Context) -> None:
    """Append the instructions that are missing, filling one shard after the other.

    Loading is deterministic at a pinned revision, so an interrupted stage continues where it stopped. What fits a time
    limit is chosen among all instructions, so a run with one has one shard.

    Args:
        context: The run, not one of its shards.

    Raises:
        InstructionsError: The source cannot be read or has changed since the recipe was sealed, or none of its rows is
            an instruction; the message says why.
    """
    run = context.run
    existing = run.ids(Instruction)
    dropped = {(drop.id, drop.reason) for drop in run.rows(Drop) if drop.stage == "instructions"}
    limit = run.recipe.instructions.limit
    gone = is_gone(run.recipe.instructions) and _was_read(run, existing)
    if gone:
        context.progress.say(f"{run.recipe.instructions.source}: is not here, and was read before; the rows are kept")
    if gone or (limit is not None and len(existing) >= limit):
        context.progress.begin("instructions", len(existing), len(existing))
        context.progress.end()
        return
    context.progress.begin("instructions", limit or 0, len(existing))
    with _ShardFiller(run, _size(context)) as fill:
        for row in load_rows(run.recipe):
            if isinstance(row, Instruction):
                if row.id not in existing:
                    fill.keep(row)
                    context.progress.advance()
            elif (row.id, row.reason) not in dropped:
                fill.keep(row)
    context.progress.end()


def _was_read(run: Run, existing: Set[str]) -> bool:
    """Tell whether the source was read to its end: later stages have begun, and lack none of their instructions."""
    later = (Response, TestSuite, Sample)
    return any(run.has(kind) for kind in later) and all(
        of in existing for kind in later for (of,) in run.columns(kind, "instruction_id")
    )


def _size(context: Context) -> int | None:
    """Return the instructions of a shard; None for no limit."""
    recipe = context.run.recipe
    if recipe.budget.minutes is not None:
        return None
    if context.workers == 1:
        return shard_size(None)
    with context.progress.waiting("counting the instructions"):
        return shard_size(sum(isinstance(row, Instruction) for row in load_rows(recipe)), context.workers)


class _ShardFiller(ExitStack):
    """Appends to the last shard, and makes another one when it is full."""

    def __init__(self, run: Run, size: int | None) -> None:
        super().__init__()
        self._run, self._size = run, size
        last = run.shards[-1]
        self._number, self._held = len(run.names) - 1, weights((last,))[last.names[0]]
        self._append: Callable[[Instruction | Drop], None] = self.enter_context(last.keeping(Instruction))

    def keep(self, row: Instruction | Drop) -> None:
        if isinstance(row, Instruction):
            if self._size is not None and self._held >= self._size:
                self.close()
                self._number, self._held = self._number + 1, 0
                self._append = self.enter_context(self._run.shard(self._number).keeping(Instruction))
            self._held += 1
        self._append(row)


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


def _published(recipe: Recipe) -> Iterator[Instruction | Drop]:
    limit, seed = recipe.instructions.limit, recipe.instructions.seed
    names = (instruction.id for instruction, _ in published_suites(recipe.suites))
    chosen = None if limit is None else set(nsmallest(limit, names, key=lambda name: digest(seed, name)))
    for instruction, _ in published_suites(recipe.suites):
        if chosen is None or instruction.id in chosen:
            yield instruction
