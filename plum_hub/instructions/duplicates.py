"""Detect exact and near-duplicate instructions.

Two texts are exact duplicates if they are equal except for case and white space. They are near-duplicates if the
Jaccard similarity of their sets of character 5-grams reaches the threshold. MinHash LSH (datasketch) proposes
candidates, which are then compared exactly, so that no text is removed on an estimate; a true near-duplicate is
rarely missed. The first occurrence is kept. Memory grows by about 3 kB per kept text.
"""

import zlib
from dataclasses import dataclass
from typing import Any, Literal

_SHINGLE = 5
_PERMUTATIONS = 128
_SEED = 20240610  # of the hash family; another value would detect slightly different candidates


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """How a text duplicates an earlier one.

    Attributes:
        kind: Equal except for case and white space, or similar.
        original: Id of the earlier text.
    """

    kind: Literal["exact_duplicate", "near_duplicate"]
    original: str


class SeenTexts:
    """The texts seen so far.

    Args:
        threshold: Jaccard similarity from which two texts are near-duplicates; 1.0 detects only exact ones.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._exact: dict[str, str] = {}
        self._kept: list[tuple[str, str]] = []
        self._index = _index(threshold) if threshold < 1 else None

    def add(self, text_id: str, text: str) -> Duplicate | None:
        """Remember a text unless it duplicates an earlier one.

        Args:
            text_id: Id of the text.
            text: The text.

        Returns:
            The duplicate, with the id of the earliest match; None if the text is new.
        """
        normalized = " ".join(text.lower().split())
        if (first := self._exact.get(normalized)) is not None:
            return Duplicate(kind="exact_duplicate", original=first)
        if self._index is not None:
            shingles = _shingles(normalized)
            signature = _signature(shingles)
            for position in sorted(self._index.query(signature)):
                other_id, other = self._kept[position]
                if _jaccard(shingles, _shingles(other)) >= self._threshold:
                    return Duplicate(kind="near_duplicate", original=other_id)
            self._index.insert(len(self._kept), signature)
            self._kept.append((text_id, normalized))
        self._exact[normalized] = text_id
        return None


def _index(threshold: float) -> Any:
    from datasketch import MinHashLSH

    # A missed duplicate is worse than a needless comparison, so false negatives weigh four times as much.
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
