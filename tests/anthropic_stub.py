"""The Messages API on loopback: web search and structured output as JSON, and every way that it can go wrong.

`script`: what the next requests get, in order: a (status, headers, body), a word for what is no answer, or `GOOD`; when
it is empty, a good answer. `asked`: the bodies of all requests.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from papers_stub import DPO, PAPERS, literature

KEY = "sk-ant-loopback-0123456789"
USED = {"input_tokens": 900, "output_tokens": 120}
PAGES = [(f"https://arxiv.org/abs/{DPO}", f"[{DPO}] {PAPERS[DPO][0]} | arXiv")]
Reply = tuple[int, dict[str, str], Any]
GOOD = "good"
SILENCES = {"silence": 1.2, "a long silence": 60.0}


class Anthropic(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Reply | str] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.pages = list(PAGES)
        self.proposals: list[dict[str, Any]] = [proposal()]

    @property
    def environment(self) -> dict[str, str]:
        return {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{self.server_port}", "ANTHROPIC_API_KEY": KEY}

    def answer(self, request: dict[str, Any]) -> Reply:
        """What a request gets that nothing was said about."""
        if "format" in request.get("output_config", {}):
            return 200, {}, message([text(json.dumps({"proposals": self.proposals}))], "end_turn")
        return 200, {}, message([*self.searched(), text("Preference pairs help.")], "end_turn", searches=1)

    def searched(self) -> list[dict[str, Any]]:
        results = [
            {"type": "web_search_result", "url": url, "title": title, "encrypted_content": "eA==", "page_age": None}
            for url, title in self.pages
        ]
        return [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": results},
        ]


def proposal(**more: Any) -> dict[str, Any]:
    return {
        "title": "a firmer beta", "hypothesis": "a larger beta drifts less", "recipe": "dpo",
        "settings": [{"name": "beta", "value": "0.3"}], "parent": "", "gain": 0.02, "low": -0.01, "high": 0.05,
        "risks": "none", "refuted_by": "no gain", "rationale": "seen elsewhere", "references": [], **more,
    }  # fmt: skip


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words, "citations": None}


def message(content: list[dict[str, Any]], stop: str, *, searches: int = 0) -> dict[str, Any]:
    used = {**USED, "server_tool_use": {"web_search_requests": searches, "web_fetch_requests": 0}}
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5", "content": content,
        "stop_reason": stop, "stop_sequence": None, "usage": used,
    }  # fmt: skip


def fault(kind: str, words: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"}


LIMITED: Reply = (429, {"retry-after": "0.05"}, fault("rate_limit_error", "too many requests"))
LIMITED_LONG: Reply = (429, {"retry-after": "3600"}, fault("rate_limit_error", "too many requests"))
OVERLOADED: Reply = (529, {"retry-after": "0.05"}, fault("overloaded_error", "overloaded"))
DENIED: Reply = (401, {}, fault("authentication_error", f"invalid x-api-key {KEY}"))
REFUSED: Reply = (200, {}, message([], "refusal"))
CUT: Reply = (200, {}, message([text('{"proposals": [{"title": "a fir')], "max_tokens"))
FULL: Reply = (200, {}, message([text('{"proposals": [')], "model_context_window_exceeded"))
BROKEN: Reply = (200, {}, message([text('{"proposals": [{"title": ]')], "end_turn"))
FOREIGN: Reply = (200, {}, message([text('{"ideas": []}')], "end_turn"))
PAUSED: Reply = (200, {}, message([text("I am still looking.")], "pause_turn", searches=1))


class _Handler(BaseHTTPRequestHandler):
    server: Anthropic

    def log_message(self, *words: object) -> None:
        pass

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        here = self.server
        here.asked.append(request)
        here.keys.append(self.headers.get("x-api-key") or self.headers.get("Authorization", ""))
        said = here.script.pop(0) if here.script else GOOD
        said = here.answer(request) if said == GOOD else said
        if isinstance(said, str) and said in SILENCES:
            time.sleep(SILENCES[said])
            return
        if said == "drops":
            self._drip(4)
            return
        if said == "hang up":
            self.connection.close()
            return
        if said == "no JSON":
            self._send(200, {}, "<html>a proxy's page</html>", kind="text/html")
            return
        if said == "half a body":
            self._send(200, {}, '{"id": "msg_1", "type": "mess')
            return
        if problem := _illegal(request):
            said = 400, {}, fault("invalid_request_error", problem)
        assert not isinstance(said, str), said
        self._send(said[0], said[1], json.dumps(said[2]))

    def _drip(self, seconds: float) -> None:
        """A byte now and then, each long before any read is given up."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "9999")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(int(seconds / 0.1)):
                self.wfile.write(b" ")
                time.sleep(0.1)

    def _send(self, status: int, headers: dict[str, str], body: str, *, kind: str = "application/json") -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _illegal(request: dict[str, Any]) -> str:
    """What the service refuses: an object in the schema that is open, sampling parameters, a forced tool, and citing
    tools beside a structured answer."""
    wanted = request.get("output_config", {}).get("format")
    if request.get("temperature") is not None or request.get("tool_choice", {}).get("type") in ("any", "tool"):
        return "this model takes no temperature and no forced tool"
    if wanted and request.get("tools"):
        return "citations cannot be combined with structured output"
    if wanted and '"additionalProperties": false' not in json.dumps(wanted):
        return "additionalProperties must be false"
    return "" if request.get("max_tokens", 0) > 0 else "max_tokens is required"


@contextlib.contextmanager
def anthropic_api() -> Iterator[Anthropic]:
    with Anthropic() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def all_services(monkeypatch: pytest.MonkeyPatch) -> Iterator[Anthropic]:
    """The model and the libraries, as the environment names them; nobody is made to wait between two requests."""
    monkeypatch.setattr("evo.ideas.web.PACES", {})
    with literature() as papers, anthropic_api() as server:
        for name, value in {**papers.environment, **server.environment}.items():
            monkeypatch.setenv(name, value)
        yield server
