"""The order of KTO's rows, over many shapes: what TRL would pair, never with its own prompt; both labels everywhere."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from plum_hub.training.batch_order import CROWDED, DOMINANT, REMAINDER, SCARCE, BatchOrder, BatchShape, RowFacts, epochs


def data(prompts: int, each: int, share: float, seed: int = 0) -> list[RowFacts]:
    """Samples of a prompt next to one another, as a run has them; each prompt has its own difficulty."""
    draw = random.Random(seed)
    rows = []
    for prompt in range(prompts):
        easy = min(1.0, max(0.0, draw.gauss(share, 0.15))) if 0.1 < share < 0.9 else share
        rows += [RowFacts(str(prompt), draw.random() < easy, draw.randrange(20, 400)) for _ in range(each)]
    return rows


def batches(order: BatchOrder, size: int) -> Iterator[tuple[int, ...]]:
    assert len(order.rows) % size == 0
    for start in range(0, len(order.rows), size):
        yield order.rows[start : start + size]


def check(rows: Sequence[RowFacts], order: BatchOrder, shape: BatchShape) -> None:
    assert len(set(order.rows)) == len(order.rows)
    assert len(order.rows) % (shape.batch * shape.world) == 0
    assert len(order.rows) + sum(order.left_out.values()) == len(rows)
    for batch in batches(order, shape.batch):
        assert {rows[row].label for row in batch} == {True, False}
        for row, before in zip(batch, (batch[-1], *batch), strict=False):
            assert rows[row].prompt != rows[before].prompt


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("batch", [4, 8, 16])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_thousand_prompts_of_twenty_samples(batch: int, world: int, share: float) -> None:
    rows, shape = data(1000, 20, share), BatchShape(batch, world)
    (order,) = epochs(rows, shape, 1, 1)
    check(rows, order, shape)
    scarce = min(Counter(row.label for row in rows).values())
    possible = min(len(rows) // batch, scarce) // world * world
    assert len(order.rows) == possible * batch  # no row is left out that need not be
    assert set(order.left_out) <= {SCARCE if scarce < len(rows) // batch else REMAINDER}


def test_any_shape_is_right_or_says_what_it_left_out() -> None:
    draw = random.Random(5)
    for trial in range(1500):
        rows = data(draw.randrange(1, 12), draw.randrange(1, 9), draw.random(), trial)
        shape = BatchShape(draw.randrange(2, 10), draw.randrange(1, 4), by_length=draw.random() < 0.5)
        for order in epochs(rows, shape, trial, 2):
            check(rows, order, shape)


@pytest.mark.parametrize("batch", [4, 5, 8, 16])
def test_few_prompts_are_enough_where_a_ring_of_them_exists(batch: int) -> None:
    rows, shape = data(4, 40, 0.5), BatchShape(batch, 1)
    (order,) = epochs(rows, shape, 0, 1)
    check(rows, order, shape)
    assert sum(order.left_out.values()) < batch


def test_pairs_of_two_rows_are_mostly_found() -> None:
    rows, shape = data(50, 20, 0.5), BatchShape(2, 1)
    (order,) = epochs(rows, shape, 0, 1)
    check(rows, order, shape)
    assert order.left_out[SCARCE] + order.left_out.get(CROWDED, 0) < 0.1 * len(rows)


def test_a_dominant_prompt_gives_up_only_what_cannot_be_mixed() -> None:
    rows = [RowFacts("a", number % 2 == 0, 9) for number in range(100)]
    rows += [RowFacts(str(number), number % 2 == 0, 9) for number in range(20)]
    shape = BatchShape(4, 1)
    (order,) = epochs(rows, shape, 0, 1)
    check(rows, order, shape)
    assert order.left_out == {DOMINANT: 80}


def test_one_prompt_or_one_label_gives_no_batch() -> None:
    assert epochs([RowFacts("a", number % 2 == 0, 9) for number in range(40)], BatchShape(4, 1), 0, 1)[0].rows == ()
    assert epochs([RowFacts(str(number), True, 9) for number in range(40)], BatchShape(4, 1), 0, 1)[0].rows == ()


def test_epochs_differ_and_take_first_what_was_left_out() -> None:
    rows, shape = data(100, 20, 0.05), BatchShape(4, 1)  # every epoch can hold a fifth of the rejected
    orders = epochs(rows, shape, 3, 4)
    assert len({order.rows for order in orders}) == 4
    used = Counter(row for order in orders for row in order.rows if not rows[row].label)
    assert set(used.values()) == {1}
    assert epochs(rows, shape, 3, 4) == orders
    assert epochs(rows, shape, 4, 1)[0].rows != orders[0].rows


def test_lengths_are_grouped_where_wanted() -> None:
    rows = data(200, 10, 0.5)

    def padded(shape: BatchShape) -> float:
        (order,) = epochs(rows, shape, 0, 1)
        check(rows, order, shape)
        tokens = sum(rows[row].tokens for row in order.rows)
        return sum(max(rows[row].tokens for row in batch) * 8 for batch in batches(order, 8)) / tokens

    assert padded(BatchShape(8, 1, by_length=True)) < 1.25 < 1.5 < padded(BatchShape(8, 1))
