"""How much of a problem's statement a text holds.

Words are compared without case, punctuation and underscores. A word of the statement counts as held where the text has
an n-gram that it is part of; a text is a match where it holds more than a given share of the statement's words. N-grams
of 8 words and more than half are the rule of Tülu 3 (arXiv 2411.15124, section 3.2). An n-gram of more than ten
problems of one benchmark is a turn of phrase ("write a python function to find the") and no evidence, as for GPT-3
(arXiv 2005.14165, appendix C).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

_WORD = re.compile(r"[^\W_]+")
_COMMON = 10

_KeyT = TypeVar("_KeyT", bound=Hashable)


class Statements(Generic[_KeyT]):
    """Statements of problems, to be looked for in texts.

    Args:
        ngram: words of an n-gram. A statement of fewer words is held by a text that is nothing else.
    """

    def __init__(self, ngram: int) -> None:
        self._ngram = ngram
        self._lengths: dict[_KeyT, int] = {}
        self._places: dict[tuple[str, ...], list[tuple[_KeyT, int]]] = defaultdict(list)
        self._short: dict[tuple[str, ...], list[_KeyT]] = defaultdict(list)

    def add(self, statements: Mapping[_KeyT, str]) -> None:
        """Take in the statements of one benchmark, by the problems' names."""
        split = {key: _words(text) for key, text in statements.items()}
        grams = {key: self._grams(words) for key, words in split.items()}
        problems = Counter(gram for found in grams.values() for gram in set(found))
        for key, words in split.items():
            self._lengths[key] = len(words)
            if 0 < len(words) < self._ngram:
                self._short[tuple(words)].append(key)
            for start, gram in enumerate(grams[key]):
                if problems[gram] <= _COMMON:
                    self._places[gram].append((key, start))

    def held(self, text: str) -> dict[_KeyT, float]:
        """The share of each statement's words that the text holds; statements of which it holds none are left out."""
        words = _words(text)
        if len(words) < self._ngram:
            return dict.fromkeys(self._short.get(tuple(words), ()), 1.0)
        places = self._places
        found: dict[_KeyT, set[int]] = {}
        for gram in self._grams(words):
            if gram in places:
                for key, start in places[gram]:
                    found.setdefault(key, set()).update(range(start, start + self._ngram))
        return {key: len(held) / self._lengths[key] for key, held in found.items()}

    def _grams(self, words: list[str]) -> list[tuple[str, ...]]:
        return list(zip(*(words[start:] for start in range(self._ngram)), strict=False))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
