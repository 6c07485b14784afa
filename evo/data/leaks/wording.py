"""How the items of one set are worded: which words a template has at which place, and how open its slots are.

A model of the n-th order, made of the items alone. Words that more than a few items have in one context are known
there; what is left of a context's mass is how often it holds a word that is not known, which is near nothing amid a
template and much in a slot that takes any word. Numbers are one word in a context. Without context a word is as likely
as the number of words that it follows (Kneser & Ney 1995): a template's words follow one another, so that they say
little about what an open slot may hold.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

ORDER = 3
"""Words of context that are looked at."""
FEW = 4
"""A wording that more items have is their template's."""
VOCABULARY, VALUES = 10_000, 1_000
"""So many words, and numbers, may stand where one is not known."""
START = "\0"
_NUMBER = "#"


class Wording:
    """Of these texts."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        held: Counter[tuple[str, ...]] = Counter()
        for words in texts:
            held.update(_grams([START, *words]))
        self._known = {gram: count for gram, count in held.items() if count > FEW}
        contexts = {gram[:-1] for gram in self._known}
        self._sums: Counter[tuple[str, ...]] = Counter()
        rare: tuple[Counter[tuple[str, ...]], ...] = (Counter(), Counter())
        follows: Counter[str] = Counter()
        for gram, count in held.items():
            context, word = gram[:-1], gram[-1]
            if context in contexts:
                self._sums[context] += count
                if count <= FEW:
                    rare[is_number(word)][context] += count
            follows[word] += len(gram) == 2
        self._open = tuple(
            {context: (left[context] + 0.5) / (self._sums[context] + 1) for context in contexts} for left in rare
        )
        size = follows.total() + 1
        self._alone = {word: count / size for word, count in follows.items() if (word,) in self._known and count}
        strange = [0.5, 0.5]
        for word, count in follows.items():
            strange[is_number(word)] += count * (word not in self._alone)
        self._strange = (strange[False] / size / VOCABULARY, strange[True] / size / VALUES)

    def chance(self, words: Sequence[str], at: int) -> float:
        """How likely an item that begins with `words[:at]` goes on with `words[at]`; items begin with START."""
        word, context = words[at], _masked(words[max(0, at - ORDER) : at])
        best, left = self.chance_anywhere(word), 1.0
        is_known = False
        for shorter in (context[first:] for first in range(len(context))):
            if shorter not in self._sums:
                continue
            count = self._known.get((*shorter, word), 0)
            share = count / (self._sums[shorter] + 1)
            if is_known:
                best = max(best, share)
            elif count:
                return share
            else:
                is_known, left = True, self._open[is_number(word)][shorter]
        return best * left

    def chance_anywhere(self, word: str) -> float:
        return self._alone.get(word) or self._strange[is_number(word)]


def is_number(word: str) -> bool:
    return not word.isalpha() and any(character.isdigit() for character in word)


def _masked(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(_NUMBER if is_number(word) else word for word in words)


def _grams(words: Sequence[str]) -> set[tuple[str, ...]]:
    """Each word after up to ORDER masked ones."""
    masked = _masked(words)
    found: set[tuple[str, ...]] = set(zip(words[1:], strict=False))
    for order in range(1, ORDER + 1):
        before = [itertools.islice(masked, first, None) for first in range(order)]
        found.update(zip(*before, words[order:], strict=False))
    return found
