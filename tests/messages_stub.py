"""A loopback stand-in for the streaming Messages API: it answers the requests of an agent from a list of turns.

Requests of the main agent are those with tools; side requests (titles, summaries) are answered "ok". What was asked is
kept, so that a test sees what reached the model: the injected brief, the results of tools.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Turn = str | tuple[str, dict[str, Any]]
"""Text, which ends the agent's work, or a tool and its input."""


@dataclass
class Script:
    turns: list[Turn]
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Requests of the main agent, in order."""

    def next(self, body: dict[str, Any]) -> Turn:
        if not any(tool.get("name") == "Bash" for tool in body.get("tools", [])):
            return "ok"
        self.asked.append(body)
        done = len(self.asked) - 1
        return self.turns[done] if done < len(self.turns) else "done"

    def results(self) -> list[str]:
        """What each tool has answered, in order."""
        last = self.asked[-1]["messages"]
        parts = [part for message in last if isinstance(message["content"], list) for part in message["content"]]
        return [json.dumps(part["content"]) for part in parts if part["type"] == "tool_result"]

    def said(self) -> str:
        """All that the model was told in the last request."""
        return json.dumps([self.asked[-1].get("system"), self.asked[-1]["messages"]], ensure_ascii=False)

    def tools(self) -> set[str]:
        return {tool["name"] for tool in self.asked[-1]["tools"]}


def events(turn: Turn, n: int) -> Iterator[dict[str, Any]]:
    """One assistant message as the API streams it."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    start = {"id": f"msg_{n}", "type": "message", "role": "assistant", "model": "stub", "content": []}
    yield {"type": "message_start", "message": start | {"stop_reason": None, "stop_sequence": None, "usage": usage}}
    if isinstance(turn, str):
        block: dict[str, Any] = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": turn}
    else:
        block = {"type": "tool_use", "id": f"toolu_{n}", "name": turn[0], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(turn[1])}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    reason = "end_turn" if isinstance(turn, str) else "tool_use"
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}
    yield {"type": "message_stop"}


@contextlib.contextmanager
def serving(script: Script) -> Iterator[str]:
    """The base address, while it is served."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if not self.path.startswith("/v1/messages") or "count_tokens" in self.path:
                self._send("application/json", json.dumps({"input_tokens": 1}))
                return
            stream = list(events(script.next(body), len(script.asked)))
            lines = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in stream)
            self._send("text/event-stream", lines)

        def do_HEAD(self) -> None:
            self._send("text/plain", "")

        def do_GET(self) -> None:
            self._send("application/json", "{}")

        def _send(self, kind: str, text: str) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
