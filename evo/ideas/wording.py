"""Words that say nothing of a subject, and what is left of a text without them.

Invariant: words keep their order and their spelling; a sign that is part of a name stays (`LoRA+`, `Qwen2.5`).
"""

from __future__ import annotations

import re

_COMMON = """
a an and are as at be by can for from has have how in into is it its of on or so than that the their then this to via
was we what when where which while who why will with your
"""
COMMON = frozenset(_COMMON.split())
_VAGUE = """
after all also always answer answers any base before benchmark best better bigger both data dataset different during
each epoch epochs every few fewer first get gets give good great high higher improve improving instead language large
larger last less long longer low lower make makes many maximise maximize minimise minimize model models more most much
new not off old once one only other our over per question questions raise reach same score scores second short shorter
should small smaller solve some step steps still such task tasks test train trained training try twice two under use
used using very want way well whether without work
"""
_VAGUE_HERE = COMMON | frozenset(_VAGUE.split())
_TERM = re.compile(r"[^\W_]+(?:[.-][^\W_]+)*\+*")


def subject(text: str, *, most: int) -> str:
    """The few words of a text to search a library by: names and acronyms first, then what stands first."""
    found = list(dict.fromkeys(_TERM.findall(text)))
    telling = [word for word in found if word.lower() not in _VAGUE_HERE and len(word) > 1]
    chosen = sorted(telling, key=lambda word: not is_name(word))[:most]
    return " ".join(word for word in telling if word in chosen)


def is_name(word: str) -> bool:
    """A number, or two capitals: versions and acronyms name a paper or a method."""
    return any(map(str.isdigit, word)) or sum(map(str.isupper, word)) > 1
