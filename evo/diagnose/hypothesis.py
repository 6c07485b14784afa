"""The gain that a hypothesis predicts, as far as its words tell.

Invariant: a number is read as a prediction only where the words make it one; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = r"(?<![\w.])([+\-−]\s?\d+(?:\.\d+)?|\d+(?:\.\d+)?)"
_POINTS = re.compile(_NUMBER + r"\s*(?:percentage\s+)?(?:points?\b|pp\b|pts?\b)", re.IGNORECASE)
_SIGNED_PERCENT = re.compile(r"(?<![\w.])([+\-−]\s?\d+(?:\.\d+)?)\s*%")
_SIGNED_SHARE = re.compile(r"(?<![\w.])([+\-−]\s?0?\.\d+)(?![\d.]*e)")
_VALUE = r"[+\-−]?\d*\.?\d+(?:e[+\-]?\d+)?"
_SETTING = rf"\s*[:=]?\s*{_VALUE}(?:\s*->\s*{_VALUE})?"
_LOSS = re.compile(r"\b(?:los(?:e|es|ing|s of)|costs?|drops?|falls?|worse)\b[^.;,]*$", re.IGNORECASE)


def predicted_gain(hypothesis: str, *, settings: Iterable[str] = ()) -> float | None:
    """The gain as a share (`+5 points`: .05); None where no number is said to be one. `settings`: names of parameters;
    a number behind one is its value."""
    names = "|".join(sorted(map(re.escape, settings), key=len, reverse=True))
    if names:
        hypothesis = re.sub(rf"\b(?:{names})\b{_SETTING}", " ", hypothesis)
    for pattern, unit in ((_POINTS, 100.0), (_SIGNED_PERCENT, 100.0), (_SIGNED_SHARE, 1.0)):
        found = pattern.search(hypothesis)
        if found:
            value = float(re.sub(r"\s", "", found[1]).replace("−", "-")) / unit
            is_loss = value > 0 and not found[1].startswith("+") and _LOSS.search(hypothesis[: found.start()])
            return -value if is_loss else value
    return None
