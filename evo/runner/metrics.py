"""metrics.jsonl of a run, read while it grows.

Promise: only whole lines that hold a JSON object are returned, each once and in order; whatever else the run wrote
there (a torn last line, a pipe, a line of a gigabyte, a file begun anew) costs neither an error nor memory.
"""

from __future__ import annotations

import json
from pathlib import Path

from evo.runner import records

Row = dict[str, object]
_CHUNK = 1 << 20


class MetricsTail:
    """Call `read` again and again: each time the rows that have come since."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._offset = 0

    def read(self) -> list[Row]:
        """New rows, about a megabyte of them at most; empty only when there is nothing more to read for now."""
        rows: list[Row] = []
        while not rows and (lines := self._next_lines()):
            rows = [row for line in lines.split(b"\n") if (row := _row(line)) is not None]
        return rows

    def _next_lines(self) -> bytes:
        size = _size(self._path)
        if size < self._offset:
            self._offset = 0
        if size == self._offset:
            return b""
        chunk = records.read_bytes(self._path, offset=self._offset, limit=_CHUNK) or b""
        whole = chunk[: chunk.rfind(b"\n") + 1]
        if not whole and len(chunk) == _CHUNK:
            whole = chunk  # a line longer than any row is skipped
        self._offset += len(whole)
        return whole


def read_metrics(path: Path) -> list[Row]:
    """All whole rows of the file; none where there is no file."""
    tail, rows = MetricsTail(path), list[Row]()
    while fresh := tail.read():
        rows += fresh
    return rows


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _size(path: str) -> int:
    try:
        return Path(path).lstat().st_size
    except OSError:
        return 0
