"""A recipe's parameters as a cube: each number between 0 and 1, on the scale on which it matters.

Where a recipe says `search: [low, high]`, or names the values, that is the cube. Else it is all that is legal: a range
that spans decades is walked in logarithms; one that says nothing (fifty times the default and more) is narrowed to a
window around the default. Parameters that are marked `tune: false`, texts and lists stay as they are.
Invariant: `params(point)` is always legal for the recipe, and `point(params(x))` is x up to rounding.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evo.config import ParamSpec

WINDOW = 10.0
"""Factor on both sides of the default, where the recipe's own range is no guide."""
_DECADES = 100.0
_DECADE = 10.0
"""Of a range that somebody chose to be searched, from which on it is walked in logarithms."""
_INSET = 1e-3
"""Share of a range that is kept from a bound which is itself not legal."""

Point = tuple[float, ...]


class Axis(NamedTuple):
    """One parameter. A number lies in [low, high], `is_log` walks it in logarithms; else it is one of `choices`."""

    name: str
    low: float = 0.0
    high: float = 1.0
    is_log: bool = False
    is_whole: bool = False
    choices: tuple[Any, ...] = ()

    def value(self, x: float) -> Any:
        if self.choices:
            return self.choices[min(int(x * len(self.choices)), len(self.choices) - 1)]
        if self.is_log:
            found = math.exp(math.log(self.low) + x * (math.log(self.high) - math.log(self.low)))
        else:
            found = self.low + x * (self.high - self.low)
        found = min(max(found, self.low), self.high)
        if self.is_whole:
            return round(found)
        return min(max(float(f"{found:.3g}"), self.low), self.high)  # three digits may lie outside

    def place(self, value: Any) -> float:
        if self.choices:
            return (self.choices.index(value) + 0.5) / len(self.choices) if value in self.choices else 0.5
        at = min(max(float(value), self.low), self.high)
        if self.is_log:
            return (math.log(at) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (at - self.low) / (self.high - self.low)


def axis_of(name: str, spec: ParamSpec) -> Axis | None:
    """The axis of a parameter that may be moved; None for one that may not."""
    if not spec.tune:
        return None
    if spec.type == "bool":
        return Axis(name, choices=(False, True))
    if spec.choices:
        return Axis(name, choices=tuple(spec.choices)) if len(spec.choices) > 1 else None
    if spec.type not in ("float", "int"):
        return None
    return _searched(name, spec) if spec.search else _numeric(name, spec)


def _searched(name: str, spec: ParamSpec) -> Axis:
    """`search`, and the default where that lies beside it."""
    known = [*spec.search, *([spec.default] if isinstance(spec.default, (int, float)) else [])]
    values = sorted({int(value) if spec.type == "int" else float(value) for value in known})
    if len(spec.search) > 2:
        return Axis(name, choices=tuple(values))
    low, high = values[0], values[-1]
    return Axis(name, low, high, low > 0 and high >= _DECADE * low, spec.type == "int")


def _numeric(name: str, spec: ParamSpec) -> Axis | None:
    low = spec.min if spec.min is not None else spec.above
    high = spec.max if spec.max is not None else spec.below
    default = None if spec.default is None or isinstance(spec.default, (str, list)) else float(spec.default)
    if low is None or high is None or not low < high:
        return None
    inset = 1.0 if spec.type == "int" else (high - low) * _INSET
    high = high - inset * (spec.max is None)
    if spec.min is None and spec.type == "float" and default is not None and 0 < default * 50 <= high:
        # a bound that is itself not legal says nothing of the scale: a rate above 0 is not one above a thousandth
        return Axis(name, max(low + default * _INSET, default / WINDOW), min(high, default * WINDOW), True)
    low = low + inset * (spec.min is None)
    return _numbers(name, low, high, default, is_whole=spec.type == "int")


def _numbers(name: str, low: float, high: float, default: float | None, *, is_whole: bool) -> Axis:
    is_wide = default is not None and default > 0 and (high >= 50 * default or 0 < low * _DECADES**2 < default)
    if low > 0 and high / low >= _DECADES and high / low <= _DECADES**3:
        return Axis(name, low, high, True, is_whole)
    if is_wide and default is not None:
        smallest = max(low, default / WINDOW)
        return Axis(name, math.ceil(smallest) if is_whole else smallest, min(high, default * WINDOW), True, is_whole)
    return Axis(name, low, high, False, is_whole)


class Space(NamedTuple):
    """What of a recipe may be moved, and the values of all that may not."""

    axes: tuple[Axis, ...]
    defaults: dict[str, Any]

    def params(self, point: Sequence[float]) -> dict[str, Any]:
        return self.defaults | {axis.name: axis.value(x) for axis, x in zip(self.axes, point, strict=True)}

    def point(self, params: Mapping[str, Any]) -> Point:
        """Where `params` lie; what they leave out lies at its default, and outside the window at its edge."""
        known = self.defaults | dict(params)
        return tuple(0.5 if known.get(axis.name) is None else axis.place(known[axis.name]) for axis in self.axes)

    @property
    def centre(self) -> Point:
        return tuple(0.5 for _ in self.axes)

    @property
    def ranged(self) -> tuple[bool, ...]:
        """Of each axis, whether it is a range of numbers, which has a middle."""
        return tuple(not axis.choices for axis in self.axes)


def space_of(params: Mapping[str, ParamSpec]) -> Space:
    axes = [None if is_idle(name, params) else axis_of(name, spec) for name, spec in params.items()]
    return Space(
        tuple(axis for axis in axes if axis is not None), {name: spec.default for name, spec in params.items()}
    )


def is_idle(name: str, params: Mapping[str, ParamSpec]) -> bool:
    """A setting of an adapter, of a recipe that trains all weights and stays with it."""
    method = params.get("method")
    if method is None or not name.startswith("lora_"):
        return False
    return not any(str(value).endswith("lora") for value in (method.choices if method.tune else [method.default]))


def latin(rng: random.Random, *, count: int, axes: int, margin: float = 0.2) -> list[Point]:
    """`count` points, one in each of `count` layers of every axis, within `margin` of no face (McKay et al. 1979)."""
    columns = []
    for _ in range(axes):
        layers = list(range(count))
        rng.shuffle(layers)
        columns.append([margin + (1 - 2 * margin) * (layer + rng.random()) / count for layer in layers])
    return list(zip(*columns, strict=True)) if axes else [() for _ in range(count)]
