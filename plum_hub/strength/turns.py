"""Take from several sources in turn, so that the first few items are from all of them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_ItemT = TypeVar("_ItemT")


def in_turn(sources: Iterable[Iterable[_ItemT]]) -> Iterator[_ItemT]:
    """Take from sources in turn.

    Args:
        sources: The sources. Each is read no further than its items are taken.

    Yields:
        The first item of each source, then the second of each that has one, and so on.
    """
    left = list(map(iter, sources))
    while left:
        going = []
        for source in left:
            for item in islice(source, 1):
                going.append(source)
                yield item
        left = going
