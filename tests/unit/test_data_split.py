"""Dividing gold items: shares, slices, and what must stay together."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evo.data.split import SAME_WORDS, _similar, groups_of, parse_shares, split_gold
from evo.data.text import normalise, words
from evo.domain.item import Item, parse_item
from evo.errors import UsageError

LONG = "please tell me when the new card that i ordered last week will arrive"


def items_of(count: int, **more: object) -> list[Item]:
    return [parse_item({"id": f"q{k:04}", "prompt": f"question {k}", "target": "a", **more}) for k in range(count)]


def asking(*questions: str, **more: str) -> list[Item]:
    return [parse_item({"id": f"q{k}", "prompt": text, "target": "a", **more}) for k, text in enumerate(questions)]


def sizes(items: list[Item], **options: object) -> tuple[int, int, int]:
    splits = split_gold(items, **{"seed": 1, **options})
    return len(splits.dev), len(splits.heldout), len(splits.vault)


def test_shares_are_kept_and_small_sets_get_no_vault():
    assert sizes(items_of(200)) == (100, 60, 40)
    assert sizes(items_of(150)) == (75, 45, 30)
    assert sizes(items_of(149)) == (75, 74, 0)
    assert sizes(items_of(100), shares=(60, 20, 20)) == (60, 20, 20)


def test_every_item_is_in_one_split_and_order_does_not_matter():
    items = items_of(151)
    one, other = split_gold(items, seed=3), split_gold(random.Random(0).sample(items, 151), seed=3)
    assert one == other
    assert sorted(item.id for part in (one.dev, one.heldout, one.vault) for item in part) == [i.id for i in items]
    assert split_gold(items, seed=4) != one


def test_slices_are_in_proportion_even_when_each_is_tiny():
    tiny = [parse_item({"id": f"{s}-{k}", "prompt": f"{s} {k}", "target": "a", "slice": f"s{s}"})
            for s in range(77) for k in range(3)]  # fmt: skip
    assert sizes(tiny) == (116, 69, 46)
    big = [parse_item({"id": f"{k}", "prompt": f"{k}", "target": "a", "slice": "rare" if k < 40 else "common"})
           for k in range(400)]  # fmt: skip
    found = [Counter(item.slice for item in part) for part in vars(split_gold(big, seed=1)).values()]
    assert [count["rare"] for count in found] == [20, 12, 8]


def test_clusters_stay_whole():
    """A3: items of one cluster never straddle two splits."""
    items = [parse_item({"id": f"{k}", "prompt": f"{k}", "target": "a", "cluster": f"c{k % 40}"}) for k in range(200)]
    splits = split_gold(items, seed=1)
    seen = [{item.cluster for item in part} for part in vars(splits).values()]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    assert [len(part) for part in vars(splits).values()] == [100, 60, 40]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("What is 12 + 34?", "what is 12+34", True),
        ("12+34=", "12*34=", False),
        ("12+34=", "34+12=", False),
        ("2 - 3", "-3 + 2", False),
        ("round 1.5", "round 15", False),
        ("5!", "5", False),
        ("f(1+2)*3", "f 1+2*3", False),
        ("１２＋３４", "12+34", True),
        ("WHERE is my\u200b card…", "where is my card", True),
        (LONG, LONG.replace("week", "month"), True),
        (LONG, "will " + LONG.replace(" will", ""), True),
        (LONG, " ".join(LONG.split()[:7]) + " we never sent you back in may", False),
        ("when will my card arrive", "when will my cash arrive", False),
    ],
)
def test_near_duplicates_stay_together_and_formulas_apart(one, other, together):
    assert (len(groups_of(asking(one, other))) == 1) is together


@given(st.lists(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=10, max_size=16), max_size=30))
def test_no_pair_above_the_threshold_is_missed(texts):
    sets = [frozenset(text) for text in texts]
    expected = {
        (i, j) for j in range(len(sets)) for i in range(j)
        if len(sets[i] & sets[j]) >= SAME_WORDS * len(sets[i] | sets[j]) - 1e-9
    }  # fmt: skip
    assert _similar(sets, [len(text) for text in texts]) == expected


def test_one_word_in_ten_edited_is_found_and_ten_thousand_items_take_seconds():
    draw = random.Random(0)
    vocabulary = [f"w{k}" for k in range(3000)]
    base = [" ".join(draw.choices(vocabulary[: 60 + k % 2900], k=14)) for k in range(5000)]
    edited = [" ".join([*text.split()[:-1], "edited"]) for text in base]
    start = time.perf_counter()
    groups = groups_of([*asking(*base), *asking(*edited)])
    assert time.perf_counter() - start < 5
    assert sum(len(group) > 1 for group in groups) > 4900


def test_what_cannot_be_divided_is_refused():
    with pytest.raises(UsageError, match="1 gold items in 1 groups leave heldout empty"):
        split_gold(items_of(1), seed=1)
    with pytest.raises(UsageError, match="200 gold items in 1 groups leave heldout empty"):
        split_gold(items_of(200, cluster="all"), seed=1)


def test_shares_are_written_with_slashes():
    assert parse_shares("50/30/20") == (50, 30, 20)
    assert parse_shares("60/40") == (60, 40, 0)
    assert parse_shares(".5/.3/.2") == (0.5, 0.3, 0.2)
    for text in ("50/30/30", "5/3/2"):
        with pytest.raises(UsageError, match="adds up to 1"):
            parse_shares(text)
    for text in ("50", "a/b", "0/50/50", "50/-1/2", "nan/1/1", "1/2/3/4"):
        with pytest.raises(UsageError, match="split:"):
            parse_shares(text)


def test_a_text_of_signs_alone_keeps_something_to_compare():
    assert normalise("?") != normalise("!")
    assert words(normalise("カードはどこ")) == list("カードはどこ")
