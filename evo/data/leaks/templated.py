"""Items that are made from one template: what of each is its own, and whether a row is a copy of one or its sister.

A record-linkage decision (Fellegi & Sunter 1969): what the row says is weighed as an edited copy of the item against a
new item of the same template, whose words are as likely as in the sealed ones (`wording`). Own words that agree speak
for a copy, by how unlikely they are in their slot; usual words in another's slot against it; words that no item has at
that place, for somebody's edit. Invariant: with other numbers it is a sister.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from evo.data.leaks.similar import SimilarSets
from evo.data.leaks.wording import START, VOCABULARY, Wording, is_number

SISTERS, LEAST_SISTERS, MOST_SISTERS = 0.65, 3, 40
"""Word-set Jaccard index of two items of one template; how many make one; how many are compared with."""
COMMON = 0.6
"""A word that so large a share of the sisters have is the template's."""
LEAST_SAID = 0.7
"""Nats: what a word must say, to count as the item's own."""
ON, PICKED = 0.5, 0.1
"""In an edit: the chance that one more word follows; that a word is one that items have, by how often they do."""
STRANGE = 3.0
"""Nats: an edit that explains a word so much better than the template does is somebody's."""
EDITED = 6.0
"""Nats against it that a row which somebody edited is a sister, and no copy."""
KEPT = 0.5
"""The share that a copy keeps of what the item says, beside what usual words say in its place."""
EDGE = 3
"""More words missing at an item's beginning or end are left out, and not edited."""
UNTOUCHED = 2
"""Where nobody's edit shows, what agrees may go with the topic, and counts as one of so many."""


class Worded(NamedTuple):
    """An item. `says[k]`: how much word k tells it from its sisters, in nats; `total`: each word, of all its places."""

    words: list[str]
    says: list[float]
    chances: list[float]
    total: dict[str, float]


class _Edit(NamedTuple):
    """Words `first` to `last` of the item stand as words `begin` to `end` in the row."""

    first: int
    last: int
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Words; a long edit is half of each."""
        return max(1, max(self.last - self.first, self.end - self.begin) // 2)

    def is_left_out(self, size: int) -> bool:
        """From the edge of an item of so many words."""
        return self.last - self.first > EDGE and (self.first == 0 or self.last == size)


class _Weight(NamedTuple):
    """Of an edit, in nats: for an edited copy; against a sister's edit at that place; of usual words for other ones."""

    copy: float
    other: float
    usual: float
    is_strange: bool


def common_words(texts: Sequence[Sequence[str]]) -> list[frozenset[str]]:
    """Of each text, the words that most of its sisters have too; none where few resemble it."""
    bags = [frozenset(words) for words in texts]
    sets = SimilarSets(bags, SISTERS)
    return [_common(bag, [bags[hit.number] for hit in sets.like(bag, most=MOST_SISTERS)]) for bag in bags]


def _common(bag: frozenset[str], alike: list[frozenset[str]]) -> frozenset[str]:
    """`alike` holds the bag itself too."""
    if len(alike) <= LEAST_SISTERS:
        return frozenset()
    counts = Counter(itertools.chain.from_iterable(alike))
    least = COMMON * (len(alike) - 1) + 1
    return frozenset(word for word in bag if counts[word] >= least)


def worded(wording: Wording, words: list[str], common: frozenset[str]) -> Worded:
    chances = [wording.chance([START, *words], at + 1) for at in range(len(words))]
    is_own = [word not in common or is_value(word) for word in words]
    says = [-math.log(chance) if mine else 0.0 for mine, chance in zip(is_own, chances, strict=True)]
    says = [nats if nats >= LEAST_SAID else 0.0 for nats in says]
    total: dict[str, float] = defaultdict(float)
    for word, nats in zip(words, says, strict=True):
        if nats:
            total[word] += nats
    return Worded(words, says, chances, total)


def is_value(word: str) -> bool:
    """A number, an operator or a letter: what it says lies in its place, though all sisters have it somewhere."""
    return is_number(word) or not word.isalpha() or (len(word) == 1 and word.isascii())


