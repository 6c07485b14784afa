"""The texts of a training row and of an evaluation item, in the form in which they are compared.

A row's stream is everything that it says, whatever its fields are called and in whatever order they stand: words
folded by `evo.data.text`, written together without spaces, with the places where a word, a clause, a line or a field
begins. Spaces inside words hide nothing, and what stands inside a longer text is found where it begins.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from evo.data.text import CAPITAL, CLAUSE_END, LINE_END, marked_words, normalise
from evo.domain.item import ROLES

_SPEAKERS = frozenset({*ROLES, "human", "gpt", "model", "developer", "function"})


FEW = 4
"""A last field of no more words is a label, and makes no other text of what stands before it."""


class Span(NamedTuple):
    """Words `first` to `last` (exclusive) of a stream: a line, a field, all fields, or all but the last."""

    first: int
    last: int


class Stream(NamedTuple):
    """`text`: the words without spaces. `starts[k]` is where word k begins in it.

    `opens` and `closes`: where in `text` a clause begins, and where one ends or may end. `feeds`: how many words stand
    before each line feed.
    """

    words: list[str]
    text: str
    starts: list[int]
    opens: frozenset[int]
    closes: frozenset[int]
    spans: list[Span]
    feeds: list[int]

    def line_of(self, word: int) -> int:
        """The line, counted from 0, that a word stands on."""
        return bisect.bisect_right(self.feeds, word)


def leaves(value: object) -> Iterator[str]:
    """Every text in a decoded row, numbers too, in the order in which they stand; names of speakers apart."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            if not (key in ("role", "from") and entry in _SPEAKERS):
                yield from leaves(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from leaves(entry)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)


def stream_of(texts: list[str]) -> Stream:
    """The stream of a row with these texts."""
    writer = _Writer()
    first = 0
    for text in texts:
        first = len(writer.words)
        writer.write(text)
    if len(writer.words) - first > FEW and first:
        writer.spans |= {Span(0, first): None, Span(0, len(writer.words)): None}
    marks = frozenset(writer.marks)
    return Stream(
        writer.words,
        "".join(writer.words),
        writer.starts,
        marks,
        marks | writer.capitals,
        list(writer.spans),
        writer.feeds,
    )


class _Writer:
    def __init__(self) -> None:
        self.words: list[str] = []
        self.starts: list[int] = []
        self.marks = {0}
        self.capitals: set[int] = set()
        self.spans: dict[Span, None] = {}
        self.feeds: list[int] = []
        self._at = 0

    def write(self, text: str) -> None:
        """Take in one field."""
        first = line = len(self.words)
        for word in marked_words(text):
            if word == CAPITAL:
                self.capitals.add(self._at)
            elif word == CLAUSE_END:
                self.marks.add(self._at)
            elif word == LINE_END:
                self._end_line(line)
                line = len(self.words)
                self.feeds.append(line)
            elif word := word.replace("_", ""):
                self.words.append(word)
                self.starts.append(self._at)
                self._at += len(word)
        self._end_line(line)
        self._end_line(first)

    def _end_line(self, first: int) -> None:
        self.marks.add(self._at)
        if len(self.words) > first:
            self.spans[Span(first, len(self.words))] = None


def question_key(row: Mapping[str, Any]) -> str:
    """What a row asks before its last answer, as one normalised text; empty for a row that asks nothing."""
    turns = _turns(row.get("messages", row.get("prompt")))
    asked = turns[:-1] if turns and turns[-1][0] == "assistant" else turns
    return normalise("\n".join(content for _, content in asked))


def _turns(value: object) -> list[tuple[str, str]]:
    """(role, content) of a conversation, the system's part left out; a plain text or number is one turn of the user."""
    if isinstance(value, (str, int, float)):
        return [("user", str(value))]
    messages = [message for message in value if isinstance(message, dict)] if isinstance(value, list) else []
    pairs = [(message.get("role"), message.get("content")) for message in messages]
    return [(str(role), content) for role, content in pairs if role != "system" and isinstance(content, str)]
