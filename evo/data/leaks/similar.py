"""Near-duplicates: texts whose word sets have a Jaccard index of at least a threshold, found without a miss.

Prefix filter (Chaudhuri et al. 2006): with words in one global order, rarest first, two sets of sizes a and b that
similar share a word among the first a - ceil(t a) + 1 of the one and b - ceil(t b) + 1 of the other. So every pair is
found that comparing all with all would find; MinHash, which draws candidates by chance, can only find fewer
(docs/decisions/0010-leaks-without-minhash.md). Long texts share a word there with most others: what is left of the
candidates is sifted by signatures, of which each bit stands for some of the words. Two sets differ in at least as many
words as their signatures in bits, so that this loses no pair either.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

_ROUNDING = 1e-9
"""4 of 5 words are .8, whatever floats make of it."""
_BITS = 1024


class Similar(NamedTuple):
    """The set of that number, and how similar it is."""

    number: int
    jaccard: float


def numbered(words: Sequence[str]) -> frozenset[str]:
    """The words as a set that knows how often each occurs: the second `card` is another element than the first.

    One word in ten changed leaves a Jaccard index of at least .81 here, however often words are repeated.
    """
    once = frozenset(words)
    if len(once) == len(words):
        return once
    seen: dict[str, int] = {}
    found = []
    for word in words:
        seen[word] = count = seen.get(word, 0) + 1
        found.append(word if count == 1 else f"{word}\0{count}")
    return frozenset(found)


class SimilarSets:
    """Sets to be found again by similar ones."""

    def __init__(self, sets: Sequence[frozenset[str]], threshold: float) -> None:
        self._sets = sets
        self._threshold = threshold
        rarity = Counter(word for bag in sets for word in bag)
        order = sorted(rarity, key=lambda word: (rarity[word], word))
        self._rank = {word: place for place, word in enumerate(order)}
        self._bit = {word: 1 << place % _BITS for word, place in self._rank.items()}
        self._signatures = [self._signature(bag) for bag in sets]
        self._by_word: dict[str, list[int]] = defaultdict(list)
        for index, bag in enumerate(sets):
            ranked = sorted(bag, key=self._rank.__getitem__)
            for word in ranked[: self._reach(len(bag))]:
                self._by_word[word].append(index)

    def like(self, bag: frozenset[str], *, most: int | None = None) -> Iterator[Similar]:
        """The sets that `bag` is similar to, the first `most` of them."""
        return itertools.islice(self._like(bag), most)

    def _like(self, bag: frozenset[str]) -> Iterator[Similar]:
        known = bag & self._rank.keys() if len(self._rank) < len(bag) else {word for word in bag if word in self._rank}
        strange = len(bag) - len(known)
        reach = self._reach(len(bag)) - strange  # unknown words are the rarest of all, and match none
        if reach <= 0:
            return
        ranked = sorted(known, key=self._rank.__getitem__)[:reach]
        signature = self._signature(known)
        apart = (1 - self._threshold) / (1 + self._threshold)
        for index in self._candidates(ranked):
            other = self._sets[index]
            most = apart * (len(bag) + len(other)) + _ROUNDING - strange
            if (signature ^ self._signatures[index]).bit_count() > most:
                continue
            shared = len(known & other)
            jaccard = shared / (len(bag) + len(other) - shared)
            if jaccard >= self._threshold - _ROUNDING:
                yield Similar(index, jaccard)

    def _candidates(self, ranked: Sequence[str]) -> Iterator[int]:
        """Each once, and no sooner than it is asked for."""
        seen: set[int] = set()
        for word in ranked:
            fresh = set(self._by_word.get(word, ())) - seen
            seen |= fresh
            yield from fresh

    def _signature(self, words: Iterable[str]) -> int:
        found = 0
        for word in words:
            found |= self._bit[word]
        return found

    def _reach(self, size: int) -> int:
        return size - math.ceil(self._threshold * size - _ROUNDING) + 1
