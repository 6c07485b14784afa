"""HTTP to a service that listens on a unix socket, by the standard library.

A socket in a folder of mode 0700, and no port: nothing else on the machine can ask the server, or swap its weights.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from evo.errors import EvoError

LIMIT_S = 3600.0
"""Of one request. A server that hangs is ended by its keeper long before."""


class ServerLost(Exception):
    """The start of the server that was talked to does not answer any more."""


class ServerRefused(EvoError):
    """The server understood and said no: `status` and its own words."""

    code = "server_refused"

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"the inference server answered {status}: {words}")
        self.status = status
        self.words = words


def ask(folder: Path, name: str, path: str, payload: object = None) -> Any:
    """What the service on the socket `name` in `folder` answers, from JSON; None where it says nothing.

    A `payload` is posted as JSON. ServerLost where it does not answer or breaks off, ServerRefused for a status of 400
    and above.
    """
    link = _UnixConnection(folder, name)
    try:
        body = None if payload is None else json.dumps(payload, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Connection": "close"}
        with suppress(BrokenPipeError):  # who needs no body may have answered, and closed, before it came
            link.request("GET" if body is None else "POST", path, body, headers)
        answer = link.getresponse()
        text = answer.read().decode("utf-8", errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise ServerLost(f"{type(error).__name__}: {error}") from None
    finally:
        link.close()
    if answer.status >= 400:
        raise ServerRefused(answer.status, _words(text))
    try:
        return json.loads(text) if text.strip() else None
    except ValueError:
        return None


def is_healthy(folder: Path, name: str) -> bool:
    try:
        ask(folder, name, "/health")
    except (ServerLost, ServerRefused):
        return False
    return True


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, folder: Path, name: str) -> None:
        super().__init__("evo", timeout=LIMIT_S)
        self._folder, self._name = folder, name

    def connect(self) -> None:
        place = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(LIMIT_S)
            self.sock.connect(f"/proc/self/fd/{place}/{self._name}")  # a socket's path may have 107 bytes only
        finally:
            os.close(place)


def _words(text: str) -> str:
    """What an error answer says, on one line."""
    try:
        error = json.loads(text)["error"]
        said = str(error["message"]) if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError):
        said = text
    return " ".join(said.split())[:300]
