"""What a check for leaks found, and where; it holds no text."""

from __future__ import annotations

from typing import Literal

from evo.lightdata import dataclass

Severity = Literal["block", "warn"]


@dataclass(frozen=True)
class Match:
    """Line `line` of `file` holds this much of the item of `split`: its question, its answer or both (`part`).

    `score`: 1 for equal texts, else the share of the item's n-grams or nodes, or the Jaccard index.
    """

    file: str
    line: int
    item: str
    split: str
    method: str
    part: str
    score: float
    severity: Severity


@dataclass(frozen=True)
class Checked:
    """All that was found in a file of `lines` lines (rows of JSONL)."""

    matches: list[Match]
    lines: int
