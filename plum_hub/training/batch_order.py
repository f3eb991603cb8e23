"""The order of KTO's rows: every batch holds both labels, and no KL pair shares its prompt.

TRL's KTO trainer estimates the KL term from mismatched pairs: within each consecutive block of one device's batch size,
a prompt takes the completion of the row before it, and the first prompt that of the last row. It reads the rows in
order, and batch `i` goes to process `i % world`. So a batch is valid when, read as a ring, no two neighbours share a
prompt; and an epoch is valid when it consists of whole batches, the same number for each process. All functions here
are pure: they depend on the rows and a seed alone.
"""

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from plum_hub.records import digest

DOMINANT = "its prompt has more rows than other prompts can be mixed with"
SCARCE = "no row of the other label left to stand beside it"
REMAINDER = "no whole batch left for every process"
CROWDED = "no batch found in which its prompt has no neighbour of its own"
# These reasons are written to training.json and onto model cards.

_MAX_EXCHANGES = 2_000
"""Batches that are tried for an exchange before a row's batch is given up."""
_LENGTH_BUCKET = 16
"""Batches whose rows are drawn from one range of lengths, with `by_length`."""


@dataclass(frozen=True)
class RowFacts:
    """What the order depends on in a row."""

    prompt: str
    """Key of the prompt: equal if and only if the prompts are equal."""
    label: bool
    tokens: int
    """Length of prompt and completion."""


@dataclass(frozen=True)
class BatchShape:
    """Size and number of batches."""

    batch: int
    """Rows per device batch, at least 2."""
    world: int
    """Number of processes."""
    by_length: bool = False
    """Group rows of similar length into a batch, which reduces padding."""


@dataclass(frozen=True)
class BatchOrder:
    """The rows of one epoch, batch after batch."""

    rows: tuple[int, ...]
    """Positions of rows in the input."""
    left_out: Mapping[str, int]
    """Rows without a place in this epoch, by reason."""


def epochs(rows: Sequence[RowFacts], shape: BatchShape, seed: int, count: int) -> list[BatchOrder]:
    """Draw an order for each epoch. Rows left out of one epoch have priority in the next.

    Args:
        rows: All rows that fit.
        shape: Size and number of batches.
        seed: Sampling seed; each epoch derives its own.
        count: Number of epochs.

    Returns:
        One order per epoch; an order has no rows where no valid batch exists.
    """
    used: Counter[int] = Counter()
    orders = []
    for epoch in range(count):
        order = _epoch(rows, shape, random.Random(digest(seed, epoch)), used)
        used.update(order.rows)
        orders.append(order)
    return orders


