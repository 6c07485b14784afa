"""Gold among the training rows is found before compute is spent, and named without being quoted."""

from __future__ import annotations

import time

import pytest

from evo.data.integrity import exact_overlap, question_key
from evo.data.reader import Row
from evo.domain.item import parse_item

GOLD = [
    parse_item({"id": "g1", "prompt": "Where is my card?", "target": "card_arrival"}),
    parse_item({"id": "g2", "messages": [
        {"role": "system", "content": "Answer."}, {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "12+34="},
        {"role": "assistant", "content": "46"},
    ]}),
]  # fmt: skip


def found(*rows: dict) -> list[tuple[int, str, str]]:
    lines = [Row(line, row) for line, row in enumerate(rows, start=1)]
    return [(hit.line, hit.item, hit.kind) for hit in exact_overlap(lines, GOLD, file="data/train.jsonl")]


def turns(*contents: str) -> list[dict]:
    return [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(contents)]


@pytest.mark.parametrize(
    ("row", "hit"),
    [
        ({"prompt": "where is  MY card", "target": "x"}, ("g1", "question")),
        ({"prompt": "where is  MY card", "target": "Card_Arrival."}, ("g1", "question+answer")),
        ({"messages": turns("Where is my card?", "lost")}, ("g1", "question")),
        ({"messages": turns("Good day", "Hi", "Where is my\u200b card?", "card_arrival")}, ("g1", "question+answer")),
        ({"messages": turns("Where is my card?", "lost", "thanks", "bye")}, ("g1", "question")),
        ({"messages": turns("hello", "hi", "12 + 34 =", "46")}, ("g2", "question+answer")),
        ({"prompt": turns("Where is my card?"), "chosen": turns("a")[:1], "rejected": "card_arrival"},
         ("g1", "question+answer")),
        ({"prompt": "Where is my card?", "completion": "lost"}, ("g1", "question")),
        ({"text": "Where is my card? card_arrival"}, ("g1", "question+answer")),
        ({"text": "# Questions\n\nWhere is my card?\n\nWhere is my dog?"}, ("g1", "question")),
        ({"text": "# Questions\nWhere is my card?\ncard_arrival\n\nMore."}, ("g1", "question")),
    ],
)  # fmt: skip
def test_gold_never_trains_unnoticed(row, hit):
    """C10: gold never in canonical, enforced, in every shape that a training row has."""
    assert found({"prompt": "1+1=", "target": "2"}, row) == [(2, *hit)]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "12*34=", "target": "46"},
        {"messages": turns("Hello", "Hi")},
        {"prompt": "Where is my cart?", "target": "card_arrival"},
        {"messages": [{"role": "system", "content": "Where is my card?"}, *turns("a", "b")]},
    ],
)
def test_other_rows_are_left_alone(row):
    assert found(row) == []


def test_a_finding_names_file_line_and_item_and_quotes_nothing():
    finding = exact_overlap([Row(7, {"prompt": "Where is my card?"})], GOLD, file="data/train.jsonl")[0]
    assert (finding.file, finding.line, finding.item) == ("data/train.jsonl", 7, "g1")
    assert "card" not in repr(finding)


def test_a_hundred_thousand_rows_take_seconds():
    rows = [
        Row(k, {"messages": turns(f"What is {k} plus {k} on a day like today?", str(2 * k))}) for k in range(100_000)
    ]
    start = time.perf_counter()
    assert len(exact_overlap(rows, [parse_item(rows[5].data)], file="train.jsonl")) == 1
    assert time.perf_counter() - start < 10


def test_the_question_of_a_row_is_what_comes_before_its_answer():
    assert question_key({"messages": turns("Hello", "Hi", "2+2=", "4")}) == question_key(
        {"messages": [{"role": "system", "content": "Add."}, *turns("hello", "hi", "2 + 2 =")]}
    )
    assert question_key({"text": "no question"}) == ""
