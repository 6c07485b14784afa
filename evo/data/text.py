"""When two texts say the same, and what words a text has.

Folded away: Unicode compatibility forms, case, spacing, invisible characters, quotes, marks that end a clause, and
dashes, slashes and brackets between words. Kept: everything that changes a formula. `12+34` is not `12*34`, `1.5` is
not `15`, `5!` is not `5`, `-3` is not `3`.
"""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\U000e0000-\U000e0fff]"
)
_APOSTROPHE = re.compile("['‘’`´]")
_CLAUSE = re.compile(r"""[?;…"“”„«»¿¡。、「」『』《》・]|[.,:](?!\d)|(?<!\d)!""")
_COMMA = re.compile(r",(?!\d)|、")
_LETTERS = r"[^\W\d_]{2}"
_BETWEEN_WORDS = re.compile(
    rf"(?<={_LETTERS})(?:[-–—/‐‑]| [-–—] )(?={_LETTERS})|[(\[{{](?={_LETTERS})|(?<={_LETTERS})[)\]}}]"
)
"""Beside words, these are punctuation; beside digits and single letters they are operators."""
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Scripts that write no spaces: each character counts as a word."""
_WORD = re.compile(rf"\d+(?:[.,:]\d+)*|[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")
CLAUSE_END, LINE_END, CAPITAL = "\x00", "\x01", "\x02"
_MARKS = re.compile("[\x00-\x02]")
_CAPITALISED = re.compile(r"(?<=[^\sA-Z])\s+(?=[A-Z][^\W\dA-Z_])")


def normalise(text: str) -> str:
    """Words, numbers with their decimals, and operators, a space between: the form in which equal means duplicate."""
    folded = _folded(text)
    return " ".join(_WORD.findall(_CLAUSE.sub(" ", folded))) or folded.strip()


def words(normalised: str) -> list[str]:
    return normalised.split()


def marked_words(text: str) -> list[str]:
    """The words of `normalise`, with CLAUSE_END where a clause ends, LINE_END for each line feed, and CAPITAL before a
    capitalised word that stands beside a small one: where a sentence without a full stop may have ended."""
    lines = _MARKS.sub(" ", text).replace("\n", f" {LINE_END} ")
    folded = _COMMA.sub(" ", _folded(_CAPITALISED.sub(f" {CAPITAL} ", lines)))
    return _WORD.findall(_CLAUSE.sub(f" {CLAUSE_END} ", folded))


def _folded(text: str) -> str:
    folded = text if text.isascii() else _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return _BETWEEN_WORDS.sub(" ", _APOSTROPHE.sub("", folded.casefold()))
