"""Scorer `math`: 1 when output and target are the same mathematical value, by math-verify.

A comparison that takes longer than five seconds is wrong: the alarm that ends it is a signal, so a scorer of this kind
works in the main thread of its process.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from evo.domain.item import Item
from evo.errors import MissingExtra
from evo.evaluate.scorers.base import CannotScore, target_of

try:
    from math_verify import parse, verify
except ModuleNotFoundError as error:
    raise MissingExtra("math-verify", "math") from error


class Math:
    def __init__(self, options: Mapping[str, object], *, pinned_dir: Path | None = None) -> None:
        del options, pinned_dir
        logging.getLogger("math_verify").setLevel(logging.CRITICAL)

    def score(self, item: Item, output: str) -> float:
        target = target_of(item).strip()
        gold = parse(target) or parse(f"${target}$")
        if not gold:
            raise CannotScore("has a target that math-verify cannot read")
        answer = parse(output)
        return float(bool(answer) and verify(gold, answer))
