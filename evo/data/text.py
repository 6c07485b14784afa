"""When two texts say the same, and what words a text has.

Folded away: Unicode compatibility forms, case, spacing, invisible characters, quotes, and marks that end a clause.
Kept: everything that changes a formula. `12+34` is not `12*34`, `1.5` is not `15`, `5!` is not `5`, `-3` is not `3`.
"""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_APOSTROPHE = re.compile("['‘’`´]")
_CLAUSE = re.compile(r"""[?;…"“”„«»]|[.,:](?!\d)|(?<!\d)!""")
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Scripts that write no spaces: each character counts as a word."""
_WORD = re.compile(rf"\d+(?:[.,:]\d+)*|[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")


def normalise(text: str) -> str:
    """Words, numbers with their decimals, and operators, a space between: the form in which equal means duplicate."""
    folded = text if text.isascii() else _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    folded = _APOSTROPHE.sub("", folded.casefold())
    return " ".join(_WORD.findall(_CLAUSE.sub(" ", folded))) or folded.strip()


def words(normalised: str) -> list[str]:
    return normalised.split()
