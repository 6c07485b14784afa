"""Data sources into one file named by its content."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from evo.config import DataSpec, SourceSpec
from evo.data.mix import Place, resolve
from evo.domain.item import parse_item
from evo.errors import FileFormatError, NotFound, Refused
from evo.files import sha256_file, write_jsonl


@pytest.fixture
def place(tmp_path: Path) -> Place:
    base = tmp_path / "ws" / ".evo" / "worktrees" / "exp_0001"
    write_jsonl(base / "data" / "train.jsonl", [{"prompt": f"{k}+1=", "target": str(k + 1)} for k in range(100)])
    return Place(base, tmp_path / "ws" / ".evo" / "cache" / "datasets")


def mixed(place: Place, *sources: SourceSpec, seed: int = 1, **options: object):
    return resolve(DataSpec(list(sources)), place, seed=seed, **options)


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


TRAIN = SourceSpec("data/train.jsonl")


def test_the_file_is_named_by_its_content_and_healed_when_damaged(place):
    done = mixed(place, TRAIN)
    assert done.path == place.cache_dir / f"{done.sha256}.jsonl"
    assert sha256_file(done.path) == done.sha256
    assert done.lines == 100
    assert rows_of(done.path) == rows_of(place.base / "data" / "train.jsonl")
    done.path.write_text("{}\n")
    assert mixed(place, TRAIN) == done
    assert sha256_file(done.path) == done.sha256


def test_weight_and_n_say_how_often_rows_are_drawn(place):
    done = mixed(place, SourceSpec("data/train.jsonl", weight=1.5))
    counts = Counter(row["prompt"] for row in rows_of(done.path))
    assert Counter(counts.values()) == {1: 50, 2: 50}
    assert mixed(place, SourceSpec("data/train.jsonl", weight=1.5)).sha256 == done.sha256
    assert mixed(place, SourceSpec("data/train.jsonl", weight=1.5), seed=2).sha256 != done.sha256
    few = mixed(place, SourceSpec("data/train.jsonl", n=10, weight=2.0), SourceSpec("data/train.jsonl", weight=0.25))
    assert [part.drawn for part in few.parts] == [20, 25]
    assert set(Counter(row["prompt"] for row in rows_of(few.path)[:20]).values()) == {2}
    with pytest.raises(FileFormatError, match=r"recipe\.yaml, field data\.train\[0\]\.n: asks for 101 rows of 100"):
        mixed(place, SourceSpec("data/train.jsonl", n=101))


def test_rows_of_the_mid_slice_are_left_out_however_they_are_spelled(place):
    mid = [parse_item({"id": "m", "messages": [
        {"role": "system", "content": "Add."}, {"role": "user", "content": " 7 + 1 = "},
        {"role": "assistant", "content": "8"},
    ]})]  # fmt: skip
    done = mixed(place, TRAIN, exclude=mid)
    assert "7+1=" not in {row["prompt"] for row in rows_of(done.path)}
    assert (done.lines, done.parts[0].rows, done.parts[0].excluded) == (99, 99, 1)


def test_map_renames_fields_and_names_the_row_where_one_is_missing(place):
    write_jsonl(place.base / "qa.jsonl", [{"q": "2+2=", "a": 4, "by": "x"}, {"q": "3+3="}])
    with pytest.raises(FileFormatError, match=r"qa\.jsonl, line 2, field a: is missing"):
        mixed(place, SourceSpec("qa.jsonl", map={"prompt": "q", "target": "a"}))
    write_jsonl(place.base / "qa.jsonl", [{"q": "2+2=", "a": 4, "by": "x"}])
    done = mixed(place, SourceSpec("qa.jsonl", map={"prompt": "q", "target": "a"}))
    assert rows_of(done.path) == [{"by": "x", "prompt": "2+2=", "target": 4}]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "2+2="}, "line 2, field target: is missing"),
        ({"messages": [{"role": "user", "content": "2+2="}]}, "line 2, field messages: has no target"),
        ({"question": "2+2="}, 'line 2: has neither "messages" nor "prompt"'),
        ({"prompt": "a", "completion": ["b"]}, "line 2, field target: must be a string"),
    ],
)
def test_a_row_without_an_answer_is_named(place, row, says):
    write_jsonl(place.base / "bad.jsonl", [{"prompt": "a", "completion": "b"}, row])
    with pytest.raises(FileFormatError, match=r"bad\.jsonl, " + says):
        mixed(place, SourceSpec("bad.jsonl"))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "2+2=", "chosen": "4"}, "field rejected: is missing"),
        ({"prompt": "2+2=", "chosen": "4", "rejected": " "}, "field rejected: is empty"),
        ({"prompt": "2+2=", "chosen": ["4"], "rejected": "5"}, "field chosen: must be a string, not list"),
        ({"prompt": "2+2=", "chosen": "4", "rejected": "4"}, "field rejected: is the same"),
        (
            {"messages": [{"role": "user", "content": "2+2="}, {"role": "assistant", "content": "4"}],
             "chosen": "4", "rejected": "5"},
            "field messages: must end with the user's",
        ),
        ({"text": ""}, "field text: is empty"),
        ({"text": 4}, "field text: must be a string"),
    ],
)  # fmt: skip
def test_a_pair_or_text_that_cannot_be_learned_is_named(place, row, says):
    good = [{"prompt": "1+1=", "chosen": "2", "rejected": "3"}, {"text": "One and one are two."}]
    write_jsonl(place.base / "good.jsonl", good)
    assert rows_of(mixed(place, SourceSpec("good.jsonl")).path) == good
    write_jsonl(place.base / "bad.jsonl", [*good, row])
    with pytest.raises(FileFormatError, match=r"bad\.jsonl, line 3, " + says):
        mixed(place, SourceSpec("bad.jsonl"))


def test_a_corpus_is_texts_and_rows_of_a_folder(place, tmp_path):
    """C17: pretraining reads .txt, .md and .jsonl."""
    corpus = place.base / "corpus"
    (corpus / "deep").mkdir(parents=True)
    (corpus / "a.txt").write_text("\ufeffOne.\n\nTwo.", encoding="utf-8")
    (corpus / "deep" / "b.md").write_text("# Three", encoding="utf-8")
    (corpus / "c.jsonl").write_text('{"text": "Four."}\n{"text": "Five."}\n')
    (corpus / "empty.txt").write_text("")
    (corpus / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "secret.txt").write_text("Sealed.")
    (corpus / "link.txt").symlink_to(tmp_path / "secret.txt")
    texts = [row["text"] for row in rows_of(mixed(place, SourceSpec("corpus")).path)]
    assert texts == ["One.\n\nTwo.", "Four.", "Five.", "# Three"]
    assert [row["text"] for row in rows_of(mixed(place, SourceSpec("corpus/deep/b.md")).path)] == ["# Three"]

    (corpus / "c.jsonl").write_text('{"text": "Four."}\n{"text": ""}\n')
    with pytest.raises(FileFormatError, match=r"corpus/c\.jsonl, line 2, field text: is empty"):
        mixed(place, SourceSpec("corpus"))
    (corpus / "a.txt").write_bytes(b"fine\n\xff")
    with pytest.raises(FileFormatError, match=r"a\.txt, line 2: is not UTF-8: byte 5"):
        mixed(place, SourceSpec("corpus/a.txt"))
    (place.base / "none").mkdir()
    with pytest.raises(FileFormatError, match=r"none: holds no \.txt, \.md or \.jsonl file"):
        mixed(place, SourceSpec("none"))


def test_a_recipe_does_not_reach_out_of_the_workspace(place, tmp_path):
    write_jsonl(tmp_path / "outside.jsonl", [{"prompt": "a", "target": "b"}])
    (place.base / "link.jsonl").symlink_to(tmp_path / "outside.jsonl")
    up = os.path.relpath(tmp_path / "outside.jsonl", place.base)
    for source in (up, "link.jsonl"):
        with pytest.raises(
            FileFormatError, match=r"recipe\.yaml, field data\.train\[1\]\.source: .*outside the workspace"
        ):
            mixed(place, TRAIN, SourceSpec(source))
    assert mixed(place, SourceSpec(str(tmp_path / "outside.jsonl"))).lines == 1, "a whole path is the user's own word"


def test_sealed_items_are_never_a_source(place, tmp_path):
    """C10: not by a whole path either."""
    sealed = tmp_path / "ws" / ".evo" / "sealed" / "heldout.jsonl"
    write_jsonl(sealed, [{"prompt": "a", "target": "b"}])
    (place.base / "link.jsonl").symlink_to(sealed)
    for source in (str(sealed), "link.jsonl", "../../sealed/heldout.jsonl"):
        with pytest.raises(Refused, match="is sealed"):
            mixed(place, SourceSpec(source))


def test_artifacts_of_experiments_are_sources(place, tmp_path):
    write_jsonl(tmp_path / "kept.jsonl", [{"prompt": "a", "target": "b"}])
    known = Place(place.base, place.cache_dir, artifacts={"exp_0003:kept": tmp_path / "kept.jsonl"})
    assert mixed(known, SourceSpec("artifact:exp_0003:kept")).lines == 1
    with pytest.raises(NotFound, match=r"data\.train\[0\]\.source: no artifact 'exp_0003:kep'") as caught:
        mixed(known, SourceSpec("artifact:exp_0003:kep"))
    assert "exp_0003:kept" in caught.value.hint


def test_nothing_to_train_on_is_said(place):
    with pytest.raises(FileFormatError, match=r"field data\.train: leaves nothing to train on"):
        mixed(place)
    with pytest.raises(NotFound, match=r"field data\.train\[0\]\.source: .*absent\.jsonl does not exist"):
        mixed(place, SourceSpec("absent.jsonl"))
    with pytest.raises(FileFormatError, match="names no revision and split") as caught:
        mixed(place, SourceSpec("hf://owner/name"))
    assert caught.value.hint == "write hf://id@revision:split"
