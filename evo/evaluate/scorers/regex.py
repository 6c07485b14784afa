"""Scorer `regex`: 1 when what a pattern finds in the output is the target, blank edges aside.

The pattern's first group is the answer, or the whole match where it has no group; the first match counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from evo.domain.item import Item
from evo.errors import UsageError
from evo.evaluate.scorers.base import target_of


class Regex:
    def __init__(self, options: Mapping[str, object], *, pinned_dir: Path | None = None) -> None:
        del pinned_dir
        pattern = str(options.get("pattern") or "")
        if not pattern:
            raise UsageError("the scorer regex has no pattern", hint="evo config set eval.pattern 'answer is (.+)'")
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise UsageError(f"eval.pattern {pattern!r} is no regular expression: {error}") from None

    def score(self, item: Item, output: str) -> float:
        target = target_of(item).strip()
        match = self._pattern.search(output)
        if match is None:
            return 0.0
        answer = match[1] if self._pattern.groups else match[0]
        return float((answer or "").strip() == target)
