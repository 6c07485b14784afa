"""A loopback stand-in for the streaming Responses API: it answers the requests of an agent from a list of turns.

What was asked is kept, so that a test sees what reached the model: the injected brief, the results of tools.
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
"""Text, which ends the agent's work, or a function and its arguments."""


@dataclass
class Script:
    turns: list[Turn]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def next(self, body: dict[str, Any]) -> Turn:
        self.asked.append(body)
        done = len(self.asked) - 1
        return self.turns[done] if done < len(self.turns) else "done"

    def results(self) -> list[str]:
        """What each function has answered, in order."""
        return [str(item["output"]) for item in self.asked[-1]["input"] if item["type"] == "function_call_output"]

    def said(self) -> str:
        """All that the model was told in the last request."""
        return json.dumps(self.asked[-1]["input"], ensure_ascii=False)

    def tools(self) -> set[str]:
        return {tool.get("name", tool["type"]) for tool in self.asked[-1]["tools"]}


def events(turn: Turn, n: int) -> Iterator[dict[str, Any]]:
    """One response as the API streams it."""
    if isinstance(turn, str):
        text = {"type": "output_text", "text": turn}
        item: dict[str, Any] = {"type": "message", "role": "assistant", "id": f"msg_{n}", "content": [text]}
    else:
        name, arguments = turn
        item = {"type": "function_call", "id": f"fc_{n}", "call_id": f"call_{n}", "name": name}
        item |= {"arguments": json.dumps(arguments)}
    yield {"type": "response.created", "response": {"id": f"resp_{n}"}}
    yield {"type": "response.output_item.done", "item": item}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    yield {"type": "response.completed", "response": {"id": f"resp_{n}", "usage": usage}}


@contextlib.contextmanager
def serving(script: Script) -> Iterator[str]:
    """The base address, while it is served."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            stream = list(events(script.next(body), len(script.asked)))
            lines = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in stream)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(lines.encode())))
            self.end_headers()
            self.wfile.write(lines.encode())

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
