"""What of the evaluation items can give itself away: their questions, answers long enough to be evidence, and what is
left of a question when the words that many items share are taken off.

Invariant: a template that many items begin or end with is no evidence for any of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from evo.data.leaks import code
from evo.data.leaks.templated import common_words
from evo.data.leaks.texts import stream_of
from evo.data.leaks.wording import is_number
from evo.domain.item import Item
from evo.lightdata import dataclass

Part = Literal["question", "answer", "question+answer"]
WINDOW = 8
"""So many words in a row, numbers apart, that stand in many items are a template's."""
_FEW = 4
_SHARE = 200
"""A window in more than _FEW items, and in more than one of _SHARE, stands in many."""
_NEAR = 2
_LABEL = re.compile(r"[A-Za-z0-9_./:+-]*")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class Passage(NamedTuple):
    """One text of the item numbered `item`. `own[k]`: word k is not a template's.

    `is_whole` is false for what is left of a question without its template. `common`: words of most items like it.
    """

    item: int
    part: Part
    words: list[str]
    text: str
    starts: list[int]
    own: list[bool]
    is_whole: bool = True
    common: frozenset[str] = frozenset()

    @property
    def is_templated(self) -> bool:
        """Some of its words are a template's (or, of question and answer, the answer's): others' words, then."""
        return self.part != "question+answer" and not all(self.own)

    @property
    def own_start(self) -> int:
        """Where in `text` its own words begin, with room behind for them to be told from others."""
        first = next((start for start, is_own in zip(self.starts, self.own, strict=True) if is_own), 0)
        return first if len(self.text) - first >= 12 else 0

    @property
    def weight(self) -> float:
        """How much it says, in characters of a spaced script."""
        return weight_of(self.text)


@dataclass(frozen=True)
class Gold:
    """Items to look for, of one split; `answers`: of at least so many characters are looked for too."""

    split: str
    items: Sequence[Item]


def weight_of(text: str) -> float:
    return len(text) if text.isascii() else len(text) + 1.5 * len(_UNSPACED.findall(text))


def passages_of(items: Sequence[Item], *, answer_chars: int) -> list[Passage]:
    """Every passage of these items, by their index."""
    questions = [_passage(index, "question", item.question) for index, item in enumerate(items)]
    evident = evident_answers(items, answer_chars)
    answers = [_passage(index, "answer", items[index].target or "") for index in evident]
    asked = _marked(questions)
    found = [passage for passage in (*asked, *_marked(answers)) if passage.text]
    cores = [core for passage in asked if (core := _core(passage)) is not None]
    long = [
        (asked[index], item.target) for index, item in enumerate(items) if item.target and " " in item.target.strip()
    ]
    both = [
        _joined(question, answer)
        for question, answer in long
        if all(question.own) and not code.is_code(answer) and not code.is_code(items[question.item].question)
    ]
    return [*found, *cores, *both]


def _joined(question: Passage, answer: str) -> Passage:
    """Question and answer in one text; only the question's words are its own."""
    stream = stream_of([" ".join(question.words), answer])
    own = [*question.own, *[False] * (len(stream.words) - len(question.words))]
    return Passage(question.item, "question+answer", stream.words, stream.text, stream.starts, own)


def evident_answers(items: Sequence[Item], least: int) -> list[int]:
    """Items whose answer says which item it is: long enough, no bare name, and no other item's.

    Where most long answers are shared, all are labels of a closed set and none is evidence.
    """
    long = {
        index: answer
        for index, item in enumerate(items)
        if item.target is not None and len(answer := item.target.strip()) >= least and not _LABEL.fullmatch(answer)
    }
    counts = Counter(long.values())
    alone = [index for index, answer in long.items() if counts[answer] == 1]
    return alone if 2 * len(alone) >= len(long) else []


def _passage(item: int, part: Part, text: str) -> Passage:
    stream = stream_of([text])
    return Passage(item, part, stream.words, stream.text, stream.starts, [True] * len(stream.words))


def _marked(passages: Sequence[Passage]) -> list[Passage]:
    """The passages with their templates' words marked: of windows that many hold, and those of their sisters."""
    plain, masked = _Windows(len(passages)), _Windows(len(passages))
    for passage in passages:
        plain.take_in(passage.words)
        masked.take_in(_masked(passage.words))
    found = []
    for passage, common in zip(passages, common_words([passage.words for passage in passages]), strict=True):
        is_constant = plain.marks(passage.words)
        is_shared = masked.marks(_masked(passage.words))
        own = [
            not (constant or (shared and not is_number(word)))
            for word, constant, shared in zip(passage.words, is_constant, is_shared, strict=True)
        ]
        rare = [mine and word not in common for word, mine in zip(passage.words, own, strict=True)]
        own = [mine and (rare[at] or _is_amid(rare, at)) for at, mine in enumerate(own)]
        found.append(passage._replace(own=own, common=common))
    return found


def _is_amid(rare: list[bool], at: int) -> bool:
    """A common word between two others of its own belongs to them."""
    return any(rare[max(0, at - _NEAR) : at]) and any(rare[at + 1 : at + 1 + _NEAR])


def _masked(words: list[str]) -> list[str]:
    return ["#" if is_number(word) else word for word in words]


class _Windows:
    """Which windows of words stand in many of `size` texts."""

    def __init__(self, size: int) -> None:
        self._most = max(_FEW, size // _SHARE)
        self._held_by: Counter[tuple[str, ...]] = Counter()

    def take_in(self, words: list[str]) -> None:
        self._held_by.update({tuple(words[at : at + WINDOW]) for at in range(len(words) - WINDOW + 1)})

    def marks(self, words: list[str]) -> list[bool]:
        """Of each word whether it stands in such a window."""
        found = [False] * len(words)
        for at in range(len(words) - WINDOW + 1):
            if self._held_by[tuple(words[at : at + WINDOW])] > self._most:
                found[at : at + WINDOW] = [True] * WINDOW
        return found


def _core(passage: Passage) -> Passage | None:
    """The run of its own words, where a template takes up the rest and three words are left."""
    if all(passage.own):
        return None
    best = (0, 0)
    first = 0
    for at in range(len(passage.words) + 1):
        if at == len(passage.words) or not passage.own[at]:
            best = max(best, (first, at), key=lambda run: run[1] - run[0])
            first = at + 1
    words = passage.words[slice(*best)]
    if len(words) < max(3, sum(passage.own)):
        return None
    begin = passage.starts[best[0]]
    text = "".join(words)
    starts = [start - begin for start in passage.starts[slice(*best)]]
    return Passage(passage.item, passage.part, words, text, starts, [True] * len(words), is_whole=False)
