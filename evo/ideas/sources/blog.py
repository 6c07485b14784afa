"""Any other page of the public internet, by the title that it gives itself. Pages of this machine's own network are
never asked: an address may be somebody else's choice."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from evo.ideas.references import Record
from evo.ideas.sources.base import Found
from evo.ideas.web import Query, Web

_OPENING, _CLOSING = re.compile("<title[ >]", re.IGNORECASE), re.compile("</title", re.IGNORECASE)
_LONGEST = 500


class Blog:
    name = "blog"

    def __init__(self, web: Web) -> None:
        self._web = web

    def lookup(self, ids: Iterable[str]) -> dict[str, Record | None]:
        return {url: self._record(url) for url in sorted(set(ids))}

    def search(self, words: str, *, limit: int) -> list[Found]:  # noqa: ARG002
        return []

    def _record(self, url: str) -> Record | None:
        title = self._web.read(Query("blog", url, is_foreign=True), _title)
        return Record(title) if title else None


def _title(page: str) -> str:
    """What stands between the first tags of a title, in one pass: a page may be anything."""
    opening = _OPENING.search(page)
    begin = page.find(">", opening.start()) + 1 if opening else 0
    closing = _CLOSING.search(page, begin) if begin else None
    return " ".join(html.unescape(page[begin : closing.start()]).split())[:_LONGEST] if closing else ""
