"""How far trained weights lie from those that they should have been trained from, on a sample of their rows.

Invariant: a row is what the model computes with: of full weights as it is stored, of a LoRA the base's row plus what
its factors add to it. So a model that is hidden in the factors of an adapter is measured as it would be in full. A
model of any size costs about as much as a small one: rows are drawn at random, so nobody knows which. Standard library
only.
"""

from __future__ import annotations

import array
import math
import operator
import random
import re
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evo.evaluate.weights import ADAPTER_CONFIG, Tensor, is_adapter, read_header, weight_files
from evo.files import read_json

NUMBERS = 200_000
"""About so many numbers of each side are looked at; of a model that is smaller, all."""
LEAST_ROWS = 2
_WRAP = "base_model.model."
_PREFIX = "model."
_FACTOR = re.compile(r"(.+)\.lora_(A|B)\.weight")
_WIDTH = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}

Row = Sequence[float]


class Drawn(NamedTuple):
    """One row of one tensor, which stands for `weight` rows."""

    name: str
    row: int
    weight: float


class Factors(NamedTuple):
    """A LoRA of one target: `up` (out, r) times `down` (r, in) times `scale` is added to it."""

    up: Place
    down: Place
    scale: float


class Place(NamedTuple):
    path: Path
    tensor: Tensor


class Unmeasurable(ValueError):
    """What the weights compute cannot be told from their tensors here; the text says why."""


class Weights:
    """The tensors of a folder by the base's names. Unmeasurable where they are of a kind that is not known here."""

    def __init__(self, folder: Path, base: Weights | None = None) -> None:
        self._base = base if is_adapter(folder) else None
        found = {tensor.name: Place(path, tensor) for path in weight_files(folder) for tensor in read_header(path)}
        self._own: dict[str, Place] = found
        self._factors: dict[str, Factors] = {}
        self._down: tuple[str, list[Row]] = "", []
        if is_adapter(folder):
            if base is None:
                raise Unmeasurable("an adapter without its base")
            config = read_json(folder / ADAPTER_CONFIG)
            self._own = {base.name_of(name): place for name, place in found.items() if not _FACTOR.fullmatch(name)}
            self._factors = _factors_of(found, config, base)

    @property
    def names(self) -> Iterable[str]:
        """Of an adapter, all that its base has."""
        return self._base.names if self._base is not None else self._own

    def name_of(self, name: str) -> str:
        """What an adapter calls a tensor of these weights, by its own name."""
        plain = name.removeprefix(_WRAP)
        return plain if plain in self._own else plain.removeprefix(_PREFIX)

    def tensor(self, name: str) -> Tensor:
        return self._place(name).tensor

    def is_of_form(self, other: Weights) -> bool:
        """Whether equal tensors have equal bytes in both: two sets of full weights of one precision."""
        if self._base is not None or other._base is not None:
            return False
        common = self._own.keys() & other._own.keys()
        return all(self._own[name].tensor.dtype == other._own[name].tensor.dtype for name in common)

    @property
    def is_low_rank(self) -> bool:
        """Whether nothing but factors is added, of at most half the rank of what they are added to: no other model can
        be written like that."""
        if self._base is None or self._own:
            return False
        sides = [(pair.down.tensor.shape[0], self.tensor(name).shape) for name, pair in self._factors.items()]
        return all(2 * rank <= min(shape) for rank, shape in sides)

    def row(self, name: str, number: int) -> Row:
        if name in self._own or self._base is None:
            return _read(self._place(name), number)
        plain = self._base.row(name, number)
        factors = self._factors.get(name)
        if factors is None:
            return plain
        weights = [factors.scale * value for value in _read(factors.up, number)]
        added = [0.0] * len(plain)
        if self._down[0] != name:
            self._down = name, [_read(factors.down, k) for k in range(len(weights))]
        for weight, down in zip(weights, self._down[1], strict=True):
            if weight:
                added = list(map(operator.add, added, (weight * value for value in down)))
        return list(map(operator.add, plain, added))

    def _place(self, name: str) -> Place:
        if name in self._own or self._base is None:
            return self._own[name]
        return self._base._place(name)


