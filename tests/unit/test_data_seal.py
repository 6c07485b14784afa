"""The seal: what lies where, who may read it, and that nothing else passes for it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from evo.data.reader import read_items
from evo.data.seal import (
    choose_mid,
    items_hash,
    load_split,
    manifest_path,
    read_manifest,
    seal,
    split_path,
    verify_manifest,
)
from evo.data.split import Splits, split_gold
from evo.domain.item import parse_item
from evo.errors import NotFound, Refused, StoreError
from evo.files import sha256_file, write_jsonl

ITEMS = [parse_item({"prompt": f"{k}+{k}=", "target": str(2 * k), "level": k % 3}) for k in range(200)]
TRAIN = [parse_item({"prompt": f"{k}+1=", "target": str(k + 1)}) for k in range(100, 300)]


@pytest.fixture
def splits() -> Splits:
    return split_gold(ITEMS, seed=1)


@pytest.fixture
def workspace(tmp_path: Path, splits: Splits) -> Path:
    write_jsonl(tmp_path / "gold.jsonl", [item.row for item in ITEMS])
    mid = choose_mid(TRAIN, splits.dev, size=32, seed=1)
    seal(tmp_path, splits, mid=mid, seed=1, source=tmp_path / "gold.jsonl", tracked=[])
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_sealed_files_are_for_their_owner_alone(workspace):
    """C10: gold is locked: by mode here, and by hash below."""
    sealed = split_path(workspace, "heldout").parent
    assert mode(sealed) == 0o700
    assert {path.name: mode(path) for path in sealed.iterdir()} == {
        "heldout.jsonl": 0o600, "vault.jsonl": 0o600, "manifest.json": 0o600,
    }  # fmt: skip
    assert verify_manifest(workspace) == []


def test_every_split_comes_back_as_it_was_sealed(workspace, splits):
    for split, items in (("dev", splits.dev), ("heldout", splits.heldout), ("vault", splits.vault)):
        loaded = load_split(workspace, split)
        assert tuple(loaded) == items
        assert [item.row["level"] for item in loaded] == [item.row["level"] for item in items], "other fields are kept"
    manifest = read_manifest(workspace)
    assert {name: record.n for name, record in manifest.splits.items()} == {
        "dev": 100, "mid": 32, "heldout": 60, "vault": 40,
    }  # fmt: skip
    assert manifest.source_sha256 == sha256_file(workspace / "gold.jsonl")
    assert all(json.loads(line)["id"] for line in split_path(workspace, "dev").read_text().splitlines())


def test_each_sealed_split_has_a_canary_of_its_own_that_no_score_sees(workspace, splits, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    seal(other, splits, mid=("", ()), seed=1, source=None, tracked=[])
    canaries = set()
    for root in (workspace, other):
        for split in ("heldout", "vault"):
            name = read_manifest(root).splits[split].canary
            inside = {item.id: item for item in read_items(split_path(root, split), needs_target=True)}
            canaries.add((inside[name].question, inside[name].target))
            assert name not in {item.id for item in load_split(root, split)}
    assert len(canaries) == 4, "unguessable: each is drawn anew"


def test_the_heldout_hash_is_of_the_items_alone(workspace, splits, tmp_path_factory):
    """Looks belong to it: only new items renew them, not new ids, slices, order or canaries."""
    other = tmp_path_factory.mktemp("other")
    renamed = [parse_item({**item.row, "id": f"r{k}", "slice": "s"}) for k, item in enumerate(splits.heldout)]
    changed = Splits(splits.dev, tuple(reversed(renamed)), splits.vault)
    again = seal(other, changed, mid=("", ()), seed=2, source=None, tracked=[])
    assert again.heldout_hash == read_manifest(workspace).heldout_hash
    assert items_hash(splits.heldout[:-1]) != again.heldout_hash


@pytest.mark.parametrize("split", ["dev", "heldout", "vault", "mid"])
def test_a_changed_split_is_refused(workspace, split):
    path = split_path(workspace, split)
    path.write_text(path.read_text().replace('"target": "', '"target": "1', 1))
    with pytest.raises(StoreError, match=f"{split}: .* is not the file that was sealed"):
        load_split(workspace, split)
    assert [problem.split(":")[0] for problem in verify_manifest(workspace)] == [split]


def test_a_missing_split_and_open_modes_are_named(workspace):
    os.unlink(split_path(workspace, "vault"))
    split_path(workspace, "heldout").chmod(0o644)
    vault, heldout = verify_manifest(workspace)
    assert vault.endswith("vault.jsonl is gone")
    assert "heldout.jsonl is open to others: mode 0644" in heldout
    with pytest.raises(StoreError, match="is gone"):
        load_split(workspace, "vault")


def test_a_second_seal_is_refused(workspace, splits):
    before = sha256_file(manifest_path(workspace))
    with pytest.raises(Refused, match="has a seal"):
        seal(workspace, splits, mid=("", ()), seed=1, source=None, tracked=[])
    assert sha256_file(manifest_path(workspace)) == before


def test_sealed_items_that_git_tracks_are_refused_without_being_quoted(tmp_path, splits):
    """C10: a tracked plain copy, or a tracked train file with gold in it, would reach every worktree."""
    (tmp_path / "data").mkdir()
    leaked = splits.heldout[0]
    write_jsonl(tmp_path / "data" / "train.jsonl", [*(item.row for item in TRAIN), {"prompt": f" {leaked.question} "}])
    with pytest.raises(Refused, match=r"git tracks sealed items: data/train\.jsonl, line 201\n") as caught:
        seal(tmp_path, splits, mid=("", ()), seed=1, source=None, tracked=["README.md", "data/train.jsonl"])
    assert leaked.question not in str(caught.value)
    with pytest.raises(Refused, match="sealed/vault"):
        seal(tmp_path, splits, mid=("", ()), seed=1, source=None, tracked=[".evo/sealed/vault.jsonl"])
    assert not (tmp_path / ".evo").exists(), "nothing was written"


def test_a_dev_file_with_other_items_is_not_overwritten(tmp_path, splits):
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "dev.jsonl", [{"prompt": "mine", "target": "kept"}])
    with pytest.raises(Refused, match=r"dev\.jsonl holds other items"):
        seal(tmp_path, splits, mid=("", ()), seed=1, source=None, tracked=[])
    assert "mine" in (tmp_path / "data" / "dev.jsonl").read_text()
    assert not (tmp_path / ".evo").exists()


def test_mid_comes_from_train_where_that_has_targets_else_from_dev(splits):
    source, mid = choose_mid(TRAIN, splits.dev, size=32, seed=1)
    assert (source, len(mid)) == ("train", 32)
    assert mid == choose_mid(TRAIN[::-1], splits.dev, size=32, seed=1)[1]
    assert choose_mid(TRAIN[:40], splits.dev, size=32, seed=1)[1] != ()
    assert len(choose_mid(TRAIN[:40], splits.dev, size=32, seed=1)[1]) == 10, "at most a quarter is held back"
    prompts = [parse_item({"prompt": f"p{k}"}, needs_target=False) for k in range(100)]
    source, mid = choose_mid(prompts, splits.dev, size=32, seed=1)
    assert source == "dev"
    assert set(mid) <= set(splits.dev)
    assert len(choose_mid(prompts, splits.dev[:20], size=32, seed=1)[1]) == 5, "most of dev stays"
    assert choose_mid(TRAIN, splits.dev, size=0, seed=1) == ("", ())


def test_without_a_seal_there_is_a_way_to_one(tmp_path):
    with pytest.raises(NotFound, match="has no sealed items") as caught:
        load_split(tmp_path, "dev")
    assert "evo data seal" in caught.value.hint


def test_a_split_that_was_not_made_is_empty(tmp_path):
    small = split_gold(ITEMS[:100], seed=1)
    seal(tmp_path, small, mid=("", ()), seed=1, source=None, tracked=[])
    assert load_split(tmp_path, "vault") == load_split(tmp_path, "mid") == []
    assert not split_path(tmp_path, "vault").exists()
