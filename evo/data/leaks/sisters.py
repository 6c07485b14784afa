"""The templated questions among the passages: which of them a row resembles, and which it is a copy of.

Invariant: every one is found whose numbers stand in the row in their order, with most of its own words, and that is as
similar to the row as asked for. A template that thousands share costs little: none is looked for by its words.
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

OWN_KEPT = 0.5
"""The share of an item's own words that a copy has, or all but one."""
MOST = 30
"""Passages that are compared word by word with one text."""
ROUNDING = 1e-9


class Resembling(NamedTuple):
    """A passage by its number. `is_likely`: not sure, and yet more than its template speaks for it."""

    number: int
    jaccard: float
    is_copy: bool
    is_likely: bool


class _Member(NamedTuple):
    """`lost`: how many of its own words a copy lacks at most. `sets`: of all words, and of their occurrences."""

    own: frozenset[str]
    lost: int
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
        rarity = Counter(word for member in self._members.values() for word in member.sets[0])
        self._vocabulary = rarity.keys()
        self._by_key: dict[tuple[str, ...], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, member in self._members.items():
            for word in _keys(member, rarity, similar):
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

    def like(self, words: list[str], bags: tuple[frozenset[str], frozenset[str]]) -> Iterator[Resembling]:
        """The passages that these words (`bags`: and their occurrences) resemble as a whole, the most alike of them."""
        strange = sum(word not in self._vocabulary for word in bags[0])
        if strange > (1 - self._similar) * len(bags[1]) + ROUNDING:
            return
        found: list[tuple[float, float, int]] = []
        for number in self._candidates(words, bags[0]):
            member = self._members[number]
            if len(member.own - bags[0]) > member.lost:
                continue
            jaccard = self._jaccard(member.sets[0], bags[0]) or self._jaccard(member.sets[1], bags[1])
            if jaccard and (share := self._share(number, bags[0])):
                found.append((share, jaccard, number))
        for _, jaccard, number in sorted(found, reverse=True)[:MOST]:
            weight = self.evidence(number, words, is_all=True)
            yield Resembling(number, jaccard, weight >= 1, weight >= LIKELY)

    def _jaccard(self, one: frozenset[str], other: frozenset[str]) -> float:
        """0 where they are not similar."""
        least = self._similar - ROUNDING
        if min(len(one), len(other)) < least * max(len(one), len(other)):
            return 0.0
        shared = len(one & other)
        jaccard = shared / (len(one) + len(other) - shared)
        return jaccard if jaccard >= least else 0.0

    def _share(self, number: int, bag: frozenset[str]) -> float:
        """The share of what a passage says that these words say too; 0 where that could not be enough in any order."""
        said = self._said(number).total
        common = sum(nats for word, nats in said.items() if word in bag)
        return common / sum(said.values()) if common and common + EDITED >= LIKELY * self._enough else 0.0

    def _candidates(self, words: list[str], bag: frozenset[str]) -> set[int]:
        numbers = tuple(filter(is_number, words))
        runs = {numbers[at : at + count] for count in self._counts for at in range(len(numbers) - count + 1)}
        found: set[int] = set()
        for keyed in (self._by_key[run] for run in runs if run in self._by_key):
            found.update(*(keyed[word] for word in (keyed.keys() & bag)))
        return found


def _member(passage: Passage) -> _Member:
    words = frozenset(passage.words)
    own = frozenset(word for word in words - passage.common if not is_number(word))
    lost = max(1, round((1 - OWN_KEPT) * len(own)))
    return _Member(own, lost, tuple(filter(is_number, passage.words)), (words, numbered(passage.words)))


def _keys(member: _Member, rarity: Counter[str], similar: float) -> list[str]:
    """Of the words that say most, so many that a similar text has one of them."""
    missing = math.floor((1 - similar) * len(member.sets[1]) + ROUNDING)
    lost = min(member.lost, missing)
    is_told = len(member.own) > lost
    ranked = sorted(member.own if is_told else member.sets[0], key=lambda word: (rarity[word], word))
    return ranked[: 1 + (lost if is_told else missing)]