def relative_delta(own: Weights, reference: Weights, *, seed: int | None = None) -> float:
    """‖own − reference‖ / ‖reference‖ over the tensors that both have, estimated; `reference` in own's precision.

    NaN where a number is none. Unmeasurable where there is nothing to compare. Two models that were trained apart lie
    about √2 from each other.
    """
    apart = size = 0.0
    for name, number, weight in drawn(own, reference, random.Random(seed)):
        ours = own.row(name, number)
        theirs = as_stored(reference.row(name, number), own.tensor(name).dtype)
        gaps = list(map(operator.sub, ours, theirs))
        apart += weight * sum(map(operator.mul, gaps, gaps))
        size += weight * sum(map(operator.mul, theirs, theirs))
    if not math.isfinite(apart + size):
        return math.nan
    if not size:
        raise Unmeasurable("the reference is zero everywhere")
    return math.sqrt(apart / size)


def drawn(own: Weights, reference: Weights, lot: random.Random) -> Iterable[Drawn]:
    """Rows of every tensor that both have, more of the larger ones."""
    names = sorted({*own.names} & {*reference.names})
    sizes = {name: math.prod(own.tensor(name).shape) for name in names}
    if not sum(sizes.values()):
        raise Unmeasurable("no tensor is in both")
    share = min(1.0, NUMBERS / sum(sizes.values()))
    for name in names:
        length = _length(own.tensor(name))
        rows = sizes[name] // length if length else 0
        count = min(rows, max(LEAST_ROWS, math.ceil(rows * share)))
        for number in sorted(lot.sample(range(rows), count)):
            yield Drawn(name, number, rows / count)


def as_stored(row: Row, dtype: str) -> Row:
    """`row` rounded as it is when it is written in `dtype`, to the nearest, ties to even."""
    if dtype == "F16":
        try:
            return struct.unpack(f"<{len(row)}e", struct.pack(f"<{len(row)}e", *row))
        except OverflowError:
            return row
    if dtype != "BF16":
        return array.array("f", row) if dtype == "F32" else row
    bits = array.array("I", array.array("f", row).tobytes())
    rounded = array.array("I", [(n + 0x7FFF + (n >> 16 & 1)) & 0xFFFF0000 for n in bits])
    return array.array("f", rounded.tobytes())


def _factors_of(found: Mapping[str, Place], config: Mapping[str, Any], base: Weights) -> dict[str, Factors]:
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("fan_in_fan_out"):
        raise Unmeasurable(f"an adapter of a kind whose effect is not computed here ({config.get('peft_type')})")
    pairs: dict[str, dict[str, Place]] = {}
    for name, place in found.items():
        if match := _FACTOR.fullmatch(name):
            pairs.setdefault(match[1], {})[match[2]] = place
    return {
        base.name_of(f"{stem}.weight"): Factors(pair["B"], pair["A"], _scale(stem, config))
        for stem, pair in pairs.items()
        if pair.keys() == {"A", "B"}
    }


def _scale(stem: str, config: Mapping[str, Any]) -> float:
    """PEFT's: alpha over r, or over its root; a module may have its own of both."""
    rank, alpha = (
        next((value for key, value in patterns.items() if re.search(rf"(^|\.){key}$", stem)), config.get(name) or 1)
        for name, patterns in (
            ("r", config.get("rank_pattern") or {}),
            ("lora_alpha", config.get("alpha_pattern") or {}),
        )
    )
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else float(rank))


def _length(tensor: Tensor) -> int:
    return tensor.shape[-1] if tensor.shape else 1


def _read(place: Place, number: int) -> Row:
    """Row `number` of a stored tensor."""
    path, tensor = place
    width = _WIDTH.get(tensor.dtype)
    if width is None:
        raise Unmeasurable(f"{tensor.name} is stored as {tensor.dtype}")
    length = _length(tensor) * width
    with path.open("rb") as file:
        file.seek(tensor.start + number * length)
        return _numbers(file.read(length), tensor.dtype)


def _numbers(data: bytes, dtype: str) -> Row:
    if dtype == "F16":
        return struct.unpack(f"<{len(data) // 2}e", data)
    if dtype == "BF16":
        whole = bytearray(2 * len(data))
        whole[2::4], whole[3::4] = data[0::2], data[1::2]
        data = bytes(whole)
    numbers = array.array("d" if dtype == "F64" else "f", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
