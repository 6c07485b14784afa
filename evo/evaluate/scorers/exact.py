"""Scorer `exact`: 1 when output and target are the same text, blank edges aside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evo.domain.item import Item
from evo.evaluate.scorers.base import target_of


class Exact:
    def __init__(self, options: Mapping[str, object], *, pinned_dir: Path | None = None) -> None:
        del options, pinned_dir

    def score(self, item: Item, output: str) -> float:
        return float(output.strip() == target_of(item).strip())
