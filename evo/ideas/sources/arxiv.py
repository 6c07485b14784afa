"""arXiv by its public query interface (https://info.arxiv.org/help/api/user-manual.html), as Atom.

EVO_ARXIV_URL names another service that speaks it. Metadata of arXiv is in the public domain (CC0).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode
from xml.etree import ElementTree

from evo.ideas.cache import DAY_S
from evo.ideas.references import Record, identify
from evo.ideas.sources.base import Found
from evo.ideas.web import Query, Unreachable, Web

_ATOM = "{http://www.w3.org/2005/Atom}"
_MOST_IDS = 50
_TERM = re.compile(r"[^\W_]+(?:[.-][^\W_]+)*")


class Arxiv:
    name = "arxiv"

    def __init__(self, web: Web) -> None:
        self._web = web
        self._base = os.environ.get("EVO_ARXIV_URL", "https://export.arxiv.org/api/query")

    def lookup(self, ids: Iterable[str]) -> dict[str, Record | None]:
        wanted = sorted(set(ids))
        found: dict[str, Record | None] = {}
        for start in range(0, len(wanted), _MOST_IDS):
            found |= self._records(wanted[start : start + _MOST_IDS])
        return found

    def _records(self, ids: list[str]) -> dict[str, Record | None]:
        """It refuses a whole list for one number that it cannot read: then by halves, until that one stands alone."""
        feed = self._feed({"id_list": ",".join(ids), "max_results": len(ids)}, hold_s=30 * DAY_S)
        if feed.is_refusal:
            half = len(ids) // 2
            return self._records(ids[:half]) | self._records(ids[half:]) if half else {ids[0]: None}
        by_id = {entry.url: Record(entry.title, entry.year, entry.code) for entry in feed.entries}
        return {id: by_id.get(id) for id in ids}

    def search(self, words: str, *, limit: int) -> list[Found]:
        """Newest first: papers with all the words; where there is none, with the first two."""
        terms = [f'all:"{word}"' if re.search(r"\W", word) else f"all:{word}" for word in _TERM.findall(words)]
        return self._found(terms, limit) or (self._found(terms[:2], limit) if len(terms) > 2 else [])

    def _found(self, terms: list[str], limit: int) -> list[Found]:
        asked: dict[str, str | int] = {
            "search_query": " AND ".join(terms),
            "sortBy": "submittedDate",
            "sortOrder": "descending",
            "max_results": limit,
        }
        feed = self._feed(asked, hold_s=DAY_S)
        if feed.is_refusal:
            raise Unreachable("it refused the query")
        return [entry._replace(url=f"https://arxiv.org/abs/{entry.url}") for entry in feed.entries]

    def _feed(self, asked: Mapping[str, str | int], *, hold_s: float) -> _Feed:
        address = f"{self._base}?{urlencode({'start': 0, **asked})}"
        return self._web.read(Query("arxiv", address, hold_s), _feed_of) or _Feed([], is_refusal=True)


class _Feed(NamedTuple):
    """`entries` with the bare number as `url`. It refuses with HTTP 400, or with an entry that is its error."""

    entries: list[Found]
    is_refusal: bool


def _feed_of(text: str) -> _Feed:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        raise ValueError("is no Atom feed") from None
    if root.tag != f"{_ATOM}feed":
        raise ValueError("is no Atom feed")
    elements = list(root.iter(f"{_ATOM}entry"))
    if any("/api/errors" in (one.findtext(f"{_ATOM}id") or "") for one in elements):
        return _Feed([], is_refusal=True)
    found = (_entry(element) for element in elements)
    return _Feed([entry for entry in found if entry is not None], is_refusal=False)


def _entry(element: ElementTree.Element) -> Found | None:
    def text(name: str) -> str:
        return " ".join((element.findtext(f"{_ATOM}{name}") or "").split())

    target = identify(text("id").replace("http://", "https://"))
    if target is None or target.service != "arxiv" or not text("title"):
        return None
    year = text("published")[:4]
    code = re.search(r"https?://github\.com/[\w.-]+/[\w.-]*\w", f"{text('summary')} {_comment(element)}")
    return Found(
        target.id, text("title"), text("summary"), int(year) if year.isdigit() else 0, "arxiv",
        code.group() if code else "",
    )  # fmt: skip


def _comment(element: ElementTree.Element) -> str:
    return element.findtext("{http://arxiv.org/schemas/atom}comment") or ""
