"""KTO's class weights and batch size, derived from the label counts."""

from dataclasses import dataclass
from math import ceil

_MIN_RATIO, _MAX_RATIO = 1.0, 4 / 3
"""Recommended range of (desirable weight x chosen rows) / (undesirable weight x rejected rows): KTO paper
(arXiv 2402.01306), equation 8. TRL only warns outside this range."""
MIN_BATCH, _MAX_BATCH = 4, 16
"""Range of the default batch size, in rows."""


@dataclass(frozen=True)
class LabelWeights:
    """Loss weights by label: TRL's `desirable_weight` and `undesirable_weight`."""

    desirable: float = 1.0
    """Of chosen rows."""
    undesirable: float = 1.0
    """Of rejected rows."""


def class_weights(chosen: int, rejected: int) -> LabelWeights:
    """Weight the scarcer label so that the ratio reaches the middle of the recommended range.

    Args:
        chosen: Number of chosen rows, at least 1.
        rejected: Number of rejected rows, at least 1.

    Returns:
        Both weights; the more frequent label keeps 1, and both are 1 where the counts are within the range already.
    """
    ratio = chosen / rejected
    if _MIN_RATIO <= ratio <= _MAX_RATIO:
        return LabelWeights()
    middle = (_MIN_RATIO + _MAX_RATIO) / 2
    if ratio < middle:
        return LabelWeights(desirable=middle / ratio)
    return LabelWeights(undesirable=ratio / middle)


def batch_size(chosen: int, rejected: int) -> int:
    """Choose the smallest batch size at which every row fits into a batch with both labels.

    With one rejected row in seven, smaller batches than 7 would leave chosen rows out.

    Args:
        chosen: Number of chosen rows, at least 1.
        rejected: Number of rejected rows, at least 1.

    Returns:
        Rows per device batch, from 4 to 16.
    """
    return min(max(ceil((chosen + rejected) / min(chosen, rejected)), MIN_BATCH), _MAX_BATCH)
