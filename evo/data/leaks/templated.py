"""Items that are made from one template: what of each is its own, and whether a row is a copy of one or its sister.

Its own is what most of its sisters have not. A copy that somebody edited has edits in its template too; a sister has
the template as it is, and differs where it differs from all others. Invariant: with other numbers it is a sister.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from evo.data.leaks.similar import SimilarSets

SISTERS, LEAST_SISTERS, MOST_SISTERS = 0.65, 3, 40
"""Word-set Jaccard index of two items of one template; how many make one; how many are compared with."""
COMMON = 0.6
"""A word that so large a share of the sisters have is the template's."""
SAME_OWN, SAME_TEMPLATE = 0.6, 0.7
"""The share that an edited copy keeps of what is its own, and of its template."""
USUAL = 0.1
"""A word that so large a share of them have is nothing strange in one of them."""
FEW_OWN, MANY_OWN, OWN_ALONE = 3, 10, 0.8
"""Of fewer words of its own a copy keeps all; from so many on they are evidence by themselves, where it keeps this."""

AMID = 3
"""An edit in a template has so many words of it on both sides, as they were."""


class Family(NamedTuple):
    """Of an item: the words that it shares with most of its sisters, and those that are usual among them."""

    common: frozenset[str] = frozenset()
    usual: frozenset[str] = frozenset()


def families(texts: Sequence[Sequence[str]]) -> list[Family]:
    """Of each text; empty where few resemble it."""
    bags = [frozenset(words) for words in texts]
    sets = SimilarSets(bags, SISTERS)
    return [_family(bag, [bags[hit.number] for hit in sets.like(bag, most=MOST_SISTERS)]) for bag in bags]


def _family(bag: frozenset[str], alike: list[frozenset[str]]) -> Family:
    """`alike` holds the bag itself too."""
    if len(alike) <= LEAST_SISTERS:
        return Family()
    counts = Counter(word for sister in alike for word in sister)
    least, some = COMMON * (len(alike) - 1) + 1, max(2, USUAL * len(alike))
    common = frozenset(word for word in bag if counts[word] >= least)
    return Family(common, frozenset(word for word, count in counts.items() if count >= some))


def is_copy(wanted: Sequence[str], own: Sequence[bool], usual: frozenset[str], row: Sequence[str]) -> bool:
    """The words `row` say, edited, what `wanted` say, of which the words marked by `own` are no template's.

    Edits show where words stand amid the template that are not `usual` there.
    """
    kept = [False] * len(wanted)
    added = touched = strange = rewritten = 0
    steps = SequenceMatcher(None, wanted, row, autojunk=False).get_opcodes()
    for number, (step, first, last, begin, end) in enumerate(steps):
        if step == "equal":
            kept[first:last] = [True] * (last - first)
        elif first < last or 0 < first < len(wanted):  # not what stands before it, or after it
            if any(map(is_number, row[begin:end])):
                return False
            is_own = any(own[first:last]) if first < last else own[first - 1] and own[first]
            added += (end - begin) * is_own
            touched += any(own[max(0, first - AMID) : last + AMID])
            beside = (*steps[max(0, number - 1) : number], *steps[number + 1 : number + 2])
            is_amid = not any(own[max(0, first - AMID) : last + AMID]) and all(
                after - before >= AMID for _, before, after, *_ in beside
            )
            rewritten += max(last - first, end - begin) > AMID
            strange += is_amid and any(word not in usual for word in row[begin:end])
    owned, saved = sum(own), sum(map(operator.and_, own, kept))
    if not owned or any(is_number(wanted[at]) for at, mine in enumerate(own) if mine and not kept[at]):
        return False
    if owned >= MANY_OWN and saved >= OWN_ALONE * (owned + added):
        return True
    if rewritten:
        return False
    least = SAME_OWN if owned >= FEW_OWN else 1.0
    return (
        (strange > 0 or (not touched and owned >= FEW_OWN))
        and saved >= least * owned
        and sum(kept) - saved >= SAME_TEMPLATE * (len(wanted) - owned)
    )


def is_number(word: str) -> bool:
    return any(character.isdigit() for character in word)
