"""What gives an evaluation item away, whatever it is dressed in, and what does not."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from evo.config import LeaksConfig
from evo.data.leaks.check import check_file, find_copies
from evo.data.leaks.match import Match
from evo.data.leaks.passages import Gold
from evo.data.leaks.similar import SimilarSets
from evo.data.leaks.texts import question_key
from evo.data.reader import Row
from evo.domain.item import parse_item

CODE = '''def mean_above(values, floor):
    """The mean of what lies above the floor."""
'''
BODY = """    kept = [value for value in values if value > floor]
    if not kept:
        raise ValueError("nothing lies above the floor")
    total = 0.0
    for value in kept:
        total += value
    return total / len(kept)
"""
RENAMED = """def f(xs, y):
    z = [w for w in xs if w > y]
    if not z:
        raise ValueError("empty")
    acc = 1.5
    for w in z:
        acc += w
    return acc / len(z)
"""
STORY = (
    "A baker in the old town sells bread and cake every morning before sunrise and she wants to know how many loaves"
    " she has to put into the oven so that nobody who comes late goes home with an empty basket"
)
ANSWER = "It takes three working days because the other bank has to confirm it first"
ITEMS = [
    parse_item({"id": "short", "prompt": "Where is my card?", "target": "card_arrival"}),
    parse_item({"id": "sum", "prompt": "12+34=", "target": "46"}),
    parse_item({"id": "story", "prompt": STORY, "target": "12"}),
    parse_item({"id": "bank", "prompt": "How long does a transfer take?", "target": ANSWER}),
    parse_item({"id": "code", "prompt": CODE, "target": BODY}),
    parse_item({"id": "cjk", "prompt": "我的银行卡为什么还没有寄到家里来呢", "target": "B"}),
]
FILLER = "The weather was fine."


def found(folder: Path, *rows: dict, items: list = ITEMS, **settings: object) -> list[Match]:
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return check_file(path, [Gold("heldout", items)], LeaksConfig(**settings)).matches


def edited(text: str, every: int) -> str:
    words = text.split()
    return " ".join("lamp" if k % every == every - 1 else word for k, word in enumerate(words))


@pytest.mark.parametrize(
    ("row", "item", "method"),
    [
        ({"prompt": "where is  MY card", "target": "x"}, "short", "exact"),
        ({"meta": {"notes": ["Where is my\u200b ca\u00adrd?"]}}, "short", "exact"),
        ({"messages": [{"role": "system", "content": "Where is my card?"}, {"role": "user", "content": "a"}]},
         "short", "exact"),
        ({"text": f"{FILLER} Where is my card Then we left."}, "short", "exact"),
        ({"text": f"{FILLER}\nWhere is my card?\ncard_arrival"}, "short", "exact"),
        ({"prompt": "12 + 34 =", "target": "46"}, "sum", "exact"),
        ({"text": f"{FILLER} 12+34= Then we left."}, "sum", "exact"),
        ({"text": f"{FILLER} {STORY[:150]} and so on."}, "story", "13-gram"),
        ({"prompt": edited(STORY, 10), "target": "x"}, "story", "near-duplicate"),
        ({"prompt": FILLER, "completion": ANSWER.upper()}, "bank", "exact"),
        ({"prompt": FILLER, "completion": RENAMED}, "code", "code"),
        ({"text": f"Look:\n```python\n{RENAMED}```\nGood."}, "code", "code"),
        ({"text": "今天天气很好。我的银行卡 为什么还没有寄到家里来呢？谢谢。"}, "cjk", "exact"),
    ],
)  # fmt: skip
def test_a20_an_item_is_found_in_every_dress(tmp_path: Path, row: dict, item: str, method: str) -> None:
    """A20 (1, 2), D15: named by file, line, item and method; nothing of it is quoted."""
    hits = found(tmp_path, {"prompt": "1+1=", "target": "2"}, row)
    assert [(hit.line, hit.item, hit.method, hit.severity) for hit in hits] == [(2, item, method, "block")]
    assert hits[0].file == str(tmp_path / "train.jsonl")
    assert "card?" not in repr(hits)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "12*34=", "target": "46"},
        {"text": f"{FILLER} 5*12+34=94 is true."},
        {"prompt": "Where is my cart?", "target": "card_arrival"},
        {"prompt": "Nobody knows where is my card reader", "target": "x"},
        {"prompt": " ".join(sorted(set(STORY.split()))[::2]), "target": "12"},
        {"prompt": "def f(xs):\n", "completion": "    return sorted(xs)[0]"},
    ],
)
def test_other_rows_are_left_alone(tmp_path: Path, row: dict) -> None:
    assert [hit for hit in found(tmp_path, row) if hit.severity == "block"] == []


def test_thresholds_decide_between_warning_and_blocking(tmp_path: Path) -> None:
    """≥ .5 of an item's 13-word n-grams block, ≥ .2 warn; both are settings."""
    part = {"text": f"{FILLER} {' '.join(STORY.split()[:20])} and there it ends."}
    share = 8 / (len(STORY.split()) - 12)
    hit = found(tmp_path, part)[0]
    assert (hit.severity, hit.score) == ("warn", pytest.approx(share, abs=1e-3))
    assert found(tmp_path, part, block=0.25)[0].severity == "block"
    assert found(tmp_path, part, warn=0.4) == []


