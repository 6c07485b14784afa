"""Any other page of the public internet, by the title that it gives itself. Pages of this machine's own network are
never asked: an address may be somebody else's choice."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from evo.ideas.references import Record
from evo.ideas.sources.base import Found
from evo.ideas.web import Query, Web

_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


class Blog:
    name = "blog"

    def __init__(self, web: Web) -> None:
        self._web = web

    def lookup(self, ids: Iterable[str]) -> dict[str, Record | None]:
        return {url: self._record(url) for url in sorted(set(ids))}

    def search(self, words: str, *, limit: int) -> list[Found]:  # noqa: ARG002
        return []

    def _record(self, url: str) -> Record | None:
        text = self._web.text(Query("blog", url, is_foreign=True))
        found = _TITLE.search(text or "")
        return Record(" ".join(html.unescape(found.group(1)).split())) if found else None
