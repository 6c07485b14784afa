"""Whose weights they are: what is told from bytes, headers, configs and names, before anything is loaded."""

from __future__ import annotations

import array
import json
import os
import random
import shutil
from pathlib import Path

import pytest
from lookalikes import SHAPES, full, lora, moved, numbers, size

from evo.domain.job import Lineage
from evo.errors import EvoError
from evo.evaluate import deltas
from evo.evaluate.identity import check, stamp
from evo.evaluate.weights import weights_hash
from evo.files import sha256_text


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return full(tmp_path / "base", numbers(0))


def found(folder: Path, base: Path, **lineage: object) -> list[tuple[str, str]]:
    """(kind, severity) of every finding."""
    return [(each.kind, each.severity) for each in check(folder, Lineage(base=str(base), **lineage)).findings]


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
def test_what_was_trained_from_the_base_is_measured_and_passes(base, tmp_path, dtype):
    """§7: weights differ from base and parent, by as much as training moves them."""
    own = full(tmp_path / "own", moved(numbers(0), 0.05), dtype=dtype, sliding_window=None)
    told = check(own, Lineage(base=str(base)))
    assert (told.findings, told.is_unchanged) == ([], False)
    assert told.delta == pytest.approx(0.05, rel=0.1)
    assert told.weights_hash == weights_hash(own)
    assert check(lora(tmp_path / "lora", rank=4, by=0.1), Lineage(base=str(base))).findings == []


def test_another_model_of_the_same_shape_is_told_by_its_distance(base, tmp_path):
    """A20, pattern 4: a checkpoint that was not trained here, however its tensors are named."""
    other = full(tmp_path / "other", numbers(1))
    told = check(other, Lineage(base=str(base)))
    assert [each.kind for each in told.refusals] == ["delta"]
    assert told.delta == pytest.approx(2**0.5, rel=0.1)
    assert found(full(tmp_path / "small", {k: [v / 9 for v in row] for k, row in numbers(1).items()}), base) != []


def test_a_model_hidden_in_the_factors_of_an_adapter_is_told_and_a_diverged_lora_is_only_an_alarm(base, tmp_path):
    assert found(lora(tmp_path / "whole", rank=16, by=1), base) == [("delta", "block")]
    assert found(lora(tmp_path / "low", rank=4, by=1), base) == [("delta", "warn")]


