"""KTO's weights of the two labels, so that neither outweighs the other by its number."""

from dataclasses import dataclass

_LOWEST, _HIGHEST = 1.0, 4 / 3
"""What the KTO paper (arXiv 2402.01306, equation 8) recommends for weight times number of chosen over that of rejected
rows; TRL warns outside of it and sets nothing."""


@dataclass(frozen=True)
class Weights:
    """What TRL calls `desirable_weight` and `undesirable_weight`."""

    desirable: float = 1.0
    undesirable: float = 1.0


def class_weights(chosen: int, rejected: int) -> Weights:
    """The weights for so many rows of each label: the scarcer side is raised, to the middle of the recommended band,
    and the other left at 1; both are 1 where the numbers are in the band already."""
    ratio = chosen / rejected
    if _LOWEST <= ratio <= _HIGHEST:
        return Weights()
    middle = (_LOWEST + _HIGHEST) / 2
    if ratio < middle:
        return Weights(desirable=middle / ratio)
    return Weights(undesirable=ratio / middle)
