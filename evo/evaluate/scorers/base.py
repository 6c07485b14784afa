"""What a scorer is: it compares one output with one item, and says how good it is.

Contract. A scorer is built once from the options that the workspace gives it and asked once for each output. The same
item and output always give the same finite number; nothing between two calls is remembered. Every text is legal as an
output, the empty one too: what cannot be understood scores as wrong. Trouble with the *item* or with the scorer itself
is `CannotScore`, never a zero. A scorer does not cut its number to the metric's range: the grader checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from evo.domain.item import Item


class CannotScore(ValueError):
    """The item or the scorer is at fault, not the output. The grader adds which item."""


class Scorer(Protocol):
    def __init__(self, options: Mapping[str, object], *, pinned_dir: Path | None = None) -> None:
        """`options`: what evo.yaml says under `eval`; a scorer reads its own. UsageError where they make no sense."""

    def score(self, item: Item, output: str) -> float: ...


def target_of(item: Item) -> str:
    if item.target is None:
        raise CannotScore("has no target to compare the output with")
    return item.target
