"""Which rows have a key, for many millions of rows: sorted arrays instead of a dictionary."""

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    _Run: TypeAlias = tuple[
        "np.ndarray[tuple[int], np.dtype[np.uint64]]", "np.ndarray[tuple[int], np.dtype[np.uint32]]"
    ]

_RECENT = 1 << 14
"""Entries that wait in a dictionary until they are sorted."""
_LARGEST = 1 << 24
"""Entries of a sorted array that is never merged again, which bounds the memory of a merge to some 600 MB."""


class KeyIndex:
    """Numbers by 64-bit key; several numbers may have the same key. An entry takes 12 bytes.

    New entries are in a dictionary. When it is full they become a sorted array, and arrays of similar size are merged,
    so that a search looks into a number of arrays that grows with the logarithm of the entries.
    """

    def __init__(self) -> None:
        self._recent: dict[int, list[int]] = {}
        self._waiting = 0
        self._runs: list[_Run] = []

    def add(self, keys: list[int], number: int) -> None:
        """Add a number under several keys.

        Args:
            keys: The keys, from 0 up to 2**64 - 1.
            number: The number, below 2**32.
        """
        for key in keys:
            self._recent.setdefault(key, []).append(number)
        self._waiting += len(keys)
        if self._waiting >= _RECENT:
            self._sort_recent()

    def find(self, keys: list[int]) -> list[int]:
        """Find the numbers that were added under any of some keys.

        Args:
            keys: The keys.

        Returns:
            The numbers, each once, in ascending order.
        """
        import numpy as np

        found = {number for key in keys for number in self._recent.get(key, ())}
        wanted = np.array(keys, np.uint64)
        for known, numbers in self._runs:
            begins = np.searchsorted(known, wanted)
            begins[begins == len(known)] = 0  # a place with another, smaller, key
            for hit in np.flatnonzero(known[begins] == wanted):
                end = np.searchsorted(known, wanted[hit], "right")
                found.update(numbers[begins[hit] : end].tolist())
        return sorted(found)

    def _sort_recent(self) -> None:
        import numpy as np

        pairs = [(key, number) for key, found in self._recent.items() for number in found]
        keys, numbers = zip(*pairs, strict=True)
        self._runs.append(_sorted(np.array(keys, np.uint64), np.array(numbers, np.uint32)))
        self._recent, self._waiting = {}, 0
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]) <= _LARGEST:
            late, early = self._runs.pop(), self._runs.pop()
            self._runs.append(_sorted(np.concatenate([early[0], late[0]]), np.concatenate([early[1], late[1]])))


def _sorted(
    keys: "np.ndarray[tuple[int], np.dtype[np.uint64]]", numbers: "np.ndarray[tuple[int], np.dtype[np.uint32]]"
) -> "_Run":
    import numpy as np

    order = np.argsort(keys, kind="stable")
    return keys[order], numbers[order]
