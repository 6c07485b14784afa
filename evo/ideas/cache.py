"""What services on the network said, kept in a folder for as long as it holds, and the pace at which they are asked.

Invariant: an entry is read only before its time is over and by its whole key; a damaged one is as good as none. Whoever
paces by the same folder, in whatever process, starts no two requests within the pace.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evo.errors import EvoError
from evo.files import read_json, sha256_text, write_json

DAY_S = 86400.0
MOST_ENTRIES = 5000
LONGEST_TURN_S = 60.0


class Cache:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Any:
        """The value, or None where there is none that still holds."""
        try:
            entry = read_json(self._path(key))
        except (EvoError, OSError):
            return None
        if not isinstance(entry, dict) or entry.get("key") != key or not entry.get("until", 0) > time.time():
            return None
        return entry.get("value")

    def put(self, key: str, value: Any, *, hold_s: float) -> None:
        """A folder that cannot be written to is no reason to stop."""
        with contextlib.suppress(OSError):
            if len(os.listdir(self.folder) if self.folder.is_dir() else []) > MOST_ENTRIES:
                self._clear_oldest()
            write_json(self._path(key), {"key": key, "until": time.time() + hold_s, "value": value})

    def _clear_oldest(self) -> None:
        entries = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in entries[: len(entries) // 2]:
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{sha256_text(key)[:32]}.json"

    @contextlib.contextmanager
    def paced(self, name: str, *, every_s: float) -> Iterator[None]:
        """Hold the turn of `name`: it begins `every_s` after the last one ended, in whatever process that was.
        TimeoutError where others hold it for longer than LONGEST_TURN_S."""
        from filelock import FileLock  # needed where something is asked, seldom

        self.folder.mkdir(parents=True, exist_ok=True)
        stamp = self.folder / f"{name}.stamp"
        with FileLock(self.folder / f"{name}.lock", timeout=LONGEST_TURN_S):
            with contextlib.suppress(OSError):
                since = time.time() - stamp.stat().st_mtime
                time.sleep(min(every_s, max(0.0, every_s - since)))
            try:
                yield
            finally:
                stamp.touch()
