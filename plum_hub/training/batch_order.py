"""The order of KTO's rows: batches in which no KL pair shares its prompt and both labels are present, by construction.

TRL's KTO trainer estimates the KL term from mismatched pairs: within each consecutive block of one device's batch size,
a prompt takes the completion of the row before it, and the first that of the last. It reads the rows in order, and
batch `i` goes to process `i % world`. So a batch is right when, seen as a ring, no two neighbours have one prompt; and
the rows are right when they are whole batches, as many for each process. Pure functions of the rows and a seed.
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

_LOOKS = 2_000
"""Batches that are looked at for an exchange, before a row's batch is given up."""
_ALIKE = 16
"""Batches whose rows are drawn from one range of lengths, where lengths are grouped."""


@dataclass(frozen=True)
class RowFacts:
    """What the order must know of a row."""

    prompt: str
    """Any name that two rows share if and only if they share their prompt."""
    label: bool
    tokens: int


@dataclass(frozen=True)
class BatchShape:
    """What batches must be."""

    batch: int
    """Rows of one batch on one device; at least 2."""
    world: int
    """Processes."""
    by_length: bool = False
    """Whether the rows of a batch shall have like lengths, so that little is padded."""


@dataclass(frozen=True)
class BatchOrder:
    """One epoch: positions of rows, batch after batch; and how many rows have no place in it, by reason."""

    rows: tuple[int, ...]
    left_out: Mapping[str, int]


def epochs(rows: Sequence[RowFacts], shape: BatchShape, seed: int, number: int) -> list[BatchOrder]:
    """So many epochs, each drawn anew. What one had to leave out is taken first in the next."""
    used: Counter[int] = Counter()
    found = []
    for epoch in range(number):
        order = lay_out(rows, shape, random.Random(digest(seed, epoch)), used)
        used.update(order.rows)
        found.append(order)
    return found


