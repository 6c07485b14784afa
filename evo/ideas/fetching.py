"""One HTTP request, limited in time and size. Loaded when something is really asked: TLS alone takes 30 ms.

Invariant: an address that is somebody else's choice is asked only where it, and all that it redirects to, is of the
public internet.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import urllib.error
import urllib.parse
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

TIMEOUT_S = 10.0
MOST_BYTES = 4 << 20


class Failed(Exception):
    """No answer that one can use; the words say why."""


class Answer(NamedTuple):
    """`wait` is what the service says of when to ask again, as it stands in its header."""

    status: int
    text: str
    wait: str


def get(url: str, *, is_foreign: bool) -> Answer:
    """What stands at `url`, whatever its status. Failed."""
    request = urllib.request.Request(url, headers={"User-Agent": _agent(), "Accept": "*/*"})
    if is_foreign:
        refuse_private(url)
    opener = urllib.request.build_opener(*([_Guarded()] if is_foreign else []))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as reply:
            data = reply.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, "", error.headers.get("Retry-After") or "")
    except (OSError, http.client.HTTPException) as error:
        raise Failed(str(getattr(error, "reason", "") or error or type(error).__name__)) from None
    if len(data) > MOST_BYTES:
        raise Failed(f"more than {MOST_BYTES >> 20} MB")
    return Answer(200, data.decode("utf-8", errors="replace"), "")


def refuse_private(url: str) -> None:
    """Failed where a web address is none, or leads into this machine or its own network."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failed(f"{url[:80]!r} is no address of a page")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Failed(f"{parts.hostname}: {error}") from None
    if not all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_global for entry in found):
        raise Failed(f"{parts.hostname} is not on the public internet")


class _Guarded(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        refuse_private(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _agent() -> str:
    try:
        return f"evo-tree/{version('evo-tree')} (experiment manager; literature lookup)"
    except PackageNotFoundError:
        return "evo-tree (experiment manager; literature lookup)"
