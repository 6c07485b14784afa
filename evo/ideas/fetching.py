"""One HTTP request, limited in time and size. Loaded when something is really asked: TLS alone takes 30 ms.

Invariant: an address that is somebody else's choice is asked only where it, and all that it redirects to, is of the
public internet: the addresses that a name has are looked at, and one of those is connected to. Whatever is wrong with
an address or an answer is Failed, by TIMEOUT_S at the latest.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import queue
import socket
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

TIMEOUT_S = 10.0
MOST_BYTES = 4 << 20
_KEPT = "/%:=&?~#+!$,;'@()*[]|"


class Failed(Exception):
    """No answer that one can use; the words say why."""


class Answer(NamedTuple):
    """`wait` is what the service says of when to ask again, as it stands in its header."""

    status: int
    text: str
    wait: str


def get(url: str, *, is_foreign: bool) -> Answer:
    """What stands at `url`, whatever its status. Failed."""
    way = _Way(time.monotonic() + TIMEOUT_S, is_foreign)
    opener = urllib.request.build_opener(_Http(way), _Https(way), _Redirects())
    try:
        request = urllib.request.Request(_page(url), headers={"User-Agent": _agent(), "Accept": "*/*"})
        with opener.open(request, timeout=TIMEOUT_S) as reply:
            data = reply.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, "", error.headers.get("Retry-After") or "")
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: an address that is none
        raise Failed(str(getattr(error, "reason", "") or error or type(error).__name__)) from None
    if len(data) > MOST_BYTES:
        raise Failed(f"more than {MOST_BYTES >> 20} MB")
    return Answer(200, data.decode("utf-8", errors="replace"), "")


def _page(url: str) -> str:
    """A web address in ASCII, as it is sent. ValueError, Failed."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failed(f"{url[:80]!r} is no address of a page")
    if url.isascii() and " " not in url:
        return url
    host = parts.hostname.encode("idna").decode() + (f":{parts.port}" if parts.port else "")
    return urlunsplit((parts.scheme, host, quote(parts.path, safe=_KEPT), quote(parts.query, safe=_KEPT), ""))


class _Way(NamedTuple):
    """`until`, on the monotonic clock, all has to be over; with `is_foreign` nothing private is connected to."""

    until: float
    is_foreign: bool

    def left_s(self) -> float:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("it took too long")
        return left

    def addresses(self, host: str, port: int) -> list[Any]:
        """Of a name, asked in a thread, since nothing else limits its time. OSError, Failed."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except (OSError, ValueError) as error:
                answers.put(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            found = answers.get(timeout=self.left_s())
        except queue.Empty:
            raise TimeoutError(f"{host}: its name took too long") from None
        if isinstance(found, Exception):
            raise Failed(f"{host}: {found}")
        if self.is_foreign and not all(is_public(str(entry[4][0])) for entry in found):
            raise Failed(f"{host} is not on the public internet")
        return list(found)

    def connected(self, where: tuple[str, int], *_: object) -> socket.socket:
        """To one of the addresses that were looked at. OSError, Failed."""
        error = OSError(f"{where[0]} has no address")
        for family, kind, protocol, _name, address in self.addresses(*where):
            door = socket.socket(family, kind, protocol)
            try:
                door.settimeout(self.left_s())
                door.connect(address)
            except OSError as refused:
                door.close()
                error = refused
            else:
                return door
        raise error


def is_public(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_global


class _Timed(io.RawIOBase):
    """What comes in over a socket, each part within what is left of the time."""

    def __init__(self, door: socket.socket, way: _Way) -> None:
        self._door, self._way = door, way
        self._raw = door.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._door.settimeout(self._way.left_s())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, way: _Way, sock: socket.socket, *more: Any, **named: Any) -> None:
        super().__init__(sock, *more, **named)
        self.fp.close()
        self.fp = io.BufferedReader(_Timed(sock, way))


def _opened(kind: Any, request: urllib.request.Request, way: _Way, host: str, **named: Any) -> Any:
    """A connection as `urllib` wants it, that connects and reads in the given way. To a proxy, whose address is the
    person's own choice, any way may lead; the page behind it is looked up here before."""
    page = urlsplit(request.full_url)
    if way.is_foreign and request.host != page.netloc:
        way.addresses(str(page.hostname), page.port or 443)
        way = way._replace(is_foreign=False)
    connection = kind(host, **named)
    connection._create_connection = way.connected  # the one place where http.client makes its socket
    connection.response_class = partial(_Response, way)
    return connection


class _Http(urllib.request.HTTPHandler):
    def __init__(self, way: _Way) -> None:
        super().__init__()
        self._way = way

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_opened, http.client.HTTPConnection, req, self._way), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, way: _Way) -> None:
        super().__init__()
        self._way = way

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_opened, http.client.HTTPSConnection, req, self._way), req)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        return super().redirect_request(req, fp, code, msg, headers, _page(newurl))


def _agent() -> str:
    try:
        return f"evo-tree/{version('evo-tree')} (experiment manager; literature lookup)"
    except PackageNotFoundError:
        return "evo-tree (experiment manager; literature lookup)"
