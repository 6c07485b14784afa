"""Training rows that contradict each other: labels, preferences and thumbs do, two good texts do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evo.data.disagreement import AT_MOST, disagreement, disagreement_in


def turns(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


PREFERENCE = {"prompt": "a", "chosen": "good", "rejected": "bad"}
TURNED = {"prompt": "a", "chosen": "bad", "rejected": "good"}
UP = {"prompt": "a", "completion": "some text", "label": True}
ESSAY = "a text that is longer than any label, and one of many good ones"
CASES: dict[str, tuple[list[dict[str, Any]], float]] = {
    "labels": ([turns("a", "yes"), turns("a", "no"), turns("b", "yes"), turns("b", " yes ")], 0.5),
    "prompt and completion": ([{"prompt": "a", "completion": "1"}, {"prompt": "a", "completion": "2"}], 1.0),
    "targets": ([{"prompt": "a", "target": "1"}, {"prompt": "a", "target": "1"}], 0.0),
    "preferences": ([PREFERENCE, TURNED, PREFERENCE | {"prompt": "b"}], 2 / 3),
    "thumbs": ([UP, UP | {"label": False}, UP | {"completion": "other"}], 2 / 3),
    "two good texts": ([turns("a", ESSAY), turns("a", ESSAY + "!"), turns("a", "1\n2"), turns("a", "2\n1")], 0.0),
    "neither": ([{"text": "a"}, {"messages": []}, {"messages": "a"}, {"prompt": "a"}], 0.0),
    "none": ([], 0.0),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_disagree_where_one_of_them_must_be_wrong(name: str) -> None:
    rows, share = CASES[name]
    assert disagreement(rows) == pytest.approx(share)


def test_of_a_file_the_first_rows_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    same, odd = json.dumps(turns("a", "yes")) + "\n", json.dumps(turns("a", "no")) + "\n"
    path.write_text(same * AT_MOST + odd)
    assert disagreement_in(path) == 0.0
    path.write_text(same + "\n" + odd + '"no row"\n')
    assert disagreement_in(path) == 1.0
    path.write_text(same + odd + "{broken\n")
    assert disagreement_in(path) == 0.0
