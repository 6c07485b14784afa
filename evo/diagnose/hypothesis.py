"""What a hypothesis says, as far as words tell: how empty it is, and the gain that it predicts.

Invariant: a number is read as a prediction only where the words make it one; nothing is guessed.
"""

from __future__ import annotations

import re

LEAST_WORDS = 3
_NUMBER = r"(?<![\w.])([+\-−]\s?\d+(?:\.\d+)?|\d+(?:\.\d+)?)"
_POINTS = re.compile(_NUMBER + r"\s*(?:percentage\s+)?(?:points?\b|pp\b|pts?\b)", re.IGNORECASE)
_SIGNED_PERCENT = re.compile(r"(?<![\w.])([+\-−]\s?\d+(?:\.\d+)?)\s*%")
_SIGNED_SHARE = re.compile(r"(?<![\w.])([+\-−]\s?0?\.\d+)(?![\d.]*e)")
_LOSS = re.compile(r"\b(?:los(?:e|es|ing|s of)|costs?|drops?|falls?|worse)\b[^.;,]*$", re.IGNORECASE)
_FILLING = """
a an and another any better change changes different do experiment fix fixes good hyperparameter hyperparameters i idea
improve improved improvement improvements improves improving is it let lets make makes maybe model more new one other
param parameter parameters params perhaps quick result results run score scores see should some something stuff test
testing the things this thing to train training try trying tune tuning tweak tweaks two up values we will wip with
"""
_FILLER = frozenset(_FILLING.split())


def emptiness(hypothesis: str) -> str:
    """Why these words could stand on any experiment; empty where they say something."""
    words = re.findall(r"[^\W_]+", hypothesis.lower())
    if not [word for word in words if word not in _FILLER and not word.isdecimal()]:
        return "says nothing that could turn out wrong"
    if len(words) < LEAST_WORDS:
        return f"has {len(words)} word{'s' * (len(words) != 1)}: what is expected, and why?"
    return ""


def predicted_gain(hypothesis: str) -> float | None:
    """The gain as a share (`+5 points`: .05); None where no number is said to be one."""
    for pattern, unit in ((_POINTS, 100.0), (_SIGNED_PERCENT, 100.0), (_SIGNED_SHARE, 1.0)):
        found = pattern.search(hypothesis)
        if found:
            value = float(re.sub(r"\s", "", found[1]).replace("−", "-")) / unit
            is_loss = value > 0 and not found[1].startswith("+") and _LOSS.search(hypothesis[: found.start()])
            return -value if is_loss else value
    return None