def lay_out(rows: Sequence[RowFacts], shape: BatchShape, draw: random.Random, used: Mapping[int, int]) -> BatchOrder:
    """One epoch.

    Args:
        rows: all that may be in it.
        shape: what batches must be.
        draw: decides wherever there is a choice.
        used: how often each position was used before, none where it is not named; the least used come first.
    """
    left_out: Counter[str] = Counter()
    by_need = sorted(range(len(rows)), key=lambda row: (used.get(row, 0), draw.random()))
    usable = _without_dominant(by_need, rows, shape.batch)
    left_out[DOMINANT] = len(rows) - len(usable)
    labels = [[row for row in usable if rows[row].label is wanted] for wanted in (True, False)]
    scarce = min(map(len, labels))
    whole = len(usable) // shape.batch
    count = min(whole, scarce) // shape.world * shape.world
    left_out[SCARCE if scarce < whole else REMAINDER] = len(usable) - count * shape.batch
    if not count:
        return BatchOrder((), +left_out)
    chosen, rejected = (half[:size] for half, size in zip(labels, _shares(labels, count, shape.batch), strict=True))
    batches = []
    for some in _slices(chosen, rejected, rows, shape):
        _separate(some, rows, shape.batch // 2, draw)
        batches += some
    good = [batch for batch in batches if _most(batch, rows) <= shape.batch // 2]
    left_out[CROWDED] = (len(batches) - len(good)) * shape.batch
    draw.shuffle(good)
    fitting = good[: len(good) // shape.world * shape.world]
    left_out[REMAINDER] += (len(good) - len(fitting)) * shape.batch
    return BatchOrder(tuple(row for batch in fitting for row in _ring(batch, rows, draw)), +left_out)


def _without_dominant(by_need: Sequence[int], rows: Sequence[RowFacts], batch: int) -> list[int]:
    """The rows without those of a prompt that even perfect mixing could not keep apart: at most `batch // 2` of a batch
    may have one prompt."""
    counts = Counter(rows[row].prompt for row in by_need)
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
    for row in by_need:
        if counts[rows[row].prompt] > 0:
            counts[rows[row].prompt] -= 1
            kept.append(row)
    return kept


def _shares(labels: Sequence[Collection[int]], count: int, batch: int) -> tuple[int, int]:
    """How many rows of each label `count` batches take: as they stand to each other, and one a batch at least."""
    chosen, rejected = map(len, labels)
    total = count * batch
    wanted = round(total * chosen / (chosen + rejected))
    wanted = min(max(wanted, count, total - rejected), chosen, total - count)
    return wanted, total - wanted


def _slices(
    chosen: Sequence[int], rejected: Sequence[int], rows: Sequence[RowFacts], shape: BatchShape
) -> list[list[list[int]]]:
    """The rows dealt to batches, label by label and prompt by prompt, so that each batch gets its share of both labels
    and as few rows of one prompt as can be; in slices of like length where that is wanted."""
    count = (len(chosen) + len(rejected)) // shape.batch
    edges = [*range(0, count, _ALIKE), count] if shape.by_length else [0, count]
    if shape.by_length:
        chosen, rejected = (sorted(half, key=lambda row: rows[row].tokens) for half in (chosen, rejected))
    found = []
    for begin, end in pairwise(edges):
        first, last = (round(len(chosen) * edge / count) for edge in (begin, end))
        some = chosen[first:last], rejected[begin * shape.batch - first : end * shape.batch - last]
        dealt = [row for half in some for row in _together(half, rows)]
        found.append([dealt[number :: end - begin] for number in range(end - begin)])
    return found


def _together(half: Sequence[int], rows: Sequence[RowFacts]) -> list[int]:
    """Rows of one prompt next to one another, prompts in the order in which they are first met."""
    first = {prompt: place for place, prompt in reversed([*enumerate(rows[row].prompt for row in half)])}
    return sorted(half, key=lambda row: first[rows[row].prompt])


def _separate(batches: list[list[int]], rows: Sequence[RowFacts], most: int, draw: random.Random) -> None:
    """Exchange rows of one label between batches, until no batch has more than `most` rows of one prompt; a batch for
    which no exchange is found stays as it is."""
    counts = [Counter(rows[row].prompt for row in batch) for batch in batches]
    for mine, batch in enumerate(batches):
        for place, row in enumerate(batch):
            prompt = rows[row].prompt
            if counts[mine][prompt] <= most:
                continue
            start = draw.randrange(len(batches))
            for step in range(min(len(batches), _LOOKS)):
                other = (start + step) % len(batches)
                if other == mine or counts[other][prompt] >= most:
                    continue
                there = _exchangeable(batches[other], row, rows, counts[mine], most)
                if there is not None:
                    theirs = batches[other][there]
                    batch[place], batches[other][there] = theirs, row
                    for mover, lost, won in ((row, mine, other), (theirs, other, mine)):
                        counts[lost][rows[mover].prompt] -= 1
                        counts[won][rows[mover].prompt] += 1
                    break


def _exchangeable(
    batch: Sequence[int], row: int, rows: Sequence[RowFacts], here: Mapping[str, int], most: int
) -> int | None:
    """The place in `batch` of a row that may come here instead of `row`."""
    for place, candidate in enumerate(batch):
        facts = rows[candidate]
        if facts.label is rows[row].label and facts.prompt != rows[row].prompt and here.get(facts.prompt, 0) < most:
            return place
    return None


def _most(batch: Sequence[int], rows: Sequence[RowFacts]) -> int:
    """How many rows of a batch share the prompt that most of them share."""
    return max(Counter(rows[row].prompt for row in batch).values())


def _ring(batch: Sequence[int], rows: Sequence[RowFacts], draw: random.Random) -> list[int]:
    """The batch in an order in which no neighbours share a prompt, nor the last and the first: prompts with the most
    rows come first, on every second place."""
    mixed = draw.sample(batch, len(batch))
    counts = Counter(rows[row].prompt for row in mixed)
    names = {prompt: (-count, place) for place, (prompt, count) in enumerate(counts.items())}
    mixed.sort(key=lambda row: names[rows[row].prompt])
    ring = [0] * len(mixed)
    ring[::2], ring[1::2] = mixed[: (len(mixed) + 1) // 2], mixed[(len(mixed) + 1) // 2 :]
    return ring
