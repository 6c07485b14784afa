"""Gold items into dev, held-out and vault.

Invariant: near-duplicates and items of one cluster stay in one split, so that no split gives away another's answers.
The same items and seed give the same splits, in whatever order the items come.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from evo.data.text import normalise, words
from evo.domain.item import Item
from evo.errors import UsageError
from evo.lightdata import dataclass

SHARES = (50.0, 30.0, 20.0)
"""dev, held-out, vault, in percent."""
SMALL_SHARES = (50.0, 50.0, 0.0)
SMALL = 150
"""Fewer gold items than this get no vault unless shares are asked for."""
SAME_WORDS = 0.8
"""Jaccard index of the word sets from which two questions count as one."""
SHORT = 10
"""Under this many words, changing one changes the question: only equal texts count as one."""
_ROUNDING = 1e-9
"""4 of 5 words are .8, whatever floats make of it."""

Shares = tuple[float, float, float]


@dataclass(frozen=True)
class Splits:
    dev: tuple[Item, ...]
    heldout: tuple[Item, ...]
    vault: tuple[Item, ...]


def parse_shares(text: str) -> Shares:
    """`50/30/20`, `60/40` or `.6/.4`: dev, held-out, vault; they add up to 100 or to 1. UsageError otherwise."""
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or not all(0 <= number < float("inf") for number in numbers):
        raise UsageError(f"split: {text!r} is no division", hint="write dev/held-out/vault, such as 50/30/20")
    dev, heldout, vault = (*numbers, 0.0)[:3]
    if dev <= 0 or heldout <= 0:
        raise UsageError(f"split: {text!r} leaves dev or held-out empty", hint="only the vault may be 0")
    if not any(math.isclose(sum(numbers), whole, rel_tol=1e-6) for whole in (100.0, 1.0)):
        raise UsageError(f"split: {text!r} adds up to {sum(numbers):g}", hint="shares add up to 100, such as 50/30/20")
    return dev, heldout, vault


def split_gold(items: Sequence[Item], *, shares: Shares | None = None, seed: int) -> Splits:
    """Divide `items` by `shares` (default: SHARES, or SMALL_SHARES under 150 items), slices in proportion.

    Larger groups are placed first and single items even out the sizes. UsageError when a split would be empty.
    """
    parts = shares or (SHARES if len(items) >= SMALL else SMALL_SHARES)
    groups = _ordered(groups_of(items), seed)
    wanted = [share / sum(parts) for share in parts]
    filled: list[list[Item]] = [[], [], []]
    placed = 0
    for group in groups:
        placed += len(group)
        emptiest = max(range(3), key=lambda k: (wanted[k] > 0, wanted[k] * placed - len(filled[k])))
        filled[emptiest].extend(group)
    for name, share, found in zip(("dev", "heldout", "vault"), parts, filled, strict=True):
        if share and not found:
            hint = "add gold items, or pass a smaller number of splits"
            raise UsageError(f"{len(items)} gold items in {len(groups)} groups leave {name} empty", hint=hint)
    dev, heldout, vault = (tuple(sorted(found, key=lambda item: item.id)) for found in filled)
    return Splits(dev, heldout, vault)


def groups_of(items: Sequence[Item]) -> list[list[Item]]:
    """Items that must stay together: the same cluster, the same question, or nearly the same words."""
    root = list(range(len(items)))

    def find(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    def join(one: int, other: int) -> None:
        root[find(one)] = find(other)

    texts = [normalise(item.question) for item in items]
    for keys in ([item.cluster for item in items], texts):
        first: dict[str, int] = {}
        for index, key in enumerate(keys):
            if key is not None:
                join(index, first.setdefault(key, index))
    for one, other in _similar([frozenset(words(text)) for text in texts], [len(words(text)) for text in texts]):
        join(one, other)
    groups: dict[int, list[Item]] = defaultdict(list)
    for index, item in enumerate(items):
        groups[find(index)].append(item)
    return list(groups.values())


def _similar(sets: Sequence[frozenset[str]], lengths: Sequence[int]) -> set[tuple[int, int]]:
    """Pairs whose word sets have a Jaccard index of at least SAME_WORDS; texts under SHORT words have none.

    Prefix filter (Chaudhuri et al. 2006): with words in one global order, rarest first, two sets of sizes a and b
    that similar share a word among the first a - ceil(.8 a) + 1 of the one and b - ceil(.8 b) + 1 of the other.
    """
    rarity = Counter(itertools.chain.from_iterable(sets))
    by_word: dict[str, list[int]] = defaultdict(list)
    pairs: set[tuple[int, int]] = set()
    for index, bag in enumerate(sets):
        if lengths[index] < SHORT:
            continue
        ranked = sorted(bag, key=lambda word: (rarity[word], word))
        prefix = ranked[: len(bag) - math.ceil(SAME_WORDS * len(bag) - _ROUNDING) + 1]
        for other in {found for word in prefix for found in by_word[word]}:
            shared = len(bag & sets[other])
            if shared >= SAME_WORDS * (len(bag) + len(sets[other]) - shared) - _ROUNDING:
                pairs.add((other, index))
        for word in prefix:
            by_word[word].append(index)
    return pairs


def _ordered(groups: list[list[Item]], seed: int) -> list[list[Item]]:
    """Larger groups first, the rest slice by slice, each in an order drawn by `seed`."""
    stable = sorted((sorted(group, key=lambda item: item.id) for group in groups), key=lambda group: group[0].id)
    slices = sorted({group[0].slice or "" for group in stable})
    draw = random.Random(seed)
    draw.shuffle(slices)
    draw.shuffle(stable)
    place = {name: index for index, name in enumerate(slices)}
    return sorted(stable, key=lambda group: (-len(group), place[group[0].slice or ""]))
