"""The identity of a folder of weights: what is in it, whatever its files are called.

Invariant: two folders that a loader reads as the same tensors have one hash, and a changed bit gives another. Only the
headers of safetensors files are parsed (the format: 8 bytes length, JSON, bytes); nothing is unpickled, and tensors are
streamed, never held whole. A path that an adapter names as its base is no identity and is left out: the pin of the base
is checked by its own hash.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from evo.errors import FileFormatError
from evo.files import read_json, sha256_file, sha256_json

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_ESSENTIALS = (
    "peft_type", "r", "lora_alpha", "target_modules", "modules_to_save", "bias", "use_rslora", "use_dora",
    "fan_in_fan_out", "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern",
)  # fmt: skip
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_TRAINER_STATE = ("training_args", "optimizer", "scheduler", "scaler", "rng_state")
_MOST_HEADER_BYTES = 100_000_000
_CHUNK = 1 << 20
_OUTPUT = "lm_head.weight"


class Tensor(NamedTuple):
    """One entry of a header. `start` and `end` are offsets in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def weights_hash(folder: Path) -> str:
    """Content identity (64 hex digits) of a model output; an empty or missing folder has one too.

    Weights: names, dtypes, shapes and bytes of all tensors, and an adapter's essentials. Any other folder: the names
    and contents of its files.
    """
    files = weight_files(folder)
    if not files:
        return sha256_json(["files", _named_files(folder)])
    entries = sorted(
        [tensor.name, tensor.dtype, list(tensor.shape), _sha256(file, tensor)]
        for path in files
        for file, tensor in _tensors(path)
    )
    return sha256_json(["tensors", _adapter_essentials(folder), entries])


def is_noop(folder: Path, against: Sequence[Path]) -> bool:
    """Whether training changed nothing: equal to one of `against`, or an adapter that adds zero to its base."""
    own = weights_hash(folder)
    return any(own == weights_hash(other) for other in against) or adds_zero(folder)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that a loader would read: the adapter, or the one file, or the shards of the index."""
    if is_adapter(folder):
        return [folder / ADAPTER_WEIGHTS] if (folder / ADAPTER_WEIGHTS).is_file() else []
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    shards = read_json(index).get("weight_map", {})
    return [folder / name for name in sorted(set(shards.values()))]


def is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file()


def is_tied(folder: Path) -> bool:
    """Whether full weights have no output layer of their own, but use the embeddings'."""
    return _OUTPUT not in tensor_shapes(folder)


def pickled_weights(folder: Path) -> list[str]:
    """Names of files that may hold pickled weights (a trainer's own state is none). Loading one would run its code."""
    return sorted(
        path.name for path in folder.glob("*") if path.suffix in _PICKLES and not path.name.startswith(_TRAINER_STATE)
    )


def strays(folder: Path) -> list[str]:
    """What in `folder` leads out of it: links, and shards that an index names elsewhere. Their bytes are not the
    folder's, and can change when it does not."""
    found = [str(folder)] if folder.is_symlink() else []
    inside = os.path.realpath(folder)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            if os.path.islink(path) and not _is_within(os.path.realpath(path), inside):
                found.append(f"{os.path.relpath(path, folder)} -> {os.readlink(path)}")
    index = folder / "model.safetensors.index.json"
    if index.is_file() and not found:
        named = {str(name) for name in read_json(index).get("weight_map", {}).values()}
        found += sorted(name for name in named if not _is_within(os.path.realpath(folder / name), inside))
    return found


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


def has_pickle(folder: Path) -> bool:
    return bool(pickled_weights(folder))


