"""The share of a problem's statement that a text holds.

Words are compared without case, punctuation and underscores. A word of the statement is covered if the text has an
n-gram that contains it; a text matches if it covers more than a given share of the statement's words. N-grams of 8
words and a share of one half are the rule of Tülu 3 (arXiv 2411.15124, section 3.2). An n-gram in more than ten
problems of one benchmark is a common phrase ("write a python function to find the") and no evidence, as in GPT-3 (arXiv
2005.14165, appendix C). A text that is a statement, word for word, covers it however short or common it is.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

_WORD = re.compile(r"[^\W_]+")
_COMMON = 10
"""Most problems of a benchmark that an n-gram may be in to count."""
_FEW = 8
"""A statement of fewer words is searched for together with its examples: of a whole text it says too little."""

_KeyT = TypeVar("_KeyT", bound=Hashable)


class Statements(Generic[_KeyT]):
    """Statements of problems, to be searched for in texts.

    Args:
        ngram: Words of an n-gram. A shorter statement only matches a text that is the statement.
    """

    def __init__(self, ngram: int) -> None:
        self._ngram = ngram
        self._lengths: dict[_KeyT, int] = {}
        self._positions: dict[tuple[str, ...], list[tuple[_KeyT, int]]] = defaultdict(list)
        self._whole: dict[tuple[str, ...], list[_KeyT]] = defaultdict(list)

    def add(self, statements: Mapping[_KeyT, str], with_examples: Mapping[_KeyT, str] | None = None) -> None:
        """Add the statements of one benchmark.

        Args:
            statements: Statements, without examples, by the key of their problem.
            with_examples: The same with their examples, where they have some.
        """
        split = {key: _words(text) for key, text in statements.items()}
        for key, text in (with_examples or {}).items():
            self._whole[tuple(split[key])].append(key)
            if len(split[key]) < _FEW:
                split[key] = _words(text)
        grams = {key: self._grams(words) for key, words in split.items()}
        problems = Counter(gram for problem_grams in grams.values() for gram in set(problem_grams))
        for key, words in split.items():
            self._lengths[key] = len(words)
            self._whole[tuple(words)].append(key)
            for start, gram in enumerate(grams[key]):
                if problems[gram] <= _COMMON:
                    self._positions[gram].append((key, start))

    def coverage(self, text: str) -> dict[_KeyT, float]:
        """Compute the share of each statement's words that a text covers.

        Args:
            text: The text.

        Returns:
            Shares from 0 to 1, by the key of the problem. Statements without a covered word are left out.
        """
        words = _words(text)
        positions = self._positions
        covered: dict[_KeyT, set[int]] = {}
        for gram in self._grams(words):
            if gram in positions:
                for key, start in positions[gram]:
                    covered.setdefault(key, set()).update(range(start, start + self._ngram))
        shares = {key: len(words_covered) / self._lengths[key] for key, words_covered in covered.items()}
        return shares | dict.fromkeys(self._whole.get(tuple(words), ()) if words else (), 1.0)

    def _grams(self, words: list[str]) -> list[tuple[str, ...]]:
        return list(zip(*(words[start:] for start in range(self._ngram)), strict=False))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