def evidence(wording: Wording, item: Worded, row: Sequence[str], *, is_all: bool = False) -> float:
    """That the words `row` hold an edited copy of the item, in nats. `is_all`: with nothing before and after it."""
    edits = list(_differences(item.words, row) if is_all else _edits(item.words, row))
    if any(_is_other_number(item, row, edit) for edit in edits):
        return -math.inf
    size = len(item.words)
    inner = [edit for edit in edits if not edit.is_left_out(size)]
    size -= sum(edit.last - edit.first for edit in edits if edit.is_left_out(size))
    edited = min(sum(edit.size for edit in inner), size // 2)
    rate = (edited + 0.5) / (size + 1)
    weights = [_weigh(wording, item, row, edit, rate) for edit in edits]
    kept = sum(item.says) - sum(sum(item.says[edit.first : edit.last]) for edit in edits)
    if kept < KEPT * (kept + sum(weight.usual for weight in weights)):
        return -math.inf
    copy = kept + sum(weight.copy for weight in weights) + (size - edited) * math.log1p(-rate)
    sister = kept + sum(weight.other for weight in weights) + EDITED
    return min(copy, sister) / (1 if any(weight.is_strange for weight in weights) else UNTOUCHED)


def _edits(wanted: Sequence[str], row: Sequence[str]) -> Iterator[_Edit]:
    """Where they differ, apart from what stands before the first word and behind the last one.

    Of a longer stretch that is missing there, what stands in the row is other text, and no edit of it.
    """
    size = len(wanted)
    for edit in _differences(wanted, row):
        first, last, begin, end = edit
        is_left_out = last - first > EDGE
        if first == last and first in (0, size):
            continue
        if first == 0:
            yield edit._replace(begin=end if is_left_out else max(begin, end - last))
        elif last == size:
            yield edit._replace(end=begin if is_left_out else min(end, begin + last - first))
        else:
            yield edit


def _differences(wanted: Sequence[str], row: Sequence[str]) -> Iterator[_Edit]:
    """Where the one differs from the other; what they begin and end with is not compared any further."""
    least = min(len(wanted), len(row))
    head = next((at for at in range(least) if wanted[at] != row[at]), least)
    tail = next((at for at in range(least - head) if wanted[-1 - at] != row[-1 - at]), least - head)
    inner = SequenceMatcher(None, wanted[head : len(wanted) - tail], row[head : len(row) - tail], autojunk=False)
    for step, first, last, begin, end in inner.get_opcodes():
        if step != "equal":
            yield _Edit(first + head, last + head, begin + head, end + head)


def _is_other_number(item: Worded, row: Sequence[str], edit: _Edit) -> bool:
    lost = range(edit.first, edit.last)
    return any(map(is_number, row[edit.begin : edit.end])) or any(
        item.says[at] and is_number(item.words[at]) for at in lost
    )


def _weigh(wording: Wording, item: Worded, row: Sequence[str], edit: _Edit, rate: float) -> _Weight:
    lost = sum(item.says[edit.first : edit.last])
    copy = other = usual = 0.0
    is_strange = False
    fewer = edit.last - edit.first - (edit.end - edit.begin)
    if fewer > 0:
        copy = math.log(rate) + (fewer - 1) * math.log(ON) * (not edit.is_left_out(len(item.words)))
    for at in range(edit.begin, edit.end):
        chance = wording.chance(row, at)
        by_hand = max(1 / VOCABULARY, PICKED * wording.chance_anywhere(row[at]))
        nats = math.log((rate if at == edit.begin else ON) * by_hand / chance)
        copy += nats
        other += min(0.0, nats)
        is_strange = is_strange or nats >= STRANGE
        if lost and nats < 0:
            usual -= math.log(chance)
    is_missing = edit.begin == edit.end and not edit.is_left_out(len(item.words))
    if is_missing and edit.last < len(item.words):  # what follows tells that a word is missing
        nats = max(0.0, math.log(item.chances[edit.last] / wording.chance(row, edit.end)))
        copy += nats
        is_strange = nats >= STRANGE
    return _Weight(copy, other, usual if is_strange else usual + lost, is_strange)
