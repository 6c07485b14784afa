"""Everything that evaluation items can be recognised by, and the search of one row for it.

Invariant: a hit names an item, a method and a score, and holds no text.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from evo.data.leaks import code
from evo.data.leaks.passages import Part, Passage, passages_of
from evo.data.leaks.similar import SimilarSets, numbered
from evo.data.leaks.sisters import Sisters
from evo.data.leaks.texts import Span, Stream, stream_of
from evo.data.leaks.wording import is_number
from evo.domain.item import Item
from evo.lightdata import dataclass

Method = Literal["exact", "13-gram", "50-char", "near-duplicate", "code"]
WORDS, CHARACTERS = 13, 50
ANCHOR = 12
"""Nothing is compared in a row before so many characters are equal."""
BRIEF = 60
"""Characters of an answer under which it may be a phrase that answers many questions."""
FREE = 40
"""Characters from which a passage is recognised wherever it begins and ends; a shorter one is a clause of its own."""
SHORT = 10
"""Under this many words, changing one changes the question: there are no near-duplicates."""
SAME_OWN, SAME_NUMBERS = 0.6, 0.9
"""Of near-duplicates: the share of the question's words, and of both texts' numbers, that is equal."""
LITERALS_KEPT, LARGE_BODY = 0.9, 50
"""Of code: the share of its literals that a copy keeps where its body has fewer nodes than the last."""
MOST_OWNERS = 4
"""Code that more items have than this is nobody's."""
_DENSE = 2.5
"""Fewer characters a word than this: formulas, code, or a script without spaces."""


@dataclass(frozen=True)
class Thresholds:
    """From which share of an item's n-grams on a row is blocked or warned of, and from which word-set Jaccard index."""

    block: float
    warn: float
    similar: float


class Hit(NamedTuple):
    """Item `item` (its index) in a row, on line `line` (from 0) of its texts. `is_sure` is false for a warning."""

    item: int
    part: Part
    method: Method
    score: float
    line: int
    is_sure: bool
    is_brief: bool = False
    """So short a text may be a label or a phrase, which stands in many rows."""


