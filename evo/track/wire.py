"""The line to a tracker's process: one JSON command a line down its standard input, one `ok` a line back.

    {"do": "begin", "page": {…}}    {"do": "log", "run": ID, "points": […]}    {"do": "table", "run": ID, "table": {…}}
    {"do": "picture", "run": ID, "name": …, "svg": …}    {"do": "finish", "run": ID, "summary": {…}, "artifact": {…}}

Invariant: no call waits longer than its limit, whatever the process at the other end does.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from evo.track.base import Artifact, Page, Point, Table, Tracker, TrackerDown
from evo.validation import plain, restore

LIMITS_S = {"begin": 60.0, "finish": 150.0}
"""By command; the others have `OTHERWISE_S`. A library that waits for a server has its own, shorter limits."""
OTHERWISE_S = 60.0
CLOSE_S = 20.0


class Endpoint(Protocol):
    """What carries commands to a tracker."""

    def ask(self, do: str, **arguments: Any) -> None:
        """Have one command carried out. TrackerDown: it was not, and the line is of no use any more."""


class Line:
    """A tracker's process and the way to it."""

    def __init__(self, name: str, mode: str, folder: Path, *, environ: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "evo.track", name, mode, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                cwd=folder,
                env=dict(environ),
                start_new_session=True,
                bufsize=0,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._down, self._up = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._down, False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, do: str, **arguments: Any) -> None:
        deadline = time.monotonic() + LIMITS_S.get(do, OTHERWISE_S)
        text = json.dumps({"do": do} | {name: plain(value) for name, value in arguments.items()}, allow_nan=False)
        try:
            self._write(text.encode() + b"\n", deadline)
            self._await_answer(deadline)
        except (BrokenPipeError, EOFError):
            raise TrackerDown("its process ended") from None
        except TimeoutError:
            raise TrackerDown(f"no answer to {do!r} within {LIMITS_S.get(do, OTHERWISE_S):g} s") from None

    def close(self) -> None:
        """Let it end by itself, then make sure of it."""
        with contextlib.suppress(OSError):
            self._close_input()
        try:
            self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process and those of its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(OSError):
            self._close_input()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _close_input(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _write(self, content: bytes, deadline: float) -> None:
        view = memoryview(content)
        while view:
            _, ready, _ = select.select([], [self._down], [], _left(deadline))
            if ready:
                with contextlib.suppress(BlockingIOError):
                    view = view[os.write(self._down, view) :]

    def _await_answer(self, deadline: float) -> None:
        answer = b""
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([self._up], [], [], _left(deadline))
            if ready:
                answer += (piece := os.read(self._up, 4096))
                if not piece:
                    raise EOFError


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def obey(tracker: Tracker, command: Mapping[str, Any]) -> None:
    """Carry out one command that came down the line."""
    do, run = command["do"], command.get("run", "")
    if do == "begin":
        tracker.begin(restore(Page, command["page"]))
    elif do == "log":
        tracker.log(run, [restore(Point, point) for point in command["points"]])
    elif do == "table":
        tracker.table(run, restore(Table, command["table"]))
    elif do == "picture":
        tracker.picture(run, command["name"], command["svg"])
    elif do == "finish":
        artifact = command.get("artifact")
        tracker.finish(run, command["summary"], None if artifact is None else restore(Artifact, artifact))
    else:
        raise ValueError(f"no command {do!r}")
