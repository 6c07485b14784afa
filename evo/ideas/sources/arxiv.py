"""arXiv by its public query interface (https://info.arxiv.org/help/api/user-manual.html), as Atom.

EVO_ARXIV_URL names another service that speaks it. Metadata of arXiv is in the public domain (CC0).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode
from xml.etree import ElementTree

from evo.ideas.cache import DAY_S
from evo.ideas.references import Record, identify
from evo.ideas.sources.base import Found
from evo.ideas.web import Query, Unreachable, Web

_ATOM = "{http://www.w3.org/2005/Atom}"
_MOST_IDS = 50


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
        entries = self._entries({"id_list": ",".join(ids), "max_results": len(ids)}, hold_s=30 * DAY_S)
        if entries is None:
            half = len(ids) // 2
            return self._records(ids[:half]) | self._records(ids[half:]) if half else {ids[0]: None}
        by_id = {entry.url: Record(entry.title, entry.year, entry.code) for entry in entries}
        return {id: by_id.get(id) for id in ids}

    def search(self, words: str, *, limit: int) -> list[Found]:
        terms = " AND ".join(f"all:{word}" for word in re.findall(r"[^\W_]+", words))
        asked: dict[str, str | int] = {
            "search_query": terms,
            "sortBy": "submittedDate",
            "sortOrder": "descending",
            "max_results": limit,
        }
        entries = self._entries(asked, hold_s=DAY_S)
        if entries is None:
            raise Unreachable("arxiv refused the query")
        return [entry._replace(url=f"https://arxiv.org/abs/{entry.url}") for entry in entries]

    def _entries(self, asked: Mapping[str, str | int], *, hold_s: float) -> list[Found] | None:
        """Its entries, with the bare number as `url`; those that report an error have none. None: it refused."""
        text = self._web.text(Query("arxiv", f"{self._base}?{urlencode({'start': 0, **asked})}", hold_s))
        if text is None:
            return None
        try:
            root = ElementTree.fromstring(text)
        except ElementTree.ParseError:
            raise Unreachable("arxiv answered with something that is no Atom feed") from None
        entries = [_entry(element) for element in root.iter(f"{_ATOM}entry")]
        return [entry for entry in entries if entry is not None]


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
