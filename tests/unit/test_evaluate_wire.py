"""HTTP over a unix socket: what a service says is heard, also where it does not wait for all of the question."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evo.evaluate.server.wire import ServerLost, ask

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{"a": 1}'


@contextmanager
def service(folder: Path, answer: bytes) -> Iterator[str]:
    """One that reads the first line of one question, answers, and hangs up on the rest."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s.sock"))
        listening.listen()

        def serve() -> None:
            link, _ = listening.accept()
            with link:
                link.recv(16)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield "s.sock"
        thread.join(10)


def test_an_answer_counts_though_the_question_was_not_read_to_its_end(tmp_path: Path) -> None:
    with service(tmp_path, OK) as name:
        assert ask(tmp_path, name, "/reset", {"much": "x" * 4_000_000}) == {"a": 1}


def test_one_that_hangs_up_without_an_answer_is_lost(tmp_path: Path) -> None:
    with service(tmp_path, b"") as name, pytest.raises(ServerLost):
        ask(tmp_path, name, "/reset", {"much": "x" * 4_000_000})
