"""The public literature on loopback: arXiv's Atom feed, the hub's papers and models as JSON, GitHub's repositories.

`papers`: arXiv number -> (title, abstract, year). `asked`: every path, in order, and when. `broken`: a status for every
answer, with its headers; or `silence`, `hang up`, `half a body`, or any other text as the page. An id that arXiv cannot
read costs the whole query, as there, with the status `refuses`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

DPO = "2305.18290"
PAPERS = {
    DPO: (
        "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
        "Preferences, fitted.",
        2023,
    ),
    "2402.01306": ("KTO: Model Alignment as Prospect Theoretic Optimization", "Thumbs up and down.", 2024),
}


_REFUSED = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom"><entry>'
    "<id>http://arxiv.org/api/errors#incorrect_id_format</id><title>Error</title>"
    "<summary>incorrect id format</summary></entry></feed>"
)


class Literature(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.papers = dict(PAPERS)
        self.repositories = {"huggingface/trl": "Train transformer language models with reinforcement learning."}
        self.refuses = 400
        self.asked: list[str] = []
        self.when: list[float] = []
        self.broken: tuple[int, dict[str, str]] | str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What sends evo here instead of to the internet."""
        return {
            "EVO_ARXIV_URL": f"{self.url}/arxiv/query",
            "HF_ENDPOINT": self.url,
            "EVO_GITHUB_URL": f"{self.url}/github",
            "HF_HUB_OFFLINE": "0",
        }

    def about(self, words: str) -> list[str]:
        """Papers that have one of the words in their title or abstract."""
        wanted = words.lower().split()
        return [
            id for id, paper in self.papers.items() if any(word in " ".join(map(str, paper)).lower() for word in wanted)
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Literature

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        here, parts = self.server, urlsplit(self.path)
        here.asked.append(self.path)
        here.when.append(time.monotonic())
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if isinstance(here.broken, str):
            self._misbehave(here.broken)
        elif here.broken is not None:
            self._send("text/plain", "away", here.broken[0], here.broken[1])
        elif parts.path == "/arxiv/query" and "99999" in asked.get("id_list", ""):
            self._send("application/atom+xml", _REFUSED, here.refuses)
        elif parts.path == "/arxiv/query":
            self._send("application/atom+xml", self._feed(asked))
        elif parts.path == "/api/papers/search":
            rows = [{"paper": self._paper(id), "title": here.papers[id][0]} for id in here.about(asked["q"])]
            self._json(rows[: int(asked["limit"])])
        elif parts.path.startswith("/api/papers/"):
            id = parts.path.removeprefix("/api/papers/")
            self._json(self._paper(id) if id in here.papers else None)
        elif parts.path.startswith("/github/repos/"):
            self._json(self._repository(parts.path.removeprefix("/github/repos/")))
        elif parts.path == "/page":
            self._send("text/html", "<html><head><title>LoRA Without Regret &amp; more - A Lab</title></head></html>")
        else:
            self._json(None)

    def _misbehave(self, how: str) -> None:
        if how == "silence":
            time.sleep(0.6)
        elif how == "half a body":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'<feed xmlns="http://www')
            self.connection.close()
        elif how == "hang up":
            self.connection.close()
        else:
            self._send("text/html", how)

    def _feed(self, asked: dict[str, str]) -> str:
        here = self.server
        if "id_list" in asked:
            ids = [id for id in asked["id_list"].split(",") if id in here.papers]
        else:
            ids = here.about(asked["search_query"].replace("all:", "").replace(" AND ", " "))
        entries = "".join(
            f"<entry><id>http://arxiv.org/abs/{id}v2</id><title>{escape(here.papers[id][0])}</title>"
            f"<summary>{escape(here.papers[id][1])}</summary><published>{here.papers[id][2]}-05-29T17:57:46Z</published>"
            f"<updated>{here.papers[id][2]}-05-29T17:57:46Z</updated><author><name>A. Author</name></author></entry>"
            for id in ids[: int(asked["max_results"])]
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom" '
            'xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"><title>ArXiv Query</title>'
            f"<opensearch:totalResults>{len(ids)}</opensearch:totalResults>{entries}</feed>"
        )

    def _paper(self, id: str) -> dict[str, Any]:
        title, summary, year = self.server.papers[id]
        code = {"githubRepo": "https://github.com/eric-mitchell/direct-preference-optimization"} if id == DPO else {}
        return {"id": id, "title": title, "summary": summary, "publishedAt": f"{year}-05-29T17:57:46.000Z", **code}

    def _repository(self, name: str) -> dict[str, Any] | None:
        if name not in self.server.repositories:
            return None
        return {
            "full_name": name, "description": self.server.repositories[name],
            "created_at": "2020-03-27T10:54:55Z", "html_url": f"https://github.com/{name}",
        }  # fmt: skip

    def _json(self, found: Any) -> None:
        text = json.dumps(found if found is not None else {"error": "Not found"})
        self._send("application/json", text, 200 if found is not None else 404)

    def _send(self, kind: str, text: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def literature() -> Iterator[Literature]:
    with Literature() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
