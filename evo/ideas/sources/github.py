"""Public repositories of GitHub, by its JSON interface. EVO_GITHUB_URL names another service that speaks it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from evo.ideas.references import Record
from evo.ideas.sources.base import Found, row_of
from evo.ideas.web import Query, Web


class GitHub:
    name = "github"

    def __init__(self, web: Web) -> None:
        self._web = web
        self._base = os.environ.get("EVO_GITHUB_URL", "https://api.github.com").rstrip("/")

    def lookup(self, ids: Iterable[str]) -> dict[str, Record | None]:
        return {id: self._record(id) for id in sorted(set(ids))}

    def search(self, words: str, *, limit: int) -> list[Found]:  # noqa: ARG002
        """None: repositories are found through the papers that name them."""
        return []

    def _record(self, id: str) -> Record | None:
        row = self._web.read(Query("github", f"{self._base}/repos/{id}"), _repository)
        if row is None:
            return None
        title = f"{row['full_name']}: {row.get('description') or ''}"
        created = str(row.get("created_at") or "")[:4]
        return Record(title, int(created) if created.isdigit() else 0, str(row.get("html_url") or ""))


def _repository(text: str) -> dict[str, Any]:
    row = row_of(text)
    if not row.get("full_name"):
        raise ValueError("is no repository")
    return row