class Index:
    """What `items` can be recognised by."""

    def __init__(self, items: Sequence[Item], thresholds: Thresholds, *, answer_chars: int) -> None:
        self._thresholds = thresholds
        self._passages = passages_of(items, answer_chars=answer_chars)
        self._heads: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._short: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._grams: dict[str, list[tuple[int, Method]]] = defaultdict(list)
        self._gram_counts: dict[tuple[int, Method], int] = {}
        self._code = _code_of(items)
        self._targets = [item.target or "" for item in items]
        self._literals = {
            owner.item: code.literals(self._targets[owner.item] or items[owner.item].question)
            for owner in itertools.chain.from_iterable(self._code.values())
        }
        self._code_answers = {
            number
            for number, passage in enumerate(self._passages)
            if passage.part == "answer" and _is_code(items[passage.item])
        }
        self._questions = {p.item: n for n, p in enumerate(self._passages) if p.part == "question" and p.is_whole}
        self._code_items = {self._passages[number].item for number in self._code_answers}
        for number, passage in enumerate(self._passages):
            if passage.part != "question+answer":
                self._take_in(number, passage)
        self._anchors = {*self._heads, *(gram[:ANCHOR] for gram in self._grams)}
        self._longest_short = max(map(len, self._short), default=0)
        large = [
            n
            for n, p in enumerate(self._passages)
            if len(p.words) >= SHORT and n not in self._code_answers and not p.is_templated
        ]
        self._large = large
        self._sets = [
            SimilarSets([make(self._passages[n].words) for n in large], thresholds.similar)
            for make in (frozenset, numbered)
        ]
        self._sisters = Sisters(self._passages, similar=thresholds.similar, items=len(items), least_words=SHORT)
        self._own = [frozenset(itertools.compress(self._passages[n].words, self._passages[n].own)) for n in large]
        self._numbers = [_numbers(self._passages[n].words) for n in large]

    def _take_in(self, number: int, passage: Passage) -> None:
        head = self._short if len(passage.text) < ANCHOR else self._heads
        begin = passage.own_start if head is self._heads else 0
        head[passage.text if head is self._short else passage.text[begin : begin + ANCHOR]].append((number, begin))
        if passage.part == "answer" and passage.is_templated:
            return  # with the numbers of another question half of it may be equal
        for method, grams in _grams(passage).items():
            self._gram_counts[number, method] = len(grams)
            for gram in grams:
                self._grams[gram].append((number, method))

    def hits(self, texts: list[str]) -> list[Hit]:
        """What a row with these texts holds: one hit for each item and part, the surest."""
        stream = stream_of(texts)
        text, anchors = stream.text, self._anchors
        begun = [word for word, start in enumerate(stream.starts) if text[start : start + ANCHOR] in anchors]
        best: dict[tuple[int, Part], Hit] = {}
        finders = (self._exact(stream, begun), self._short_ones(stream), self._shared(stream, begun),
                   self._similar(stream), self._same_code(texts))  # fmt: skip
        for hit in itertools.chain(*finders):
            known = best.get((hit.item, hit.part))
            if known is None or (hit.is_sure, hit.score) > (known.is_sure, known.score):
                best[hit.item, hit.part] = hit
        return [self._doubted(hit, best, texts) for hit in best.values()]

    def _doubted(self, hit: Hit, best: dict[tuple[int, Part], Hit], texts: list[str]) -> Hit:
        """A docstring like another one says little where another function follows it."""
        if hit.part != "question" or hit.method == "exact" or not hit.is_sure or hit.item not in self._code_items:
            return hit
        answered = any(key[0] == hit.item and key[1] != "question" and other.is_sure for key, other in best.items())
        is_other = not answered and any(code.is_code(text) for text in ("".join(texts), "\n".join(texts)))
        return hit._replace(is_sure=False) if is_other else hit

    def _exact(self, stream: Stream, begun: list[int]) -> Iterator[Hit]:
        text = stream.text
        ends = {*stream.starts, len(text)} if begun else set()
        for word in begun:
            at = stream.starts[word]
            for number, begin in self._heads.get(text[at : at + ANCHOR], ()):
                passage, start = self._passages[number], at - begin
                if start in ends and start + len(passage.text) in ends and text.startswith(passage.text, start):
                    yield from self._exact_hit(stream, passage, bisect.bisect_left(stream.starts, start))

    def _exact_hit(self, stream: Stream, passage: Passage, word: int) -> Iterator[Hit]:
        start = stream.starts[word]
        end = start + len(passage.text)
        sides = (start in stream.opens) + (end in stream.closes)
        weight = passage.weight
        if weight >= FREE:
            is_sure = sides == 2 or not _goes_on(stream, passage, word)
        elif passage.part == "question" and passage.is_whole:
            is_sure = sides == 2
        else:
            is_sure = any(stream.starts[span.first] == start and _end(stream, span) == end for span in stream.spans)
        if is_sure or (sides and weight >= FREE / 2):
            is_brief = weight < (FREE if passage.part == "question" else BRIEF)
            yield Hit(passage.item, passage.part, "exact", 1.0, stream.line_of(word), is_sure, is_brief)

    def _short_ones(self, stream: Stream) -> Iterator[Hit]:
        """Passages of a few characters, where they are a clause of their own."""
        if not self._short:
            return
        closes = sorted(stream.closes)
        for word, start in enumerate(stream.starts):
            if start not in stream.opens:
                continue
            for end in closes[bisect.bisect_right(closes, start) :]:
                if end > start + self._longest_short:
                    break
                for number, _ in self._short.get(stream.text[start:end], ()):
                    passage = self._passages[number]
                    yield Hit(passage.item, passage.part, "exact", 1.0, stream.line_of(word), True, is_brief=True)

    def _shared(self, stream: Stream, begun: list[int]) -> Iterator[Hit]:
        """Items of whose n-grams the row holds a share."""
        text, starts = stream.text, [*stream.starts, len(stream.text)]
        found: dict[tuple[int, Method], tuple[set[str], int]] = {}
        last = len(starts) - 1
        for word in begun:
            start = starts[word]
            for gram in {text[start : starts[min(word + WORDS, last)]], text[start : start + CHARACTERS]}:
                for owner in self._grams.get(gram, ()):
                    found.setdefault(owner, (set(), word))[0].add(gram)
        for (number, method), (grams, word) in found.items():
            score = len(grams) / self._gram_counts[number, method]
            if score >= self._thresholds.warn:
                passage = self._passages[number]
                is_sure = score >= self._thresholds.block and self._is_copy(number, stream, word)
                yield Hit(passage.item, passage.part, method, score, stream.line_of(word), is_sure)

    def _is_copy(self, number: int, stream: Stream, word: int) -> bool:
        """Around this word of the row: not a sister of a templated item, nor another function that shares lines."""
        passage = self._passages[number]
        if number in self._code_answers:
            return code.lines_kept(self._targets[passage.item], stream.text) >= self._thresholds.block
        if passage.part != "question" or (passage.is_whole and not passage.is_templated):
            return True
        whole = self._questions[passage.item]
        size = len(self._passages[whole].words)
        near = stream.words[max(0, word - size) : word + 2 * size]
        return self._sisters.evidence(whole, near) >= 1

    def _similar(self, stream: Stream) -> Iterator[Hit]:
        for span in stream.spans:
            if span.last - span.first < SHORT:
                continue
            words = stream.words[span.first : span.last]
            bags = (frozenset(words), numbered(words))
            for found in self._sisters.like(words, bags):
                if found.is_copy or found.is_likely:
                    item, line = self._passages[found.number].item, stream.line_of(span.first)
                    yield Hit(item, "question", "near-duplicate", found.jaccard, line, found.is_copy)
            numbers: frozenset[str] | None = None
            for sets, bag in zip(self._sets, bags, strict=True):
                for index, jaccard in sets.like(bag):
                    passage, own = self._passages[self._large[index]], self._own[index]
                    if len(own & bag) < SAME_OWN * len(own):
                        continue  # another question with the same answer, or on the same template
                    numbers = _numbers(words) if numbers is None else numbers
                    is_sure = _same_numbers(self._numbers[index], numbers)
                    if is_sure or len(passage.words) >= 2 * SHORT:
                        line = stream.line_of(span.first)
                        yield Hit(passage.item, passage.part, "near-duplicate", jaccard, line, is_sure)

    def _same_code(self, texts: list[str]) -> Iterator[Hit]:
        if not self._code:
            return
        seen: dict[int, Hit] = {}
        for text in dict.fromkeys((*texts, "".join(texts), "\n".join(texts))):
            for print_, body in code.prints(text).items():
                for item, part, share in self._code.get(print_, ()):
                    if share >= self._thresholds.warn and (item not in seen or share > seen[item].score):
                        is_sure = share >= self._thresholds.block and self._says_same(item, body.nodes, text)
                        seen[item] = Hit(item, part, "code", share, body.line, is_sure)
        yield from seen.values()

    def _says_same(self, item: int, nodes: int, text: str) -> bool:
        """False for a twin: few nodes, with other strings and numbers in them."""
        wanted = self._literals[item]
        kept = (wanted & code.literals(text)).total()
        return nodes >= LARGE_BODY or kept >= LITERALS_KEPT * wanted.total()


