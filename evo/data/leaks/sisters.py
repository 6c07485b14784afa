"""The templated questions among the passages: which of them a row resembles, and which it is a copy of.

Invariant: every one is found whose numbers stand in the row in their order, with half of its own words (or all but
one), and that is as similar to the row as asked for. A template that thousands share costs little: none is looked for
by its words.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from evo.data.leaks.passages import Passage
from evo.data.leaks.similar import numbered
from evo.data.leaks.templated import EDITED, Worded, evidence, worded
from evo.data.leaks.wording import Wording, is_number

ODDS = 5.0
"""Nats beyond the number of items that could agree by chance, from which a row is a copy."""
LIKELY = 0.75
"""From this share of it on it may be one."""

ANY = ""
"""The key of passages that may lose all words of their own."""


class Resembling(NamedTuple):
    """A passage by its number. `is_likely`: not sure, and yet more than its template speaks for it."""

    number: int
    jaccard: float
    is_copy: bool
    is_likely: bool


class _Member(NamedTuple):
    own: frozenset[str]
    numbers: tuple[str, ...]
    sets: tuple[frozenset[str], frozenset[str]]


class Sisters:
    def __init__(self, passages: Sequence[Passage], *, similar: float, items: int, least_words: int) -> None:
        self._passages = passages
        self._similar = similar
        self._enough = math.log(max(1, items)) + ODDS
        self._templated = [n for n, p in enumerate(passages) if p.part == "question" and p.is_templated]
        self._worded: dict[int, Worded] = {}
        large = [number for number in self._templated if len(passages[number].words) >= least_words]
        self._members = {number: _member(passages[number]) for number in large}
        rarity = Counter(word for member in self._members.values() for word in member.own)
        self._by_key: dict[tuple[str, ...], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, member in self._members.items():
            for word in _keys(member.own, rarity):
                self._by_key[member.numbers][word].append(number)
        self._counts = sorted({len(numbers) for numbers in self._by_key})

    @cached_property
    def _wording(self) -> Wording:
        """Made for the first row that resembles one of them."""
        return Wording([self._passages[number].words for number in self._templated])

    def evidence(self, number: int, words: Sequence[str], *, is_all: bool = False) -> float:
        """That these words are a copy of a passage, in units of what is enough. `is_all`: and nothing but a copy."""
        return evidence(self._wording, self._said(number), words, is_all=is_all) / self._enough

    def _said(self, number: int) -> Worded:
        passage = self._passages[number]
        if number not in self._worded:
            self._worded[number] = worded(self._wording, passage.words, passage.common)
        return self._worded[number]

    def like(self, words: list[str]) -> Iterator[Resembling]:
        """The passages that these words resemble as a whole."""
        bags = (frozenset(words), numbered(words))
        for number in self._candidates(words, bags[0]):
            member = self._members[number]
            if len(member.own - bags[0]) > _lost_at_most(member.own):
                continue
            jaccard = max(_jaccard(a, b) for a, b in zip(member.sets, bags, strict=True))
            if jaccard >= self._similar - 1e-9 and self._may_be(number, bags[0]):
                found = self.evidence(number, words, is_all=True)
                yield Resembling(number, jaccard, found >= 1, found >= LIKELY)

    def _may_be(self, number: int, bag: frozenset[str]) -> bool:
        """What they have in common could be enough, were it in order."""
        said = self._said(number)
        common = sum(nats for word, nats in zip(said.words, said.says, strict=True) if nats and word in bag)
        return common + EDITED >= LIKELY * self._enough

    def _candidates(self, words: list[str], bag: frozenset[str]) -> set[int]:
        numbers = tuple(filter(is_number, words))
        runs = {numbers[at : at + count] for count in self._counts for at in range(len(numbers) - count + 1)}
        found: set[int] = set()
        for keyed in (self._by_key[run] for run in runs if run in self._by_key):
            found.update(keyed.get(ANY, ()), *(keyed[word] for word in (keyed.keys() & bag)))
        return found


def _member(passage: Passage) -> _Member:
    own = frozenset(word for word in passage.words if word not in passage.common and not is_number(word))
    numbers = tuple(filter(is_number, passage.words))
    return _Member(own, numbers, (frozenset(passage.words), numbered(passage.words)))


def _lost_at_most(own: frozenset[str]) -> int:
    return max(1, len(own) // 2)


def _keys(own: frozenset[str], rarity: Counter[str]) -> list[str]:
    """As many of its own words, the rarest, as no copy loses all of."""
    lost = _lost_at_most(own)
    return sorted(own, key=lambda word: (rarity[word], word))[: lost + 1] if len(own) > lost else [ANY]


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
