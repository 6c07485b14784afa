"""When two texts say the same, and what words a text has.

Folded away: Unicode compatibility forms, case, spacing, invisible characters, quotes, marks that end a clause, and
dashes, slashes and brackets between words. Kept: everything that changes a formula. `12+34` is not `12*34`, `1.5` is
not `15`, `5!` is not `5`, `-3` is not `3`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import NamedTuple

_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Scripts that write no spaces: each character counts as a word."""
_LETTERS = r"[^\W\d_]{2}"
CLAUSE_END, LINE_END, CAPITAL = "\x00", "\x01", "\x02"


class _Patterns(NamedTuple):
    """`between_words`: beside words, these are punctuation; beside digits and single letters they are operators."""

    invisible: re.Pattern[str]
    apostrophe: re.Pattern[str]
    clause: re.Pattern[str]
    comma: re.Pattern[str]
    between_words: re.Pattern[str]
    word: re.Pattern[str]
    marks: re.Pattern[str]
    capitalised: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    """Compiled when the first text is looked at: 5 ms, which a run without texts does not pay."""
    return _Patterns(
        invisible=re.compile(
            "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
            "\ufeff\uffa0\U000e0000-\U000e0fff]"
        ),
        apostrophe=re.compile("['‘’`´]"),
        clause=re.compile(r"""[?;…"“”„«»¿¡。、「」『』《》・]|[.,:](?!\d)|(?<!\d)!"""),
        comma=re.compile(r",(?!\d)|、"),
        between_words=re.compile(
            rf"(?<={_LETTERS})(?:[-–—/‐‑]| [-–—] )(?={_LETTERS})|[(\[{{](?={_LETTERS})|(?<={_LETTERS})[)\]}}]"
        ),
        word=re.compile(rf"\d+(?:[.,:]\d+)*|[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]"),
        marks=re.compile("[\x00-\x02]"),
        capitalised=re.compile(r"(?<=[^\sA-Z])\s+(?=[A-Z][^\W\dA-Z_])"),
    )


def normalise(text: str) -> str:
    """Words, numbers with their decimals, and operators, a space between: the form in which equal means duplicate."""
    folded, patterns = _folded(text), _patterns()
    return " ".join(patterns.word.findall(patterns.clause.sub(" ", folded))) or folded.strip()


def words(normalised: str) -> list[str]:
    return normalised.split()


def marked_words(text: str) -> list[str]:
    """The words of `normalise`, with CLAUSE_END where a clause ends, LINE_END for each line feed, and CAPITAL before a
    capitalised word that stands beside a small one: where a sentence without a full stop may have ended."""
    patterns = _patterns()
    lines = patterns.marks.sub(" ", text).replace("\n", f" {LINE_END} ")
    folded = patterns.comma.sub(" ", _folded(patterns.capitalised.sub(f" {CAPITAL} ", lines)))
    return patterns.word.findall(patterns.clause.sub(f" {CLAUSE_END} ", folded))


def _folded(text: str) -> str:
    patterns = _patterns()
    folded = text if text.isascii() else patterns.invisible.sub("", unicodedata.normalize("NFKC", text))
    return patterns.between_words.sub(" ", patterns.apostrophe.sub("", folded.casefold()))
