"""One request: whatever an address or an answer is, there is an answer or a Failed, in time, from where it may be."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from papers_stub import literature

from evo import registry
from evo.ideas import cache, fetching
from evo.ideas.bibliography import Bibliography
from evo.ideas.cache import Cache
from evo.ideas.sources.blog import Blog
from evo.ideas.sources.briefing import Candidate, once
from evo.ideas.web import Query, Unreachable, Web

PAGE = b"<title>inside</title>"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    here: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.asked, here.url = [], f"http://127.0.0.1:{here.server_port}"
    thread = threading.Thread(target=here.serve_forever, args=(0.01,))
    thread.start()
    yield here
    here.shutdown()
    thread.join()
    here.server_close()


@contextmanager
def dripping(first: bytes, then: bytes) -> Iterator[str]:
    """A server that sends a byte every 50 ms, and never ends."""
    over = threading.Event()

    def serve(door: socket.socket) -> None:
        with door.accept()[0] as guest:
            guest.recv(4096)
            try:
                guest.sendall(first)
                while not over.wait(0.05):
                    guest.sendall(then)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=serve, args=(door,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}/"
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(
    ("first", "then"),
    [(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"), (b"HTTP/1.1 200 OK\r\nX: ", b"y"), (b"", b"H")],
)
def test_a_server_that_drips_is_left_in_time(first: bytes, then: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the body, in a header, in the first line: each byte comes in time, and all of them do not."""
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.3)
    began = time.monotonic()
    with dripping(first, then) as url, pytest.raises(fetching.Failed, match=r"too long|timed out"):
        fetching.get(url, is_foreign=False)
    assert time.monotonic() - began < 1.5


def answering(hosts: dict[str, list[str]], asked: list[str]) -> Callable[..., Any]:
    """The system's resolver with a few names more; each question takes the next address of its name."""
    real = socket.getaddrinfo

    def resolve(host: str, port: int, **named: Any) -> Any:
        asked.append(host)
        left = hosts.get(host, [host])
        return real(left.pop(0) if len(left) > 1 else left[0], port, **named)

    return resolve


def test_a_name_that_changes_its_address_does_not_lead_inside(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked at is what is connected to: the name is asked once."""
    asked: list[str] = []
    monkeypatch.setattr(fetching, "is_public", lambda address: address == "127.0.0.9")
    monkeypatch.setattr(socket, "getaddrinfo", answering({"rebind.example": ["127.0.0.9", "127.0.0.1"]}, asked))
    with pytest.raises(fetching.Failed):
        fetching.get(f"http://rebind.example:{server.server_port}/x", is_foreign=True)
    assert (server.asked, asked) == ([], ["rebind.example"])


def test_no_way_leads_inside(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by a name, by one public address among others, nor from a public page on."""
    hosts = {"a.example": ["127.0.0.1"], "b.example": ["127.0.0.1"]}
    monkeypatch.setattr(socket, "getaddrinfo", answering(hosts, []))
    monkeypatch.setattr(fetching, "is_public", lambda address: len(server.asked) == 0 and address == "127.0.0.1")
    inside = f"http://b.example:{server.server_port}/x"
    with pytest.raises(fetching.Failed, match=r"b\.example is not on the public internet"):
        fetching.get(f"http://a.example:{server.server_port}/to?{inside}", is_foreign=True)
    assert len(server.asked) == 1
    for url in (server.url, "http://[::1]/", "http://localhost/", "http://0x7f.1/", "http://[::ffff:127.0.0.1]/"):
        with pytest.raises(fetching.Failed):
            fetching.get(url, is_foreign=True)
    assert fetching.get(f"{server.url}/to?file:///etc/passwd", is_foreign=False).status == 302


def test_a_proxy_may_be_inside_and_a_page_behind_it_may_not(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setattr(
        socket, "getaddrinfo", answering({"pages.example": ["8.8.8.8"], "in.example": ["10.0.0.1"]}, [])
    )
    assert fetching.get("http://pages.example/x", is_foreign=True).text == PAGE.decode()
    assert server.asked == ["http://pages.example/x"]
    with pytest.raises(fetching.Failed, match="public internet"):
        fetching.get("http://in.example/x", is_foreign=True)


@pytest.mark.parametrize(
    "url",
    ["https://[bad/", "http://127.0.0.1:99999/x", "http://127.0.0.1:x/", "http://a..b/", f"http://{'a' * 70}/",
     "http://\u2100/", "http://a b/\n", "gopher://a/", "http:///x", "", "http://\udc80/"],
)  # fmt: skip
@pytest.mark.parametrize("is_foreign", [False, True])
def test_an_address_that_is_none_is_a_failure(url: str, is_foreign: bool) -> None:
    with pytest.raises(fetching.Failed):
        fetching.get(url, is_foreign=is_foreign)


def test_an_address_in_another_script_is_asked_as_it_is_sent(server: Any) -> None:
    assert fetching.get(f"{server.url}/owner/na\u00efve?q=\u00e4&p=%20", is_foreign=False).status == 200
    assert server.asked == ["/owner/na%C3%AFve?q=%C3%A4&p=%20"]


def test_a_night_goes_on_past_an_address_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One such address of a web search is enough; the others are judged, and it is told what is wrong."""
    with literature() as here:
        for name, value in here.environment.items():
            monkeypatch.setenv(name, value)
        found = shelf(tmp_path)
        urls = ["https://github.com/owner/na\u00efve", "https://[bad/", "https://github.com/huggingface/trl"]
        answers = found.answers([*urls, "https://a..b/"])
    assert (answers[urls[0]], answers[urls[1]]) == (None, None)
    assert answers[urls[2]] is not None
    assert len(answers) == 3
    assert len(found.warnings) == 1
    assert [one.url for one in once([Candidate(url, "t", "n") for url in urls])] == [urls[0], urls[2]]


def shelf(folder: Path) -> Bibliography:
    load = partial(registry.load, "literature")
    return Bibliography(Web(Cache(folder), is_on=True), registry.names("literature"), load)


def test_a_turn_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LONGEST_TURN_S", 0.1)
    with FileLock(tmp_path / "arxiv.lock"), pytest.raises(Unreachable, match="others are asking"):
        Web(Cache(tmp_path), is_on=True).read(Query("arxiv", "http://127.0.0.1:9/"), str)


def test_a_page_may_be_anything(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four megabytes of tags the first title is taken, at once, and no more of it than a title needs."""
    monkeypatch.setattr(fetching, "is_public", lambda _: True)
    pages = {
        b"<title" * 600_000: None,
        b"<title>" * 500_000: None,
        b"<TITLE x='1'>A &amp;\n B</TITLE>" + b"<title>" * 9: "A & B",
        b"<title>" + b"x" * 900 + b"</title>": "x" * 500,
    }
    for n, (page, title) in enumerate(pages.items()):
        monkeypatch.setattr(f"{__name__}.PAGE", page)
        began = time.process_time()
        found = Blog(Web(Cache(tmp_path), is_on=True)).lookup([f"{server.url}/{n}"])
        assert [record.title if record else None for record in found.values()] == [title]
        assert time.process_time() - began < 1