def shape_differences(folder: Path, base: Path) -> list[str]:
    """How the tensors of full weights differ from the base's in name or shape, in words; dtypes may differ."""
    own, pinned = tensor_shapes(folder), tensor_shapes(base)
    tied = {_OUTPUT}  # written or not, where embeddings are tied
    faults = [f"{name} is missing" for name in sorted(pinned.keys() - own.keys() - tied)]
    faults += [f"{name} is not in the base model" for name in sorted(own.keys() - pinned.keys() - tied)]
    for name in sorted(own.keys() & pinned.keys()):
        if own[name] != pinned[name]:
            faults.append(f"{name} has shape {list(own[name])}, not {list(pinned[name])}")
    return faults


def read_header(path: Path) -> list[Tensor]:
    """The tensors of a safetensors file, in order of name. FileFormatError where it is none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MOST_HEADER_BYTES):
            raise FileFormatError(path, "is no safetensors file: its header is longer than the file")
        text = file.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        tensors = [_tensor(name, entry, 8 + length) for name, entry in sorted(header.items())]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise FileFormatError(path, "is no safetensors file: its header cannot be read") from None
    cut = [tensor.name for tensor in tensors if not 8 + length <= tensor.start <= tensor.end <= size]
    if cut:
        raise FileFormatError(path, f"is cut off: the bytes of {cut[0]} are not in it")
    return tensors


def _tensor(name: str, entry: dict[str, list[int]], origin: int) -> Tensor:
    start, end = entry["data_offsets"]
    return Tensor(name, str(entry["dtype"]), tuple(entry["shape"]), origin + start, origin + end)


def _tensors(path: Path) -> Iterator[tuple[BinaryIO, Tensor]]:
    header = read_header(path)
    with path.open("rb") as file:
        for tensor in header:
            yield file, tensor


def _chunks(file: BinaryIO, tensor: Tensor) -> Iterator[bytes]:
    file.seek(tensor.start)
    left = tensor.end - tensor.start
    while left > 0 and (chunk := file.read(min(left, _CHUNK))):
        left -= len(chunk)
        yield chunk


def _sha256(file: BinaryIO, tensor: Tensor) -> str:
    import hashlib  # OpenSSL takes 2 ms to load, and a command leaves no tensors

    digest = hashlib.sha256()
    for chunk in _chunks(file, tensor):
        digest.update(chunk)
    return digest.hexdigest()


def _is_zero(file: BinaryIO, tensor: Tensor) -> bool:
    """Every number is 0 or −0 (or smaller than any that matters: a byte 0x80 elsewhere is a denormal)."""
    return not any(chunk.translate(None, b"\x00\x80") for chunk in _chunks(file, tensor))


def adds_zero(folder: Path) -> bool:
    """Whether `folder` is a LoRA adapter that leaves its base as it is.

    It adds B·A to each target: zero where one factor is. Anything else in the adapter counts as a change.
    """
    if not is_adapter(folder):
        return False
    zero: dict[str, bool] = {}
    for path in weight_files(folder):
        for file, tensor in _tensors(path):
            target = tensor.name.replace(".lora_A.", ".lora_?.").replace(".lora_B.", ".lora_?.")
            if target == tensor.name:
                return False
            zero[target] = zero.get(target, False) or _is_zero(file, tensor)
    return bool(zero) and all(zero.values())


def _adapter_essentials(folder: Path) -> dict[str, object]:
    """What an adapter's config adds to the meaning of its tensors; empty for full weights."""
    if not is_adapter(folder):
        return {}
    config = read_json(folder / ADAPTER_CONFIG)
    found = {key: config.get(key) for key in _ESSENTIALS if config.get(key) not in (None, [], {}, False)}
    return {key: sorted(value) if isinstance(value, list) else value for key, value in found.items()}


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tensor.shape for path in weight_files(folder) for tensor in read_header(path)}


def _named_files(folder: Path) -> list[list[str]]:
    """[relative name, hash] of each file; of a link, where it points."""
    return [
        [str(path.relative_to(folder)), f"-> {os.readlink(path)}" if path.is_symlink() else sha256_file(path)]
        for path in sorted(folder.glob("**/*"))
        if path.is_symlink() or path.is_file()
    ]