def test_a_shared_template_is_no_evidence(tmp_path: Path) -> None:
    frame = "You are the assistant of a bank. Read the question with care and answer with one word only. Question: {}"
    asked = ["where is my card", "why is the fee so high", "how do i close it", "who took my money", "can i pay abroad",
             "when does the office open", "is the app down again"]  # fmt: skip
    items = [parse_item({"id": f"t{k}", "prompt": frame.format(text), "target": "x"}) for k, text in enumerate(asked)]
    rows = [frame.format("may my brother use it"), frame.format(asked[3]), "Who took my money?"]
    hits = found(tmp_path, *({"prompt": row, "target": "y"} for row in rows), items=items)
    assert [(hit.line, hit.item) for hit in hits if hit.severity == "block"] == [(2, "t3"), (3, "t3")]


def test_labels_and_phrases_are_no_evidence(tmp_path: Path) -> None:
    phrase = "I cannot help you with that."
    items = [parse_item({"id": "p", "prompt": "How do I break in here?", "target": phrase})]
    rows = [{"prompt": f"Question {k}?", "target": phrase} for k in range(6)]
    assert {hit.severity for hit in found(tmp_path, *rows, items=items)} == {"warn"}
    assert {hit.severity for hit in found(tmp_path, rows[0], items=items)} == {"block"}


def test_a_text_file_is_searched_by_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("\n".join(["# Notes", *[f"Line {k} of many." for k in range(2000)], STORY, "end"]) + "\n")
    checked = check_file(path, [Gold("dev", ITEMS)], LeaksConfig())
    assert [(hit.line, hit.item, hit.split) for hit in checked.matches] == [(2002, "story", "dev")]
    assert checked.lines == 2003


def test_near_duplicates_are_found_without_a_miss() -> None:
    """Every pair that comparing all with all finds, and so every one that MinHash could."""
    draw = random.Random(5)
    words = [f"w{k}" for k in range(60)]
    bags = [frozenset(draw.sample(words, draw.randint(8, 14))) for _ in range(150)]
    bags += [bag - {min(bag)} | {draw.choice(words)} for bag in bags]
    sets = SimilarSets(bags[:150], 0.8)
    for bag in bags:
        wanted = {k for k, other in enumerate(bags[:150]) if len(bag & other) >= 0.8 * len(bag | other) - 1e-9}
        assert {hit.number for hit in sets.like(bag)} == wanted


def test_several_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt": f"row {k} says nothing", "target": "x"} for k in range(300)] + [{"prompt": STORY, "target": ""}]
    alone = found(tmp_path, *rows)
    monkeypatch.setattr("evo.data.leaks.check.LARGE", 1)
    assert found(tmp_path, *rows) == alone != []


def test_copies_word_for_word() -> None:
    """C10: what seals and doctor look for in tracked and plain files."""
    hits = find_copies([Row(7, {"prompt": "where is MY card"}), Row(8, {"prompt": edited(STORY, 10)})], ITEMS, file="t")
    assert [(hit.file, hit.line, hit.item) for hit in hits] == [("t", 7, "short")]


def test_the_question_of_a_row_is_what_comes_before_its_answer() -> None:
    turns = [{"role": "user", "content": "2+2="}, {"role": "assistant", "content": "4"}]
    assert question_key({"messages": turns}) == question_key(
        {"messages": [{"role": "system", "content": "Add."}, {"role": "user", "content": "2 + 2 ="}]}
    )
    assert question_key({"text": "no question"}) == ""
