"""Tell whether a task was met before, word for word or nearly.

Two texts are exact duplicates when they are equal but for case and white space. They are near-duplicates when the
Jaccard similarity of their sets of character 5-grams reaches the threshold. Candidates are found by MinHash LSH
(datasketch) and then compared exactly, so nothing is left out on an estimate; a true near-duplicate is missed rarely.
The first occurrence wins. Memory grows by about 3 kB a kept text.
"""

import zlib
from dataclasses import dataclass
from typing import Any, Literal

_SHINGLE = 5
_PERMUTATIONS = 128
_SEED = 20240610  # of the hash family: any constant will do, but ids of runs made with another would not be comparable


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """How a text repeats an earlier one, and that one's id."""

    kind: Literal["exact_duplicate", "near_duplicate"]
    original: str


class SeenTexts:
    """The texts met so far.

    Args:
        threshold: Jaccard similarity from which on two texts are near-duplicates; 1.0 looks for exact ones only.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._exact: dict[str, str] = {}
        self._kept: list[tuple[str, str]] = []
        self._index = _index(threshold) if threshold < 1 else None

    def add(self, text_id: str, text: str) -> Duplicate | None:
        """Remember the text, unless it repeats an earlier one: then say which (the earliest) and forget this one."""
        normal = " ".join(text.lower().split())
        if (first := self._exact.get(normal)) is not None:
            return Duplicate(kind="exact_duplicate", original=first)
        if self._index is not None:
            shingles = _shingles(normal)
            signature = _signature(shingles)
            for position in sorted(self._index.query(signature)):
                other_id, other = self._kept[position]
                if _jaccard(shingles, _shingles(other)) >= self._threshold:
                    return Duplicate(kind="near_duplicate", original=other_id)
            self._index.insert(len(self._kept), signature)
            self._kept.append((text_id, normal))
        self._exact[normal] = text_id
        return None


def _index(threshold: float) -> Any:
    from datasketch import MinHashLSH

    # A missed duplicate is worse than a needless comparison: false negatives weigh four times.
    return MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS, weights=(0.2, 0.8))


def _shingles(text: str) -> frozenset[str]:
    return frozenset(text[start : start + _SHINGLE] for start in range(max(1, len(text) - _SHINGLE + 1)))


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right)


def _signature(shingles: frozenset[str]) -> Any:
    from datasketch import MinHash

    signature = MinHash(num_perm=_PERMUTATIONS, seed=_SEED, hashfunc=zlib.crc32)
    signature.update_batch([shingle.encode() for shingle in shingles])
    return signature
