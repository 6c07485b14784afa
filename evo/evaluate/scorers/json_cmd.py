"""Scorer `json_cmd`: 1 when the command in the output is, as data, the command of the target.

Text and code fences around the command are ignored, and so is the order of keys; 1 equals 1.0, but not true. An
output that holds two different commands is wrong: it leaves open which one is meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evo.domain.item import Item
from evo.evaluate.scorers.base import CannotScore, target_of


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


class JsonCommand:
    def __init__(self, options: Mapping[str, object], *, pinned_dir: Path | None = None) -> None:
        del options, pinned_dir

    def score(self, item: Item, output: str) -> float:
        try:
            target = _DECODER.decode(target_of(item).strip())
        except ValueError as error:
            raise CannotScore(f"has a target that is not JSON: {error}") from None
        commands = list(_values(output, like=target))
        return float(bool(commands) and all(_equal(command, target) for command in commands))


def _values(text: str, *, like: object) -> Iterator[Any]:
    """The outermost JSON values in `text` that are objects (or lists) as `like` is; a bare value is all of `text`."""
    opening = "{" if isinstance(like, dict) else "[" if isinstance(like, list) else ""
    start = text.find(opening) if opening else len(text) - len(text.lstrip())
    while 0 <= start < len(text):
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            value, end = None, 0
        if not opening:
            if end and not text[end:].strip():
                yield value
            return
        if end:
            yield value
        start = text.find(opening, end or start + 1)


def _equal(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other
