"""Whether a folder of weights that evo did not train can be the pinned base model's, told before anything is made.

Invariant: only headers and JSON are read. Names and shapes of all tensors must be the base's; of the configs, what
changes the function that the tensors compute. Precision, special tokens and versions may differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from evo.evaluate.weights import (
    ADAPTER_CONFIG,
    is_adapter,
    pickled_weights,
    shape_differences,
    tensor_shapes,
    weight_files,
)
from evo.files import read_json

CONFIG = "config.json"
_FREE = frozenset(
    {
        *("_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache", "initializer_range"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "attn_implementation", "_attn_implementation_autoset"),
        *("attention_dropout", "hidden_dropout", "embd_pdrop", "attn_pdrop", "resid_pdrop", "max_position_embeddings"),
    }
)
_LORA = re.compile(r"base_model\.model\.(.+)\.lora_(A|B)\.weight")
_PREFIX = "model."


def misfits(folder: Path, base: Path) -> list[str]:
    """Why `folder` cannot hold weights of the model in `base`, in words; empty where it can."""
    if not weight_files(folder):
        pickles = pickled_weights(folder)
        if pickles:
            return [f"holds only pickled weights ({', '.join(pickles[:3])}), which are not loaded: safetensors are"]
        return ["holds no safetensors weights"]
    if is_adapter(folder):
        return list(adapter_misfits(folder, base))
    return [*config_differences(folder, base), *shape_differences(folder, base)]


def config_differences(folder: Path, base: Path) -> list[str]:
    """Keys that both configs have and that say different things; no config in `folder`: none.

    Null is a default that one of them does not spell out."""
    if not (folder / CONFIG).is_file() or not (base / CONFIG).is_file():
        return []
    own, pinned = read_json(folder / CONFIG), read_json(base / CONFIG)
    common = sorted((own.keys() & pinned.keys()) - _FREE)
    return [
        f"{CONFIG} has {key} {json.dumps(own[key])}, not {json.dumps(pinned[key])}"
        for key in common
        if own[key] != pinned[key] and None not in (own[key], pinned[key])
    ]


def adapter_misfits(folder: Path, base: Path) -> Iterator[str]:
    """LoRA factors whose target the base does not have, or whose sizes are not its."""
    is_turned = bool(read_json(folder / ADAPTER_CONFIG).get("fan_in_fan_out"))
    pinned = tensor_shapes(base)
    for name, shape in sorted(tensor_shapes(folder).items()):
        found = _LORA.fullmatch(name)
        if found is None:
            continue
        target = f"{found[1]}.weight"
        sizes = pinned.get(target, pinned.get(target.removeprefix(_PREFIX)))
        if sizes is None:
            if target != "lm_head.weight":  # written or not, where embeddings are tied
                yield f"{name} is for {target}, which is not in the base model"
            continue
        out, into = sizes[::-1] if is_turned else sizes
        if (shape[1] if found[2] == "A" else shape[0]) != (into if found[2] == "A" else out):
            yield f"{name} has shape {list(shape)}, and {target} is {list(sizes)}"
