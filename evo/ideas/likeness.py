"""How near words lie to other words: the share of their weight that the other text holds.

A word weighs the more the fewer texts have it (inverse document frequency; Spärck Jones 1972). Words are cut to six
letters, so that plurals and tenses count as one; those that any text has are none. `LoRA+` is not `LoRA`.
Invariant: 1 for a text that holds every word, 0 for one that holds none.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping

from evo.ideas.wording import COMMON

_WORD = re.compile(r"[^\W_]+\+*")
_STEM = 6


def stems(text: str) -> set[str]:
    """What a text is compared by."""
    words = (word for word in _WORD.findall(text.lower()) if word not in COMMON and (len(word) > 1 or word.isdigit()))
    return {_stem(word) for word in words}


def _stem(word: str) -> str:
    return word if word.endswith("+") else word[:_STEM]


def likenesses(words: str, texts: Mapping[str, str]) -> dict[str, float]:
    """Name of each text -> likeness of `words` to it, the nearest first; those without a common word are left out."""
    asked = stems(words)
    known = {name: stems(text) for name, text in texts.items()}
    counts = Counter(stem for found in known.values() for stem in found)
    weight = {stem: math.log((1 + len(known)) / (1 + counts[stem])) + 1.0 for stem in asked}
    whole = math.fsum(weight.values())
    if not whole:
        return {}
    found = {name: math.fsum(weight[stem] for stem in asked & have) / whole for name, have in known.items()}
    return dict(sorted(((n, x) for n, x in found.items() if x > 0), key=lambda pair: (-pair[1], pair[0])))
