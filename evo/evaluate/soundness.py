"""What a folder of weights says of itself without being loaded: broken numbers, precision, tokenizer.

Invariant: nothing is executed or unpickled, and a model of any size is read a piece at a time.
"""

from __future__ import annotations

import array
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from evo.errors import EvoError
from evo.evaluate.weights import Tensor, is_adapter, read_header, weight_files
from evo.files import read_json

SPECIALS = ("bos_token", "eos_token")
"""A padding token may be chosen freely: nothing that is learned or generated depends on it."""
_CHUNK = 1 << 22
_NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16", "float64": "F64"}


class _Format(NamedTuple):
    """Width in bytes, code of `array`, and the bits that are all set in NaN and the infinities."""

    width: int
    code: str
    exponent: int


_FORMATS = {"F32": _Format(4, "I", 0x7F800000), "BF16": _Format(2, "H", 0x7F80), "F16": _Format(2, "H", 0x7C00)}


def broken_tensor(folder: Path) -> str:
    """The name of the first tensor that holds NaN or an infinity; empty when there is none."""
    for path in weight_files(folder):
        with path.open("rb") as file:
            for tensor in read_header(path):
                file.seek(tensor.start)
                left = tensor.end - tensor.start
                while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                    left -= len(chunk)
                    if _is_broken(chunk, tensor):
                        return tensor.name
    return ""


def _is_broken(chunk: bytes, tensor: Tensor) -> bool:
    """Looks at the highest bytes alone first, which no sound number fills: the rest is looked at only then."""
    form = _FORMATS.get(tensor.dtype)
    if form is None:
        return False
    high = form.exponent >> (8 * (form.width - 1))
    if not chunk[form.width - 1 :: form.width].translate(None, _UNSUSPICIOUS[high]):
        return False
    numbers = array.array(form.code, chunk[: len(chunk) - len(chunk) % form.width])
    if sys.byteorder == "big":
        numbers.byteswap()
    return any(number & form.exponent == form.exponent for number in numbers)


_UNSUSPICIOUS = {high: bytes(byte for byte in range(256) if byte & high != high) for high in (0x7F, 0x7C)}


def stored_dtypes(folder: Path) -> set[str]:
    """Dtypes of full weights as safetensors names them; empty for an adapter, whose precision is its own affair."""
    if is_adapter(folder):
        return set()
    return {tensor.dtype for path in weight_files(folder) for tensor in read_header(path)}


def legal_dtypes(base: Path) -> set[str]:
    """Dtypes in which weights may be saved: those of the base's own, and the one that its config names."""
    config = _json(base / "config.json")
    named = _NAMES.get(str(config.get("dtype") or config.get("torch_dtype") or ""))
    return stored_dtypes(base) | ({named} if named else set())


def vocabulary_of(folder: Path) -> dict[str, int] | None:
    """Token -> number, added tokens included; None where there is no `tokenizer.json`."""
    document = _json(folder / "tokenizer.json")
    vocabulary = (document.get("model") or {}).get("vocab")
    if isinstance(vocabulary, list):  # a unigram model: [token, score] pairs
        vocabulary = {pair[0]: number for number, pair in enumerate(vocabulary)}
    if not isinstance(vocabulary, dict):
        return None
    return vocabulary | {token["content"]: token["id"] for token in _added(document)}


def special_tokens(folder: Path) -> list[str]:
    """The tokens that the tokenizer marks as special."""
    return [token["content"] for token in _added(_json(folder / "tokenizer.json")) if token.get("special")]


def named_tokens(folder: Path) -> dict[str, str]:
    """`eos_token` -> its text, for what the tokenizer's config names."""
    found = {**_json(folder / "special_tokens_map.json"), **_json(folder / "tokenizer_config.json")}
    named = {name: found.get(name) for name in SPECIALS}
    texts = {name: token.get("content") if isinstance(token, dict) else token for name, token in named.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _added(document: dict[str, Any]) -> list[dict[str, Any]]:
    rows = document.get("added_tokens") or []
    return [row for row in rows if isinstance(row, dict) and "content" in row and "id" in row]


def _json(path: Path) -> dict[str, Any]:
    """The object in `path`; empty where there is none that can be read."""
    try:
        found = read_json(path)
    except (EvoError, OSError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
