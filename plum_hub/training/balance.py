"""What follows from how many rows have each label: KTO's weights, so that neither outweighs the other by its number,
and batches that have room for the many beside the few."""

from dataclasses import dataclass
from math import ceil

_LOWEST, _HIGHEST = 1.0, 4 / 3
"""What the KTO paper (arXiv 2402.01306, equation 8) recommends for weight times number of chosen over that of rejected
rows; TRL warns outside of it and sets nothing."""
SMALLEST, _LARGEST = 4, 16
"""Rows of a batch, where nobody says how many."""


@dataclass(frozen=True)
class LabelWeights:
    """What TRL calls `desirable_weight` and `undesirable_weight`."""

    desirable: float = 1.0
    undesirable: float = 1.0


def class_weights(chosen: int, rejected: int) -> LabelWeights:
    """The weights for so many rows of each label: the scarcer side is raised, to the middle of the recommended band,
    and the other left at 1; both are 1 where the numbers are in the band already."""
    ratio = chosen / rejected
    if _LOWEST <= ratio <= _HIGHEST:
        return LabelWeights()
    middle = (_LOWEST + _HIGHEST) / 2
    if ratio < middle:
        return LabelWeights(desirable=middle / ratio)
    return LabelWeights(undesirable=ratio / middle)


def batch_size(chosen: int, rejected: int) -> int:
    """Rows of a batch, from 4 to 16, so that each row finds a place in one with both labels: 7 where the scarcer label
    has every seventh row. In smaller batches some of the other label would be left out."""
    return min(max(ceil((chosen + rejected) / min(chosen, rejected)), SMALLEST), _LARGEST)
