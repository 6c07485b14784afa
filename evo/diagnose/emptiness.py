"""Whether a hypothesis says anything. Light: it is on the way of every `evo new`.

Invariant: only words are judged, never what they mean; a short hypothesis is not called an empty one.
"""

from __future__ import annotations

from typing import NamedTuple

LEAST_WORDS = 3
_FILLING = """
a an and another any better change changes different do experiment fix fixes good hyperparameter hyperparameters i idea
improve improved improvement improvements improves improving is it let lets make makes maybe model more new one other
param parameter parameters params perhaps quick result results run score scores see should some something stuff test
testing the things this thing to train training try trying tune tuning tweak tweaks two up values we will wip with
"""
_FILLER = frozenset(_FILLING.split())


class Empty(NamedTuple):
    """`says_nothing`: no word of it could turn out wrong; else it is only short."""

    why: str
    says_nothing: bool


def emptiness(hypothesis: str) -> Empty | None:
    """Why these words could stand on any experiment; None where they say something."""
    words = "".join(c if c.isalnum() else " " for c in hypothesis.lower()).split()
    if not [word for word in words if word not in _FILLER and not word.isdecimal()]:
        return Empty("says nothing that could turn out wrong: what is expected, and why?", True)
    if len(words) < LEAST_WORDS:
        return Empty(f"has {len(words)} word{'s' * (len(words) != 1)}: what is expected, and why?", False)
    return None
