"""A whole file against evaluation items: what stands on which line, by which method, with which score.

Rows of JSONL are searched one by one, texts in windows that overlap; large files by several processes, each of which
builds the index for itself. Invariant: a match names file, line, item and method, and quotes nothing; the same file,
items and settings give the same matches, however many processes there are.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from evo.config import LeaksConfig
from evo.data.leaks.index import Hit, Index, Thresholds
from evo.data.leaks.match import Checked, Match, Severity
from evo.data.leaks.passages import Gold
from evo.data.leaks.texts import leaves
from evo.data.reader import Row, read_rows
from evo.domain.item import Item
from evo.errors import FileFormatError, NotFound

OnProgress = Callable[[int, int], None]
"""(rows done, rows in all)"""
WINDOW, OVERLAP = 8_000, 2_000
"""Characters of a text that are searched at a time, and those that are searched again with the next."""
MOST_QUESTIONS, MOST_ROWS = 3, 10
"""A brief answer that stands in rows with more different questions than this is no item's own; so is a brief question
that stands in more rows, as a label does."""
LARGE = 3_000_000
"""Characters from which several processes are worth their start."""
MOST_PROCESSES = 8
_CHUNK = 500_000


class Unit(NamedTuple):
    """What is searched at once. `counts`: `line` is the first of many, and a match counts from there."""

    line: int
    texts: list[str]
    counts: bool


class _Found(NamedTuple):
    line: int
    hit: Hit
    question: str
    """Hash of the row's first text."""


def check_file(
    path: Path, golds: Sequence[Gold], settings: LeaksConfig, *, on_progress: OnProgress = lambda _done, _all: None
) -> Checked:
    """What `path` (.jsonl, or any text) holds of these items, by line. FileFormatError, NotFound."""
    units = units_of(path)
    searcher = (tuple(golds), settings)
    found: list[_Found] = []
    done = 0
    for size, part in _searched(units, searcher):
        found += part
        done += size
        on_progress(done, len(units))
    names = [(gold.split, item.id) for gold in golds for item in gold.items]
    last = units[-1]
    lines = last.line + last.texts[0].rstrip("\n").count("\n") if last.counts else len(units)
    return Checked(_matches(found, names, str(path)), lines)


def find_copies(rows: Iterable[Row], items: Sequence[Item], *, file: object) -> list[Match]:
    """The rows of `file` that hold one of `items` word for word."""
    golds = [Gold("", items)]
    index = _built((tuple(golds), LeaksConfig()))
    found = [hit for row in rows for hit in _search(index, Unit(row.line, list(leaves(row.data)), counts=False))]
    matches = _matches(found, [("", item.id) for item in items], str(file))
    return [match for match in matches if match.method == "exact" and match.severity == "block"]


def units_of(path: Path) -> list[Unit]:
    """The rows of a JSONL file, or the windows of a text."""
    if path.suffix == ".jsonl":
        return [Unit(row.line, list(leaves(row.data)), counts=False) for row in read_rows(path)]
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except UnicodeDecodeError as error:
        raise FileFormatError(path, f"is not UTF-8: byte {error.start} of the file") from None
    return [Unit(line, [window], counts=True) for line, window in _windows(text)]


def _windows(text: str) -> Iterator[tuple[int, str]]:
    """(first line, text) of windows of whole lines, each beginning with the end of the one before."""
    kept: list[str] = []
    size = first = fresh = 0
    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+\Z", text)):
        kept.append(line)
        size += len(line)
        fresh += 1
        if size >= WINDOW:
            yield first + 1, "".join(kept)
            while kept and size - len(kept[0]) >= OVERLAP:
                size -= len(kept.pop(0))
            if len(kept) == 1 and size >= OVERLAP:
                kept, size = [], 0
            first, fresh = number + 1 - len(kept), 0
    if fresh or not text:
        yield first + 1, "".join(kept)


_Searcher = tuple[tuple[Gold, ...], LeaksConfig]
_index: Index | None = None
"""Of a process that searches for another one."""


def _searched(units: Sequence[Unit], searcher: _Searcher) -> Iterator[tuple[int, list[_Found]]]:
    """Chunk by chunk, in order: its number of units and what is in it."""
    chunks = list(_chunks(units))
    processes = min(MOST_PROCESSES, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    if processes < 2 or sum(len(text) for unit in units for text in unit.texts) < LARGE:
        index = _built(searcher)
        for chunk in chunks:
            yield len(chunk), [found for unit in chunk for found in _search(index, unit)]
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (searcher,)) as pool:
        for chunk, found in zip(chunks, pool.map(_search_all, chunks), strict=True):
            yield len(chunk), found


def _chunks(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    chunk: list[Unit] = []
    size = 0
    for unit in units:
        chunk.append(unit)
        size += sum(map(len, unit.texts))
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _built(searcher: _Searcher) -> Index:
    golds, settings = searcher
    thresholds = Thresholds(settings.block, settings.warn, settings.similar)
    items = [item for gold in golds for item in gold.items]
    return Index(items, thresholds, answer_chars=settings.answer_chars)


def _begin(searcher: _Searcher) -> None:
    global _index
    _index = _built(searcher)


def _search_all(units: list[Unit]) -> list[_Found]:
    assert _index is not None
    return [found for unit in units for found in _search(_index, unit)]


def _search(index: Index, unit: Unit) -> list[_Found]:
    hits = index.hits(unit.texts)
    if not hits:
        return []
    question = hashlib.sha256(unit.texts[0].encode(errors="replace")).hexdigest()[:16]
    return [_Found(unit.line + hit.line if unit.counts else unit.line, hit, question) for hit in hits]


def _matches(found: Iterable[_Found], names: Sequence[tuple[str, str]], file: str) -> list[Match]:
    """One match for each line and item, the surest method first; what only labels say is a warning."""
    by_place: dict[tuple[int, int], list[_Found]] = defaultdict(list)
    questions: dict[int, set[str]] = defaultdict(set)
    for entry in found:
        by_place[entry.line, entry.hit.item].append(entry)
        if entry.hit.is_brief:
            questions[entry.hit.item].add(entry.question)
    matches = []
    for (line, item), entries in sorted(by_place.items()):
        hits = sorted((entry.hit for entry in entries), key=lambda hit: (hit.is_sure, hit.score), reverse=True)
        parts = {part for hit in hits if hit.is_sure == hits[0].is_sure for part in hit.part.split("+")}
        most = MOST_QUESTIONS if parts == {"answer"} else MOST_ROWS
        is_label = all(hit.is_brief for hit in hits if hit.is_sure) and len(questions[item]) > most
        split, name = names[item]
        part = "question+answer" if len(parts) > 1 else parts.pop()
        severity: Severity = "block" if hits[0].is_sure and not is_label else "warn"
        matches.append(Match(file, line, name, split, hits[0].method, part, round(hits[0].score, 3), severity))
    return matches
