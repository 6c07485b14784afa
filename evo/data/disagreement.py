"""How often training rows contradict each other: labels that were given carelessly.

Invariant: only answers of which one alone can be right count: a preference that another row turns round, a thumb that
is up here and down there, and short answers, as labels and numbers are; two texts may both be good.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SHORT = 40
"""Characters of an answer, on one line, that is a label and no text."""
AT_MOST = 2000
"""Rows of a file that are looked at, the first ones: 20 ms."""


def disagreement_in(path: Path) -> float:
    """Of the first rows of a JSONL file; 0 where they are nothing of the kind."""
    with path.open("rb") as file:
        try:
            rows = [json.loads(line) for line in itertools.islice(file, AT_MOST) if line.strip()]
        except ValueError:  # whoever trains on it is told where
            return 0.0
    return disagreement([row for row in rows if isinstance(row, dict)])


def disagreement(rows: Iterable[Mapping[str, Any]]) -> float:
    """The share of rows, from 0 to 1, whose answer another row with the same question contradicts."""
    said: dict[str, set[str]] = defaultdict(set)
    known = [found for row in rows if (found := _verdict(row)) is not None]
    for question, verdict in known:
        said[question].add(verdict)
    return sum(len(said[question]) > 1 for question, _ in known) / max(len(known), 1)


def _verdict(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """What a row is about, and what it says of it."""
    if "chosen" in row and "rejected" in row:
        one, other = _text(row["chosen"]), _text(row["rejected"])
        return _text([row.get("prompt"), *sorted((one, other))]), one
    if "label" in row:
        return _text([row.get("prompt"), row.get("completion")]), _text(row["label"])
    question, answer = row.get("prompt"), row.get("completion", row.get("target"))
    turns = row.get("messages")
    if isinstance(turns, list) and turns and isinstance(turns[-1], dict) and turns[-1].get("role") == "assistant":
        question, answer = turns[:-1], turns[-1].get("content")
    if not isinstance(answer, str) or len(answer.strip()) > SHORT or "\n" in answer.strip():
        return None
    return _text(question), answer.strip()


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
