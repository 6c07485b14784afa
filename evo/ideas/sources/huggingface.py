"""Papers, models and datasets of the Hugging Face hub, by its public JSON interface. HF_ENDPOINT names another hub."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from evo.ideas.cache import DAY_S
from evo.ideas.references import Record
from evo.ideas.sources.base import Found, json_of, row_of
from evo.ideas.web import Query, Web


class HuggingFace:
    name = "huggingface"

    def __init__(self, web: Web) -> None:
        self._web = web
        self._base = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")

    def lookup(self, ids: Iterable[str]) -> dict[str, Record | None]:
        return {id: self._record(id) for id in sorted(set(ids))}

    def search(self, words: str, *, limit: int) -> list[Found]:
        asked = urlencode({"q": words, "limit": limit})
        rows = self._web.read(self._query(f"papers/search?{asked}", hold_s=DAY_S), _rows) or []
        found = [_paper(row.get("paper") or row) for row in rows if isinstance(row, dict)]
        return [paper for paper in found if paper is not None][:limit]

    def _record(self, id: str) -> Record | None:
        return self._web.read(self._query(id), _paper_record if id.startswith("papers/") else _repository_record)

    def _query(self, path: str, *, hold_s: float = 30 * DAY_S) -> Query:
        return Query("huggingface", f"{self._base}/api/{path}", hold_s)


def _rows(text: str) -> list[Any]:
    rows = json_of(text)
    if not isinstance(rows, list):
        raise ValueError("is no list of papers")
    return rows


def _paper_record(text: str) -> Record:
    paper = _paper(row_of(text))
    if paper is None:
        raise ValueError("is no paper")
    return Record(paper.title, paper.year, paper.code)


def _repository_record(text: str) -> Record:
    row = row_of(text)
    name = str(row.get("id") or row.get("modelId") or "")
    if not name:
        raise ValueError("is no repository")
    return Record(name, _year(row.get("createdAt")), f"https://huggingface.co/{name}")


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
