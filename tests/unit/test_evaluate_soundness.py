"""Weights and tokenizers looked at without loading them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from evo.evaluate import soundness

NAN = {"F32": struct.pack("<f", float("nan")), "F16": struct.pack("<e", float("nan")), "BF16": b"\xc0\x7f"}
LARGE = {"F32": struct.pack("<f", 3.0e38), "F16": struct.pack("<e", 65504.0), "BF16": b"\x7f\x7f"}
WIDTH = {"F32": 4, "F16": 2, "BF16": 2}


def save(folder: Path, name: str = "model.safetensors", **tensors: tuple[str, bytes]) -> Path:
    """A safetensors file written by hand: no library of ours or of others has a part in it."""
    header, body = {}, b""
    for key, (dtype, content) in tensors.items():
        shape = [len(content) // WIDTH.get(dtype, 1)]
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(content)]}
        body += content
    text = json.dumps(header).encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(struct.pack("<Q", len(text)) + text + body)
    return folder


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_nan_and_infinity_are_found_in_any_precision_and_the_largest_number_is_sound(
    tmp_path: Path, dtype: str
) -> None:
    zeros = bytes(1000 * WIDTH[dtype])
    sound = save(tmp_path / "sound", a=(dtype, zeros), b=(dtype, zeros + LARGE[dtype] + zeros))
    assert soundness.broken_tensor(sound) == ""
    broken = save(tmp_path / "broken", a=(dtype, zeros), b=(dtype, zeros + NAN[dtype] + zeros))
    assert soundness.broken_tensor(broken) == "b"
    if dtype != "BF16":
        infinite = struct.pack("<f" if dtype == "F32" else "<e", float("-inf"))
        assert soundness.broken_tensor(save(tmp_path / "infinite", c=(dtype, zeros + infinite))) == "c"


def test_whole_numbers_and_an_empty_folder_are_sound(tmp_path: Path) -> None:
    assert soundness.broken_tensor(save(tmp_path / "ints", a=("I64", b"\xff" * 64))) == ""
    assert soundness.broken_tensor(tmp_path / "nothing") == ""


def test_precision_of_full_weights_and_what_the_base_allows(tmp_path: Path) -> None:
    base = save(tmp_path / "base", a=("F16", bytes(4)))
    (base / "config.json").write_text('{"torch_dtype": "bfloat16"}')
    assert soundness.stored_dtypes(base) == {"F16"}
    assert soundness.legal_dtypes(base) == {"F16", "BF16"}
    adapter = save(tmp_path / "adapter", "adapter_model.safetensors", a=("F32", bytes(4)))
    (adapter / "adapter_config.json").write_text("{}")
    assert soundness.stored_dtypes(adapter) == set()


def test_vocabulary_and_special_tokens_of_the_two_kinds_of_tokenizer(tmp_path: Path) -> None:
    added = [{"id": 2, "content": "<|end|>", "special": True}, {"id": 3, "content": "word", "special": False}]
    document = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}}, "added_tokens": added}
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    config = {"eos_token": {"content": "<|end|>"}, "bos_token": None, "pad_token": "a"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert soundness.vocabulary_of(tmp_path) == {"a": 0, "b": 1, "<|end|>": 2, "word": 3}
    assert soundness.special_tokens(tmp_path) == ["<|end|>"]
    assert soundness.named_tokens(tmp_path) == {"eos_token": "<|end|>"}
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({"model": {"type": "Unigram", "vocab": [["a", -1], ["b", -2]]}})
    )
    assert soundness.vocabulary_of(tmp_path) == {"a": 0, "b": 1}
    (tmp_path / "tokenizer.json").write_text("{torn")
    assert soundness.vocabulary_of(tmp_path) is None
    assert soundness.named_tokens(tmp_path / "nowhere") == {}
