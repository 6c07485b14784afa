"""Scorer `choice`: 1 when the output names the target and no other legal answer.

Names are looked for as whole words, in any case; of two names that start at one place the longer one is meant
("credit card" is not "credit"). Naming two different answers is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from evo.domain.item import Item
from evo.errors import UsageError
from evo.evaluate.scorers.base import CannotScore, target_of


class Choice:
    def __init__(self, options: Mapping[str, object], *, pinned_dir: Path | None = None) -> None:
        del pinned_dir
        choices = options.get("choices")
        self._names = {_folded(str(name)) for name in choices} if isinstance(choices, Iterable) else set()
        if not self._names or "" in self._names:
            raise UsageError(
                "the scorer choice has no legal answers, or an empty one",
                hint="evo config set eval.choices '[yes, no]'",
            )
        longest_first = sorted(self._names, key=lambda name: (-len(name), name))
        words = "|".join(re.escape(name) for name in longest_first)
        self._pattern = re.compile(rf"(?<!\w)(?:{words})(?!\w)")

    def score(self, item: Item, output: str) -> float:
        target = _folded(target_of(item))
        if target not in self._names:
            raise CannotScore("has a target that is not among the legal answers")
        return float(set(self._pattern.findall(_folded(output))) == {target})


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
