"""Model folders of a few kilobytes, written without torch: a base, what was trained from it, and others like it."""

from __future__ import annotations

import array
import json
import random
import struct
from collections.abc import Sequence
from pathlib import Path

from evo.evaluate import deltas

SHAPES = {"model.embed.weight": (24, 16), "model.layers.0.q_proj.weight": (16, 16), "model.norm.weight": (16,)}
CONFIG = {"model_type": "llama", "hidden_size": 16, "sliding_window": 4096}
Tensors = dict[str, tuple[str, list[int], bytes]]
LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
Numbers = dict[str, list[float]]


def save(path: Path, tensors: Tensors, *, metadata: dict[str, str] | None = None) -> Path:
    """A safetensors file, written by the format's own words."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    body = b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path.parent


def adapter(folder: Path, tensors: Tensors, **config: object) -> Path:
    save(folder / "adapter_model.safetensors", tensors)
    (folder / "adapter_config.json").write_text(json.dumps(LORA | config))
    return folder


def numbers(seed: int) -> Numbers:
    """A model of its own."""
    lot = random.Random(seed)
    return {name: [lot.gauss(0, 0.1) for _ in range(size(shape))] for name, shape in SHAPES.items()}


def size(shape: Sequence[int]) -> int:
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def moved(start: Numbers, by: float, *, seed: int = 9) -> Numbers:
    lot = random.Random(seed)
    return {name: [value + lot.gauss(0, 0.1 * by) for value in values] for name, values in start.items()}


def stored(values: Sequence[float], dtype: str) -> bytes:
    if dtype == "F16":
        return struct.pack(f"<{len(values)}e", *values)
    whole = array.array("f", values).tobytes()
    if dtype == "BF16":
        whole = array.array("f", deltas.as_stored(values, "BF16")).tobytes()
        return b"".join(whole[k + 2 : k + 4] for k in range(0, len(whole), 4))
    return whole


def full(folder: Path, values: Numbers, *, dtype: str = "F32", **config: object) -> Path:
    tensors: Tensors = {name: (dtype, list(SHAPES[name]), stored(row, dtype)) for name, row in values.items()}
    save(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "b": 1}}}))
    return folder


def lora(folder: Path, *, rank: int, by: float, **config: object) -> Path:
    lot = random.Random(rank)
    stem, side = "base_model.model.model.layers.0.q_proj", 16
    a, b = ([lot.gauss(0, by) for _ in range(rank * side)] for _ in "ab")
    tensors: Tensors = {
        f"{stem}.lora_A.weight": ("F32", [rank, side], stored(a, "F32")),
        f"{stem}.lora_B.weight": ("F32", [side, rank], stored(b, "F32")),
    }
    return adapter(folder, tensors, **({"r": rank, "lora_alpha": rank} | config))