def _grams(passage: Passage) -> dict[Method, set[str]]:
    """The n-grams that are evidence: 13 words; 50 characters of what has few words, short ones, or no spaces."""
    starts = [*passage.starts, len(passage.text)]
    last = len(passage.words)
    owned = list(itertools.accumulate(passage.own, initial=0))
    least = max(1, min(6, -(-3 * owned[-1] // 4)))
    is_dense = len(passage.text) < _DENSE * last
    found: dict[Method, set[str]] = {}
    if not is_dense:
        stops = range(WORDS, last + 1)
        found["13-gram"] = {
            passage.text[starts[stop - WORDS] : starts[stop]]
            for stop in stops
            if owned[stop] - owned[stop - WORDS] >= least
        }
    if is_dense or last < 2 * WORDS:
        found["50-char"] = {
            passage.text[start : start + CHARACTERS]
            for word, start in enumerate(passage.starts)
            if start + CHARACTERS <= len(passage.text)
            and owned[bisect.bisect_left(starts, start + CHARACTERS)] - owned[word] >= least
        }
    return {method: grams for method, grams in found.items() if grams}


def _goes_on(stream: Stream, passage: Passage, word: int) -> bool:
    """True where a number at the passage's edge stands beside an operator in the row: another formula, then."""
    last = word + len(passage.words)
    before = stream.words[word - 1] if word else ""
    after = stream.words[last] if last < len(stream.words) else ""
    return (is_number(passage.words[0]) and _is_operator(before)) or (
        is_number(passage.words[-1]) and _is_operator(after)
    )


def _is_operator(word: str) -> bool:
    return bool(word) and not any(character.isalnum() for character in word)


def _end(stream: Stream, span: Span) -> int:
    return stream.starts[span.last] if span.last < len(stream.starts) else len(stream.text)


def _numbers(words: Iterable[str]) -> frozenset[str]:
    return frozenset(filter(is_number, words))


def _same_numbers(wanted: frozenset[str], found: frozenset[str]) -> bool:
    """With other numbers it is another question."""
    return len(wanted & found) >= SAME_NUMBERS * max(len(wanted), len(found))


def _is_code(item: Item) -> bool:
    target = item.target or ""
    return any(code.is_code(text) for text in (target, item.question + target, f"{item.question}\n{target}"))


class _Owner(NamedTuple):
    item: int
    part: Part
    share: float


def _code_of(items: Sequence[Item]) -> dict[str, list[_Owner]]:
    """Print -> the items that have it, with its share of the item's largest, where few have it."""
    held: dict[str, list[_Owner]] = defaultdict(list)
    for index, item in enumerate(items):
        target = item.target or ""
        found: dict[str, int] = {}
        for text in (item.question, target, item.question + target, f"{item.question}\n{target}"):
            found |= {print_: body.nodes for print_, body in code.prints(text, is_whole=True).items()}
        part: Part = "answer" if code.prints(target) else "question"
        for print_, nodes in found.items():
            held[print_].append(_Owner(index, part, nodes / max(found.values())))
    return {print_: owners for print_, owners in held.items() if len(owners) <= MOST_OWNERS}
