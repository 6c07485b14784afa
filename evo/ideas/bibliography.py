"""The literature sources as one: references resolved at their own service, and papers on a subject from all of them.

Invariant: a service that cannot be asked costs its own answers and a warning, never those of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from evo.domain.idea import Idea
from evo.ideas.references import Record, identify, settled, words
from evo.ideas.sources.base import Found, Literature
from evo.ideas.web import Unreachable, Web


class Bibliography:
    """`names` of the services, made by `load` when first asked. `warnings`: what could not be asked, each once."""

    def __init__(self, web: Web, names: Sequence[str], load: Callable[[str], Callable[[Web], Literature]]) -> None:
        self.is_on = web.is_on
        self.warnings: list[str] = []
        self._web, self._names, self._load = web, names, load
        self._made: dict[str, Literature] = {}

    def _source(self, name: str) -> Literature:
        if name not in self._made:
            self._made[name] = self._load(name)(self._web)
        return self._made[name]

    def resolved(self, ideas: list[Idea]) -> list[Idea]:
        """The ideas with every reference judged whose service answered."""
        urls = {one.url for idea in ideas for one in idea.references if one.status == "unresolved"}
        answers = self.answers(urls)
        return [settled(idea, answers) for idea in ideas]

    def answers(self, urls: Iterable[str]) -> dict[str, Record | None]:
        """By address: what stands there; None: nothing. Without those whose service could not be asked."""
        by_service: dict[str, dict[str, list[str]]] = {}
        found: dict[str, Record | None] = {}
        for url in urls:
            target = identify(url)
            if target is None:
                found[url] = None
            else:
                by_service.setdefault(target.service, {}).setdefault(target.id, []).append(url)
        for service, ids in by_service.items():
            if service not in self._names:
                continue
            records = self._lookup(service, list(ids))
            found.update({url: records[id] for id, here in ids.items() if id in records for url in here})
        return found

    def _lookup(self, service: str, ids: list[str]) -> dict[str, Record | None]:
        """All ids at once, so that arXiv is asked once; where that fails for a service of single pages, one by one."""
        found: dict[str, Record | None] = {}
        for part in [ids] if service == "arxiv" else [[id] for id in ids]:
            try:
                found.update(self._source(service).lookup(part))
            except Unreachable as error:
                self._warn(f"references at {service} are not checked: {error}")
        return found

    def search(self, subject: str, *, limit: int = 8, is_all: bool = False) -> list[Found]:
        """Papers on a subject, newest first, each once; of one that two services have, the one that knows its code.
        `is_all`: the answer is what was asked for, and a service that is away is told each time."""
        found: dict[tuple[str, ...], Found] = {}
        for name in self._names:
            try:
                for paper in self._source(name).search(subject, limit=limit):
                    key = tuple(words(paper.title))
                    if key not in found or (paper.code and not found[key].code):
                        found[key] = paper
            except Unreachable as error:
                if is_all or error.is_news:  # what is only looked through for more is not missed twice
                    self._warn(f"{name} was not searched: {error}")
        return sorted(found.values(), key=lambda paper: -paper.year)[: 2 * limit]

    def _warn(self, text: str) -> None:
        if text not in self.warnings and self.is_on:
            self.warnings.append(text)