def _epoch(rows: Sequence[RowFacts], shape: BatchShape, rng: random.Random, used: Mapping[int, int]) -> BatchOrder:
    """Lay out one epoch; positions that earlier epochs used least come first."""
    left_out: Counter[str] = Counter()
    by_use = sorted(range(len(rows)), key=lambda row: (used.get(row, 0), rng.random()))
    usable = _without_dominant(by_use, rows, shape.batch)
    left_out[DOMINANT] = len(rows) - len(usable)
    labels = [[row for row in usable if rows[row].label is label] for label in (True, False)]
    scarce = min(map(len, labels))
    whole = len(usable) // shape.batch
    count = min(whole, scarce) // shape.world * shape.world
    left_out[SCARCE if scarce < whole else REMAINDER] = len(usable) - count * shape.batch
    if not count:
        return BatchOrder((), +left_out)
    chosen, rejected = (half[:size] for half, size in zip(labels, _shares(labels, count, shape.batch), strict=True))
    batches = []
    for bucket in _buckets(chosen, rejected, rows, shape):
        _separate(bucket, rows, shape.batch // 2, rng)
        batches += bucket
    valid = [batch for batch in batches if _most_frequent(batch, rows) <= shape.batch // 2]
    left_out[CROWDED] = (len(batches) - len(valid)) * shape.batch
    rng.shuffle(valid)
    even = valid[: len(valid) // shape.world * shape.world]
    left_out[REMAINDER] += (len(valid) - len(even)) * shape.batch
    return BatchOrder(tuple(row for batch in even for row in _ring(batch, rows, rng)), +left_out)


def _without_dominant(by_use: Sequence[int], rows: Sequence[RowFacts], batch: int) -> list[int]:
    """Drop rows of prompts that even perfect mixing could not keep apart: one prompt fills at most `batch // 2`."""
    counts = Counter(rows[row].prompt for row in by_use)
    most = batch // 2
    while counts:
        prompt, count = counts.most_common(1)[0]
        allowed = (sum(counts.values()) - count) * most // (batch - most)
        if count <= allowed:
            break
        counts[prompt] = allowed
        if not allowed:
            del counts[prompt]
    kept = []
    for row in by_use:
        if counts[rows[row].prompt] > 0:
            counts[rows[row].prompt] -= 1
            kept.append(row)
    return kept


def _shares(labels: Sequence[Collection[int]], count: int, batch: int) -> tuple[int, int]:
    """Split the rows of `count` batches by label: in proportion, with at least one of each label per batch."""
    chosen, rejected = map(len, labels)
    total = count * batch
    share = round(total * chosen / (chosen + rejected))
    share = min(max(share, count, total - rejected), chosen, total - count)
    return share, total - share


def _buckets(
    chosen: Sequence[int], rejected: Sequence[int], rows: Sequence[RowFacts], shape: BatchShape
) -> list[list[list[int]]]:
    """Deal the rows to batches, label by label and prompt by prompt, so that labels and prompts spread evenly.

    With `by_length` the batches come in buckets of similar length, else in one bucket.
    """
    count = (len(chosen) + len(rejected)) // shape.batch
    edges = [*range(0, count, _LENGTH_BUCKET), count] if shape.by_length else [0, count]
    if shape.by_length:
        chosen, rejected = (sorted(half, key=lambda row: rows[row].tokens) for half in (chosen, rejected))
    buckets = []
    for begin, end in pairwise(edges):
        first, last = (round(len(chosen) * edge / count) for edge in (begin, end))
        halves = chosen[first:last], rejected[begin * shape.batch - first : end * shape.batch - last]
        dealt = [row for half in halves for row in _by_prompt(half, rows)]
        buckets.append([dealt[number :: end - begin] for number in range(end - begin)])
    return buckets


def _by_prompt(half: Sequence[int], rows: Sequence[RowFacts]) -> list[int]:
    """Group rows by prompt, in the order in which prompts first occur."""
    first = {prompt: place for place, prompt in reversed([*enumerate(rows[row].prompt for row in half)])}
    return sorted(half, key=lambda row: first[rows[row].prompt])


def _separate(batches: list[list[int]], rows: Sequence[RowFacts], most: int, rng: random.Random) -> None:
    """Exchange rows of one label between batches until no batch has more than `most` rows of one prompt.

    A batch for which no exchange is found stays as it is.
    """
    counts = [Counter(rows[row].prompt for row in batch) for batch in batches]
    for mine, batch in enumerate(batches):
        for place, row in enumerate(batch):
            prompt = rows[row].prompt
            if counts[mine][prompt] <= most:
                continue
            start = rng.randrange(len(batches))
            for step in range(min(len(batches), _MAX_EXCHANGES)):
                other = (start + step) % len(batches)
                if other == mine or counts[other][prompt] >= most:
                    continue
                partner = _exchangeable(batches[other], row, rows, counts[mine], most)
                if partner is not None:
                    theirs = batches[other][partner]
                    batch[place], batches[other][partner] = theirs, row
                    for moved, source, target in ((row, mine, other), (theirs, other, mine)):
                        counts[source][rows[moved].prompt] -= 1
                        counts[target][rows[moved].prompt] += 1
                    break


def _exchangeable(
    batch: Sequence[int], row: int, rows: Sequence[RowFacts], here: Mapping[str, int], most: int
) -> int | None:
    """Find the position in `batch` of a row that may replace `row` in a batch with the prompt counts `here`."""
    for place, candidate in enumerate(batch):
        facts = rows[candidate]
        if facts.label is rows[row].label and facts.prompt != rows[row].prompt and here.get(facts.prompt, 0) < most:
            return place
    return None


def _most_frequent(batch: Sequence[int], rows: Sequence[RowFacts]) -> int:
    """Count the rows of the most frequent prompt of a batch."""
    return max(Counter(rows[row].prompt for row in batch).values())


def _ring(batch: Sequence[int], rows: Sequence[RowFacts], rng: random.Random) -> list[int]:
    """Order a batch so that neighbours, the last and the first included, differ in their prompts.

    The most frequent prompts come first, on every second place.
    """
    mixed = rng.sample(batch, len(batch))
    counts = Counter(rows[row].prompt for row in mixed)
    names = {prompt: (-count, place) for place, (prompt, count) in enumerate(counts.items())}
    mixed.sort(key=lambda row: names[rows[row].prompt])
    ring = [0] * len(mixed)
    ring[::2], ring[1::2] = mixed[: (len(mixed) + 1) // 2], mixed[(len(mixed) + 1) // 2 :]
    return ring
