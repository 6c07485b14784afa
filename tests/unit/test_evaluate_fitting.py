"""Weights from elsewhere: what shows, before anything is made, that they cannot be the base model's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lookalikes import adapter, save
from test_evaluate_weights import TENSORS

from evo.evaluate.fitting import misfits

CONFIG = {"model_type": "llama", "hidden_size": 2, "rope_parameters": {"rope_theta": 1e4}, "dtype": "bfloat16"}
BASE = {"model.layers.0.q_proj.weight": ("F32", [3, 2], bytes(24)), "model.embed.weight": ("F32", [5, 2], bytes(40))}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return with_config(save(tmp_path / "base" / "model.safetensors", BASE), CONFIG)


def with_config(folder: Path, config: dict[str, object]) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def lora(folder: Path, *, a: tuple[int, int], b: tuple[int, int], target: str = "model.layers.0.q_proj") -> Path:
    stem = f"base_model.model.{target}"
    tensors = {
        f"{stem}.lora_A.weight": ("F32", list(a), bytes(4 * a[0] * a[1])),
        f"{stem}.lora_B.weight": ("F32", list(b), bytes(4 * b[0] * b[1])),
    }
    return adapter(folder, tensors)


def test_the_same_tensors_in_another_precision_and_version_fit(base, tmp_path):
    halves = {name: ("BF16", shape, data[: len(data) // 2]) for name, (_, shape, data) in BASE.items()}
    folder = save(tmp_path / "other" / "model.safetensors", halves)
    assert misfits(folder, base) == []
    with_config(folder, {**CONFIG, "dtype": "float32", "transformers_version": "9", "eos_token_id": [1, 2]})
    assert misfits(folder, base) == []


def test_what_cannot_be_the_base_models_is_named(base, tmp_path):
    """§7: shapes and config equal the pinned base."""
    other = save(tmp_path / "other" / "model.safetensors", TENSORS)
    with_config(other, {**CONFIG, "model_type": "qwen3", "rope_parameters": {"rope_theta": 1e6}})
    found = misfits(other, base)
    assert found[:2] == [
        'config.json has model_type "qwen3", not "llama"',
        'config.json has rope_parameters {"rope_theta": 1000000.0}, not {"rope_theta": 10000.0}',
    ]
    assert "model.layers.0.q_proj.weight is missing" in found


def test_a_lora_fits_where_its_factors_have_the_sizes_of_their_target(base, tmp_path):
    assert misfits(lora(tmp_path / "a", a=(4, 2), b=(3, 4)), base) == []
    assert misfits(lora(tmp_path / "head", a=(4, 2), b=(5, 4), target="lm_head"), base) == []
    wrong = misfits(lora(tmp_path / "b", a=(4, 3), b=(2, 4)), base)
    assert [line.split(" has shape ")[1] for line in wrong] == [
        "[4, 3], and model.layers.0.q_proj.weight is [3, 2]",
        "[2, 4], and model.layers.0.q_proj.weight is [3, 2]",
    ]
    nowhere = misfits(lora(tmp_path / "d", a=(4, 2), b=(3, 4), target="model.layers.7.q_proj"), base)
    assert len(nowhere) == 2
    assert "model.layers.7.q_proj.weight, which is not in the base model" in nowhere[0]


def test_pickles_and_empty_folders_hold_no_weights(base, tmp_path):
    folder = tmp_path / "pickled"
    folder.mkdir()
    assert misfits(folder, base) == ["holds no safetensors weights"]
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "only pickled weights (pytorch_model.bin)" in misfits(folder, base)[0]
