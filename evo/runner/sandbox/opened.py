"""Which data files a training process opened, as the kernel tells: inotify on the folders that it works with.

Invariant: it says when it cannot have seen everything: too many folders, events lost, or a view that nobody bounded.
What is opened in the short time before a new folder is watched, or under a name outside the folders, is not seen.
Only light modules are imported: this runs in the supervisor.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import NamedTuple

_OPEN, _CREATE, _MOVED_TO, _OVERFLOW, _IS_FOLDER = 0x20, 0x100, 0x80, 0x4000, 0x40000000
_ONLY_FOLDERS, _NO_LINKS = 0x01000000, 0x02000000
_HEAD = struct.Struct("iIII")
_MOST_FOLDERS, _MOST_FILES = 2000, 1000
_ENDINGS = (
    *(".jsonl", ".json", ".txt", ".md", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".xml", ".yaml", ".yml"),
    *(".gz", ".bz2", ".xz", ".zst", ".zip", ".npy", ".npz", ".pkl", ".pickle", ".db", ".sqlite", ".bin"),
)
_libc = ctypes.CDLL(None, use_errno=True)


class Seen(NamedTuple):
    """`complete`: nothing that lies in the folders can have been opened without being named."""

    files: list[str]
    complete: bool


class Openings:
    """A watch over `folders` (files too) and all below them, from now to `close`."""

    def __init__(self, folders: list[str]) -> None:
        self._handle = int(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._places: dict[int, str] = {}
        self._files: set[str] = set()
        self._is_complete = self._handle >= 0
        for folder in folders:
            self._watch_all(folder)

    def look(self) -> None:
        """Take in what has happened since the last look; a call every second loses nothing in practice."""
        while self._handle >= 0:
            try:
                content = os.read(self._handle, 1 << 16)
            except BlockingIOError:
                return
            place = 0
            while place < len(content):
                watch, mask, _, length = _HEAD.unpack_from(content, place)
                name = content[place + _HEAD.size : place + _HEAD.size + length].rstrip(b"\0")
                place += _HEAD.size + length
                self._take(watch, mask, os.fsdecode(name))

    def seen(self) -> Seen:
        """All up to now."""
        self.look()
        return Seen(sorted(self._files), self._is_complete)

    def close(self) -> None:
        """The kernel takes some 7 ms for it: it waits until no processor can still be at a watch."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _take(self, watch: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self._is_complete = False
        place = self._places.get(watch)
        if place is None:
            return
        path = f"{place}/{name}" if name else place  # a file that is watched by itself has no name in it
        if mask & _IS_FOLDER:
            if mask & (_CREATE | _MOVED_TO):
                self._watch_all(path)
        elif mask & _OPEN and path.lower().endswith(_ENDINGS):
            if len(self._files) < _MOST_FILES:
                self._files.add(path)
            else:
                self._is_complete = self._is_complete and path in self._files

    def _watch_all(self, folder: str) -> None:
        if os.path.isfile(folder):
            self._watch(folder, _OPEN)
        for place, folders, _ in os.walk(folder):
            folders[:] = [name for name in folders if name != ".git"]
            if len(self._places) >= _MOST_FOLDERS:
                self._is_complete = False
                return
            self._watch(place, _OPEN | _CREATE | _MOVED_TO | _ONLY_FOLDERS | _NO_LINKS)

    def _watch(self, place: str, mask: int) -> None:
        watch = int(_libc.inotify_add_watch(self._handle, os.fsencode(place), mask))
        if watch < 0:
            self._is_complete = False
        else:
            self._places[watch] = place
