"""One way out: what the literature sources read over HTTP, with a cache and a pace.

Invariant: nothing is asked where the network is off; a service that did not answer is left alone for a while, by every
process of this workspace; only an answer of the service itself is kept; no key or token is ever sent.
The libraries for arXiv and the hub bound neither time nor pace (docs/decisions/0017-literature-by-plain-http.md).
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from evo.ideas.cache import DAY_S, Cache

AWAY_S = 300.0
"""How long a service that did not answer is not asked again."""
MOST_AWAY_S = 3600.0
PACES = {"arxiv": 3.0, "github": 1.0}
"""Seconds between two requests; arXiv's terms of use ask for three."""
MISSING = (400, 401, 404, 410)
"""Statuses that say that there is nothing at an address; 401 is what the hub says of a repository that it lacks."""


T = TypeVar("T")


class Unreachable(Exception):
    """A service could not be asked, or gave no answer that one can use. `is_news`: it was not known before."""

    def __init__(self, words: str, *, is_news: bool = True) -> None:
        super().__init__(words)
        self.is_news = is_news


class Query(NamedTuple):
    """`hold_s`: how long an answer holds; what is missing today may be there tomorrow. `is_foreign`: the address is
    somebody else's choice, and must be of the public internet."""

    service: str
    url: str
    hold_s: float = 30 * DAY_S
    is_foreign: bool = False


def is_allowed(network: str) -> bool:
    """`ideas.network: auto` stays off the network where HF_HUB_OFFLINE says so, as the hub's own tools do."""
    offline = os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "TRUE", "YES", "ON")
    return network != "off" and not offline


class Web:
    def __init__(self, cache: Cache, *, is_on: bool) -> None:
        self.is_on = is_on
        self._cache = cache

    def read(self, query: Query, parse: Callable[[str], T]) -> T | None:
        """What `parse` makes of the page, or None where the service says that there is none. Unreachable, also where
        `parse` raises ValueError: what stands there is not the service's, and its next answer may be."""
        known = self._cache.get(query.url)
        if isinstance(known, dict):
            with contextlib.suppress(ValueError):
                return parse(known["text"]) if known["is_there"] else None
        if not self.is_on:
            raise Unreachable("the network is off")
        place = (urlsplit(query.url).hostname or "") if query.is_foreign else query.service
        if away := self._cache.get(f"away {place}"):
            raise Unreachable(f"it did not answer a while ago: {away}", is_news=False)
        try:
            with self._turn(query.service):
                text = self._ask(query, place)
        except TimeoutError:
            raise Unreachable("others are asking it") from None
        try:
            found = None if text is None else parse(text)
        except ValueError as error:
            raise self._away(place, f"it answered with something that {error}") from None
        hold_s = query.hold_s if text is not None else min(query.hold_s, DAY_S)
        self._cache.put(query.url, {"is_there": text is not None, "text": text}, hold_s=hold_s)
        return found

    @contextlib.contextmanager
    def _turn(self, service: str) -> Iterator[None]:
        if service not in PACES:
            yield
            return
        with self._cache.paced(service, every_s=PACES[service]):
            yield

    def _ask(self, query: Query, place: str) -> str | None:
        fetching: Any = import_module("evo.ideas.fetching")
        try:
            answer = fetching.get(query.url, is_foreign=query.is_foreign)
        except fetching.Failed as error:
            raise self._away(place, str(error)) from None
        if answer.status in MISSING:
            return None
        if answer.status != 200:
            raise self._away(place, f"HTTP {answer.status}", wait=answer.wait)
        return str(answer.text)

    def _away(self, place: str, why: str, *, wait: str = "") -> Unreachable:
        """Remember that a service is not to be asked, for as long as it says itself, within reason."""
        asked_for = wait_s(wait)
        hold_s = AWAY_S if asked_for is None else min(max(asked_for, 1.0), MOST_AWAY_S)
        self._cache.put(f"away {place}", why, hold_s=hold_s)
        return Unreachable(why)


def wait_s(header: str) -> float | None:
    """Seconds of a Retry-After, which is a number of them or a date (RFC 9110, 10.2.3); None: it is neither."""
    text = header.strip()
    if re.fullmatch(r"\d{1,9}(?:\.\d+)?", text):
        return float(text)
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    return None
