"""Content identity of weights: the same tensors have one hash, a changed bit gives another, a null training is seen."""

from __future__ import annotations

import json

import pytest
from lookalikes import Tensors, adapter, save

from evo.errors import FileFormatError
from evo.evaluate.weights import adds_zero, has_pickle, is_noop, shape_differences, weights_hash

TENSORS: Tensors = {
    "embed.weight": ("F32", [2, 2], bytes(range(16))),
    "head.weight": ("BF16", [3], b"\x01\x02\x03\x04\x05\x06"),
}


def factors(a: bytes, b: bytes, target: str = "q_proj") -> Tensors:
    stem = f"base_model.model.layers.0.{target}"
    return {
        f"{stem}.lora_A.weight": ("F32", [1, len(a) // 4], a),
        f"{stem}.lora_B.weight": ("F32", [len(b) // 4, 1], b),
    }


def test_names_of_files_metadata_and_order_are_no_content(tmp_path):
    plain = save(tmp_path / "plain" / "model.safetensors", TENSORS)
    (plain / "README.md").write_text("a card")
    (plain / "training_args.bin").write_bytes(b"\x80")
    turned = dict(reversed(TENSORS.items()))
    named = save(tmp_path / "named" / "model.safetensors", turned, metadata={"format": "pt", "run": "7"})
    shards = tmp_path / "shards"
    for number, name in enumerate(TENSORS, 1):
        save(shards / f"model-{number}-of-2.safetensors", {name: TENSORS[name]})
    index = {"weight_map": {name: f"model-{number}-of-2.safetensors" for number, name in enumerate(TENSORS, 1)}}
    (shards / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weights_hash(plain) == weights_hash(named) == weights_hash(shards)
    assert is_noop(shards, [plain])


@pytest.mark.parametrize(
    "changed",
    [
        TENSORS | {"head.weight": ("BF16", [3], b"\x01\x02\x03\x04\x05\x07")},
        TENSORS | {"head.weight": ("F16", [3], b"\x01\x02\x03\x04\x05\x06")},
        TENSORS | {"embed.weight": ("F32", [4, 1], bytes(range(16)))},
        TENSORS | {"more.weight": ("F32", [1], b"\0\0\0\0")},
        {"embed.weight": TENSORS["embed.weight"], "tail.weight": TENSORS["head.weight"]},
    ],
)
def test_every_bit_name_shape_and_dtype_is_content(tmp_path, changed):
    base = save(tmp_path / "base" / "model.safetensors", TENSORS)
    other = save(tmp_path / "other" / "model.safetensors", changed)
    assert weights_hash(base) != weights_hash(other)
    assert not is_noop(other, [base])


def test_an_adapter_is_its_tensors_and_what_scales_them(tmp_path):
    trained = factors(b"\1\2\3\4", b"\5\6\7\x08")
    one = adapter(tmp_path / "one", trained, base_model_name_or_path="/somewhere", inference_mode=True)
    moved = adapter(tmp_path / "two", trained, base_model_name_or_path="/else", target_modules=["v_proj", "q_proj"])
    assert weights_hash(one) == weights_hash(moved)
    for key, value in {"lora_alpha": 16, "r": 8, "target_modules": ["q_proj"], "use_rslora": True}.items():
        assert weights_hash(adapter(tmp_path / key, trained, **{key: value})) != weights_hash(one)


def test_an_adapter_that_adds_zero_is_a_noop(tmp_path):
    """§12: a no-op is never committed. B·A is zero where either factor is; trained parts beside them are none."""
    zero, trained = b"\0\0\0\0", b"\1\2\3\4"
    base = save(tmp_path / "base" / "model.safetensors", TENSORS)
    untouched = factors(trained, zero) | factors(trained, b"\0\0\0\x80", "v_proj")
    assert is_noop(adapter(tmp_path / "untouched", untouched), [base])
    half = factors(trained, zero) | factors(trained, trained, "v_proj")
    assert not is_noop(adapter(tmp_path / "half", half), [base])
    beside = untouched | {"base_model.model.lm_head.weight": ("F32", [1], trained)}
    assert not adds_zero(adapter(tmp_path / "beside", beside))
    assert not adds_zero(base)


def test_a_folder_without_weights_is_its_files(tmp_path):
    empty, one, two = tmp_path / "empty", tmp_path / "one", tmp_path / "two"
    for folder in (empty, one, two):
        folder.mkdir()
    (one / "policy.py").write_text("x = 1")
    (two / "policy.py").write_text("x = 1")
    assert weights_hash(empty) == weights_hash(tmp_path / "missing")
    assert weights_hash(one) == weights_hash(two) != weights_hash(empty)
    (two / "policy.py").rename(two / "other.py")
    assert weights_hash(one) != weights_hash(two)
    (empty / "policy.py").symlink_to(one / "policy.py")
    assert weights_hash(empty) != weights_hash(one)


@pytest.mark.parametrize("cut", [4, 30, -1])
def test_a_damaged_file_is_named(tmp_path, cut):
    folder = save(tmp_path / "m" / "model.safetensors", TENSORS)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FileFormatError, match=r"model\.safetensors"):
        weights_hash(folder)


def test_pickles_are_found_and_a_trainers_state_is_not_one(tmp_path):
    for name in ("training_args.bin", "optimizer.pt", "rng_state_0.pth", "tokenizer.model"):
        (tmp_path / name).write_bytes(b"\x80\x04.")
    assert not has_pickle(tmp_path)
    (tmp_path / "pytorch_model-00001-of-00002.bin").write_bytes(b"\x80\x04.")
    assert has_pickle(tmp_path)


def test_shapes_are_compared_with_the_base(tmp_path):
    """§7: shapes equal the pinned base before a score counts; dtypes and a tied head that is written out may differ."""
    base = save(tmp_path / "base" / "model.safetensors", TENSORS)
    tied = {"embed.weight": ("F16", [2, 2], bytes(8)), "head.weight": ("F32", [3], bytes(12))}
    same = save(tmp_path / "same" / "model.safetensors", tied | {"lm_head.weight": ("F32", [1], bytes(4))})
    assert shape_differences(same, base) == []
    swapped = {"embed.weight": ("F32", [3, 2], bytes(24)), "adapter.weight": ("F32", [1], bytes(4))}
    other = save(tmp_path / "other" / "model.safetensors", swapped)
    assert shape_differences(other, base) == [
        "head.weight is missing",
        "adapter.weight is not in the base model",
        "embed.weight has shape [3, 2], not [2, 2]",
    ]