def test_the_base_and_the_parent_are_known_in_every_form(base, tmp_path):
    """A20, pattern 4: weight diff against base and parent; a difference of zero is no training."""
    half = full(tmp_path / "half", numbers(0), dtype="BF16")
    parent = lora(tmp_path / "parent", rank=4, by=0.2)
    weights = deltas.Weights(parent, deltas.Weights(base))
    rows = {name: size(shape) // shape[-1] for name, shape in SHAPES.items()}
    merged = {name: [v for n in range(count) for v in weights.row(name, n)] for name, count in rows.items()}
    again = full(tmp_path / "again", merged)
    for folder, start in ((base, None), (half, None), (parent, parent), (again, parent)):
        told = check(folder, Lineage(base=str(base), start=str(start) if start else None))
        assert ([each.kind for each in told.findings], told.is_unchanged, told.refusals) == (["unchanged"], True, [])
    assert found(again, base) == []  # from the base, these weights are a change


def test_a_row_of_a_lora_is_the_bases_with_what_the_factors_add(base, tmp_path):
    """alpha over r, or over its root; a module may have its own of both."""
    folder = lora(tmp_path / "lora", rank=4, by=0.1, lora_alpha=2, alpha_pattern={"q_proj": 8})
    name = "model.layers.0.q_proj"
    plain, factors = deltas.Weights(base), deltas.Weights(folder, deltas.Weights(base))
    a, b = (numbers_of(folder, f"base_model.model.{name}.lora_{side}.weight") for side in "AB")
    added = [sum(b[12 + k] * a[16 * k + j] for k in range(4)) * 8 / 4 for j in range(16)]
    wanted = [x + y for x, y in zip(plain.row(f"{name}.weight", 3), added, strict=True)]
    assert list(factors.row(f"{name}.weight", 3)) == pytest.approx(wanted)
    assert list(factors.row("model.norm.weight", 0)) == list(plain.row("model.norm.weight", 0))


def numbers_of(folder: Path, name: str) -> list[float]:
    tensor = next(t for t in deltas.read_header(folder / "adapter_model.safetensors") if t.name == name)
    data = (folder / "adapter_model.safetensors").read_bytes()[tensor.start : tensor.end]
    return list(array.array("f", data))


def test_a_sample_of_rows_says_what_all_of_them_say(base, tmp_path, monkeypatch):
    """A model of any size costs about as much as a small one."""
    own = full(tmp_path / "own", moved(numbers(0), 0.3))
    every = deltas.relative_delta(deltas.Weights(own), deltas.Weights(base))
    monkeypatch.setattr(deltas, "NUMBERS", 100)
    drawn = list(deltas.drawn(deltas.Weights(own), deltas.Weights(base), random.Random(1)))
    assert sum(each.weight for each in drawn) == pytest.approx(24 + 16 + 1)
    assert len(drawn) < 12
    for seed in range(5):
        some = deltas.relative_delta(deltas.Weights(own), deltas.Weights(base), seed=seed)
        assert some == pytest.approx(every, rel=0.3)


def test_an_adapter_of_another_base_is_refused_by_the_weights_that_it_names(base, tmp_path):
    """§7: adapter's base hash equals the pin; the name itself proves nothing."""
    copy = full(tmp_path / "copy", numbers(0))
    other = full(tmp_path / "other", numbers(1))
    for said, kinds in (
        ("", []), (str(base), []), (str(copy), []), ("org/model", []), (None, []),
        (str(other), [("adapter_base", "block")]), ("org/else", [("adapter_base", "block")]),
    ):  # fmt: skip
        folder = lora(tmp_path / sha256_text(str(said))[:8], rank=4, by=0.1, base_model_name_or_path=said)
        assert found(folder, base, names=["org/model"]) == kinds, said
    assert found(folder, base, is_declared=True) == [("adapter_base", "warn")]
    assert found(lora(tmp_path / "named", rank=4, by=0.1, base_model_name_or_path=str(other)), base, is_declared=True)


def test_a_start_that_is_not_what_was_scored_breaks_the_lineage(base, tmp_path):
    parent, own = lora(tmp_path / "p", rank=4, by=0.1), full(tmp_path / "own", moved(numbers(0), 0.05))
    known = weights_hash(parent)
    assert found(own, base, start=str(parent), start_hash=known) == []
    shutil.copy(lora(tmp_path / "q", rank=4, by=0.3) / "adapter_model.safetensors", parent)
    assert found(own, base, start=str(parent), start_hash=known) == [("lineage", "block")]


def test_what_is_no_model_of_this_kind_is_named(base, tmp_path):
    """§7: shapes, config fields and tokenizer equal the pinned base's; safetensors only."""
    deeper = full(tmp_path / "deeper", moved(numbers(0), 0.05), hidden_size=8)
    assert found(deeper, base) == [("architecture", "block")]
    (deeper / "config.json").unlink()
    (deeper / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 1, "b": 0}}}))
    assert found(deeper, base) == [("tokenizer", "block")]
    (deeper / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert found(deeper, base) == [("pickle", "block")]
    for name in ("pytorch_model.bin", "model.safetensors"):
        (deeper / name).unlink()
    assert found(deeper, base) == [("no_weights", "block")]
    (deeper / "model.safetensors").write_bytes(b"\xff" * 20)
    assert found(deeper, base) == [("unreadable", "block")]
    broken = full(tmp_path / "broken", {**moved(numbers(0), 0.05), "model.norm.weight": [float("nan")] * 16})
    assert found(broken, base) == [("delta", "block")]


def test_weights_that_lie_elsewhere_are_not_the_runs(base, tmp_path):
    own = full(tmp_path / "own", moved(numbers(0), 0.05))
    os.symlink("model.safetensors", own / "best.safetensors")
    assert found(own, base) == []
    whole = tmp_path / "link"
    whole.symlink_to(own)
    assert found(whole, base) == [("outside", "block")]
    (own / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    (own / "best.safetensors").unlink()
    index = own / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: "../elsewhere.safetensors" for name in SHAPES}}))
    assert found(own, base) == [("outside", "block")]
    index.unlink()
    (own / "model.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    assert found(own, base) == [("outside", "block")]
    assert [each.kind for each in check(own, Lineage()).findings] == ["outside"]  # without a base model too


def test_a_base_that_was_touched_meanwhile_is_nobodys_finding(base, tmp_path):
    own = full(tmp_path / "own", moved(numbers(0), 0.05))
    seen = [list(entry) for entry in stamp(base)]
    assert found(own, base, base_stamp=seen) == []
    (base / "tokenizer.json").write_text((base / "tokenizer.json").read_text() + " ")
    with pytest.raises(EvoError, match="touched"):
        found(own, base, base_stamp=seen)
