"""Scorer `rules`: every item says itself what a right output is, as regular expressions.

    {"id": "…", "prompt": "…", "rules": {"has": ["\\A[A-Z]+\\Z"], "hasnt": ["(?i)sorry"]}}

1 when the output, blank edges aside, is not empty, every pattern of `has` is found in it and none of `hasnt`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from evo.domain.item import Item
from evo.evaluate.scorers.base import CannotScore


class Rules:
    def __init__(self, options: Mapping[str, object], *, pinned_dir: Path | None = None) -> None:
        del options, pinned_dir

    def score(self, item: Item, output: str) -> float:
        rules = item.row.get("rules")
        if not isinstance(rules, Mapping) or not rules or rules.keys() - {"has", "hasnt"}:
            raise CannotScore('has no target of the form "rules": {"has": [patterns], "hasnt": [patterns]}')
        text = output.strip()
        has, hasnt = (_compiled(rules.get(key, [])) for key in ("has", "hasnt"))
        is_right = bool(text) and all(p.search(text) for p in has) and not any(p.search(text) for p in hasnt)
        return float(is_right)


def _compiled(patterns: object) -> list[re.Pattern[str]]:
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise CannotScore("has rules that are no list of regular expressions")
    return [_pattern(pattern) for pattern in patterns]


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise CannotScore(f"has the rule {text!r}, which is no regular expression: {error}") from None
