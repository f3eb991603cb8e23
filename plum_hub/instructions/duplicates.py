"""Detect exact and near-duplicate instructions.

Two texts are exact duplicates if they are equal except for case and white space. They are near-duplicates if the
Jaccard similarity of their sets of character 5-grams reaches the threshold. MinHash LSH (datasketch) proposes
candidates, which are then compared exactly, so that no text is removed on an estimate; a true near-duplicate is
rarely missed. The first occurrence is kept. Memory grows by about 180 bytes per kept text at a threshold of 0.8; the
texts themselves are on disk.

Where texts share a long preamble, most are candidates of each other. Before the exact comparison, an upper bound of the
similarity rules out nearly all of them, many at a time: each 5-gram falls into one of 65,536 buckets, and a text shares
no more 5-grams with another than it has in the other's buckets.
"""

import hashlib
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from plum_hub.instructions.key_index import KeyIndex
from plum_hub.spool import BytesSpool, Spool

if TYPE_CHECKING:
    import numpy as np

_SHINGLE = 5
_PERMUTATIONS = 128
_SEED = 20240610  # of the hash family; another value would detect slightly different candidates
_BATCH = 256
"""Candidates that are read at a time."""


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """How a text duplicates an earlier one.

    Attributes:
        kind: Equal except for case and white space, or similar.
        original: Id of the earlier text.
    """

    kind: Literal["exact_duplicate", "near_duplicate"]
    original: str


def normalized_text(text: str) -> str:
    """Remove what exact duplicates may differ in.

    Args:
        text: The text.

    Returns:
        The text in lower case, with one space for every run of white space.
    """
    return " ".join(text.lower().split())


class SeenTexts:
    """The texts seen so far.

    Args:
        threshold: Jaccard similarity from which two texts are near-duplicates; 1.0 detects only exact ones.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._kept = Spool()  # pairs of an id and a normalized text
        self._buckets = BytesSpool()  # of their shingles, 16 bits each
        self._exact = KeyIndex()
        self._similar = KeyIndex()
        self._bands = _bands(threshold) if threshold < 1 else []
        self._blank = _blank_signature() if self._bands else None

    def add(self, text_id: str, text: str) -> Duplicate | None:
        """Remember a text unless it duplicates an earlier one.

        Args:
            text_id: Id of the text.
            text: The text.

        Returns:
            The duplicate, with the id of the earliest match; None if the text is new.

        Raises:
            RunError: The temporary file with the texts cannot be written, as on a full disk.
        """
        normalized = normalized_text(text)
        exact = [_key(normalized.encode(errors="surrogatepass"))]
        for original, other in map(self._kept.__getitem__, self._exact.find(exact)):
            if other == normalized:
                return Duplicate(kind="exact_duplicate", original=original)
        if self._bands:
            shingles = _shingles(normalized)
            hashes = [zlib.crc32(shingle.encode(errors="surrogatepass")) for shingle in shingles]
            keys = list(self._band_keys(hashes))
            buckets = _buckets(hashes)
            for original, other in map(self._kept.__getitem__, self._reachable(self._similar.find(keys), buckets)):
                if _jaccard(shingles, _shingles(other)) >= self._threshold:
                    return Duplicate(kind="near_duplicate", original=original)
            self._similar.add(keys, len(self._kept))
            self._buckets.append(buckets.tobytes())
        self._exact.add(exact, len(self._kept))
        self._kept.append((text_id, normalized))
        return None

    def _reachable(self, candidates: Sequence[int], buckets: "np.ndarray[Any, np.dtype[np.uint16]]") -> Iterator[int]:
        """Yield the candidates whose similarity to a text may reach the threshold, in their order."""
        import numpy as np

        is_taken = np.zeros(1 << 16, bool)
        is_taken[buckets] = True
        for start in range(0, len(candidates), _BATCH):
            batch = candidates[start : start + _BATCH]
            stored = [self._buckets[number] for number in batch]
            sizes = np.array([len(one) // 2 for one in stored])
            hits = is_taken[np.frombuffer(b"".join(stored), np.uint16)]
            shared = np.add.reduceat(hits, np.cumsum(sizes) - sizes, dtype=np.intp)
            bounds = shared / (len(buckets) + sizes - shared)
            yield from (batch[place] for place in np.flatnonzero(bounds >= self._threshold))

    def _band_keys(self, hashes: Sequence[int]) -> Iterator[int]:
        """Yield a key for each band of the signature: texts that share one are candidates."""
        assert self._blank is not None
        signature = self._blank.copy()
        signature.update_batch(hashes)
        for band, (start, end) in enumerate(self._bands):
            yield _key(band.to_bytes(2) + signature.hashvalues[start:end].tobytes())


def _bands(threshold: float) -> list[tuple[int, int]]:
    """Return the ranges of a signature that are compared as a whole."""
    from datasketch import MinHashLSH

    # A missed duplicate is worse than a needless comparison, so false negatives weigh four times as much.
    caller = random.getstate()  # from which the index draws a name for itself
    try:
        ranges: list[tuple[int, int]] = MinHashLSH(
            threshold=threshold, num_perm=_PERMUTATIONS, weights=(0.2, 0.8)
        ).hashranges
    finally:
        random.setstate(caller)
    return ranges


def _blank_signature() -> Any:
    """Return the signature of no shingles. Drawing its hash family takes longer than copying it."""
    from datasketch import MinHash

    return MinHash(num_perm=_PERMUTATIONS, seed=_SEED, hashfunc=int)  # of shingles that are hashed already


def _key(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())


def _buckets(hashes: Sequence[int]) -> "np.ndarray[Any, np.dtype[np.uint16]]":
    """Return the bucket of each shingle: the low bits of its hash."""
    import numpy as np

    return np.array(hashes, np.uint32).astype(np.uint16)


def _shingles(text: str) -> frozenset[str]:
    return frozenset(text[start : start + _SHINGLE] for start in range(max(1, len(text) - _SHINGLE + 1)))


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right)
