"""One way out: what the literature sources read over HTTP, with a cache, a pace, a limit on time and on size.

Invariant: nothing is asked where the network is off; a service that did not answer is left alone for a while, by every
process of this workspace; no key or token is ever sent. An address that somebody else chose is asked only if it is of
the public internet.
The libraries for arXiv and the hub bound neither (docs/decisions/0017-literature-by-plain-http.md).
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from evo.ideas.cache import DAY_S, Cache

TIMEOUT_S = 10.0
MOST_BYTES = 4 << 20
AWAY_S = 300.0
"""How long a service that did not answer is not asked again."""
MOST_AWAY_S = 3600.0
PACES = {"arxiv": 3.0, "github": 1.0}
"""Seconds between two requests; arXiv's terms of use ask for three."""
MISSING = (400, 401, 404, 410)
"""Statuses that say that there is nothing at an address; 401 is what the hub says of a repository that it lacks."""


class Unreachable(Exception):
    """A service could not be asked, or gave no answer that one can use."""


class Query(NamedTuple):
    """`hold_s`: how long an answer holds; what is missing today may be there tomorrow. `is_foreign`: the address is
    somebody else's choice."""

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

    def text(self, query: Query) -> str | None:
        """The page, or None where the service says that there is none. Unreachable."""
        known = self._cache.get(query.url)
        if known is not None:
            return str(known["text"]) if known["is_there"] else None
        if not self.is_on:
            raise Unreachable("the network is off")
        place = query.service if not query.is_foreign else _host(query.url)
        if away := self._cache.get(f"away {place}"):
            raise Unreachable(f"{place} did not answer a while ago: {away}")
        if query.is_foreign:
            refuse_private(query.url)
        with self._turn(query.service):
            found = self._ask(query, place)
        self._cache.put(
            query.url,
            {"is_there": found is not None, "text": found},
            hold_s=query.hold_s if found is not None else min(query.hold_s, DAY_S),
        )
        return found

    def json(self, query: Query) -> Any:
        """The decoded page, or None. Unreachable, also where it is no JSON."""
        text = self.text(query)
        if text is None:
            return None
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            raise Unreachable(f"{query.service} answered with something that is no JSON") from None

    @contextlib.contextmanager
    def _turn(self, service: str) -> Iterator[None]:
        if service not in PACES:
            yield
            return
        with self._cache.paced(service, every_s=PACES[service]):
            yield

    def _ask(self, query: Query, place: str) -> str | None:
        request = urllib.request.Request(query.url, headers={"User-Agent": _agent(), "Accept": "*/*"})
        try:
            with _opener(query.is_foreign).open(request, timeout=TIMEOUT_S) as reply:
                data = reply.read(MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in MISSING:
                    return None
                raise self._away(place, f"HTTP {error.code}", wait=error.headers.get("Retry-After")) from None
        except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, OSError) as error:
            raise self._away(place, str(getattr(error, "reason", "") or error or type(error).__name__)) from None
        if len(data) > MOST_BYTES:
            raise Unreachable(f"{place} answered with more than {MOST_BYTES >> 20} MB")
        return data.decode("utf-8", errors="replace")

    def _away(self, place: str, why: str, *, wait: str | None = None) -> Unreachable:
        """Remember that a service is not to be asked, for as long as it says itself, within reason."""
        asked_for = float(wait) if wait and wait.strip().isdigit() else AWAY_S
        self._cache.put(f"away {place}", why, hold_s=min(max(asked_for, 1.0), MOST_AWAY_S))
        return Unreachable(f"{place}: {why}")


def _agent() -> str:
    try:
        return f"evo-tree/{version('evo-tree')} (experiment manager; literature lookup)"
    except PackageNotFoundError:
        return "evo-tree (experiment manager; literature lookup)"


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).hostname or ""


def refuse_private(url: str) -> None:
    """Unreachable where a web address is none, or leads into this machine or its own network."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unreachable(f"{url[:80]!r} is no address of a page")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"{parts.hostname}: {error}") from None
    if not all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_global for entry in found):
        raise Unreachable(f"{parts.hostname} is not on the public internet")


class _Guarded(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        refuse_private(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(is_foreign: bool) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(*([_Guarded()] if is_foreign else []))
