"""Papers, models and datasets of the Hugging Face hub, by its public JSON interface. HF_ENDPOINT names another hub."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from evo.ideas.cache import DAY_S
from evo.ideas.references import Record
from evo.ideas.sources.base import Found
from evo.ideas.web import Query, Unreachable, Web


class HuggingFace:
    name = "huggingface"

    def __init__(self, web: Web) -> None:
        self._web = web
        self._base = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")

    def lookup(self, ids: Iterable[str]) -> dict[str, Record | None]:
        return {id: self._record(id) for id in sorted(set(ids))}

    def search(self, words: str, *, limit: int) -> list[Found]:
        rows = self._json(f"papers/search?{urlencode({'q': words, 'limit': limit})}", hold_s=DAY_S)
        if not isinstance(rows, list):
            raise Unreachable("huggingface answered with something that is no list of papers")
        found = [_paper(row.get("paper") or row) for row in rows if isinstance(row, dict)]
        return [paper for paper in found if paper is not None][:limit]

    def _record(self, id: str) -> Record | None:
        row = self._json(id, hold_s=30 * DAY_S)
        if not isinstance(row, dict):
            return None
        if id.startswith("papers/"):
            paper = _paper(row)
            return Record(paper.title, paper.year, paper.code) if paper else None
        name = str(row.get("id") or row.get("modelId") or "")
        return Record(name, _year(row.get("createdAt")), f"https://huggingface.co/{name}") if name else None

    def _json(self, path: str, *, hold_s: float) -> Any:
        return self._web.json(Query("huggingface", f"{self._base}/api/{path}", hold_s))


def _paper(row: dict[str, Any]) -> Found | None:
    id, title = row.get("id"), row.get("title")
    if not isinstance(id, str) or not isinstance(title, str):
        return None
    summary, code = row.get("summary"), row.get("githubRepo")
    return Found(
        f"https://huggingface.co/papers/{id}",
        " ".join(title.split()),
        " ".join(summary.split()) if isinstance(summary, str) else "",
        _year(row.get("publishedAt")),
        "huggingface",
        code if isinstance(code, str) else "",
    )


def _year(moment: object) -> int:
    text = str(moment or "")[:4]
    return int(text) if text.isdigit() else 0
