"""Which paths an agent's tools must leave alone: sealed items, plain copies of the gold items, and evo's database.

Invariant: a path is judged by where it leads (`..`, symbolic and hard links followed), not by how it is spelled; a
path that leads into no workspace is never protected. This is a rail for an honest agent: what holds a run is the
sandbox, and what holds a claim is the gate.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from evo.errors import EvoError, NotAWorkspace
from evo.files import read_json
from evo.lightdata import dataclass
from evo.workspace.layout import CONFIG_NAME, HIDDEN_NAME, Layout, find_root

SEALED, GOLD, DATABASE, HIDDEN = "sealed", "gold", "database", "hidden"
GLOB = re.compile(r"[*?\[]")
_SUFFIXES = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Place:
    """Where tools work: the working directory, and the workspace around it, if there is one."""

    cwd: Path
    layout: Layout | None

    def moved(self, folder: str) -> Place:
        return place_at(self.cwd / os.path.expanduser(folder))


def place_at(cwd: Path) -> Place:
    try:
        return Place(cwd, find_root(cwd))
    except (NotAWorkspace, OSError, RuntimeError, ValueError):  # no folder, a loop of links, no name at all
        return Place(cwd, None)


@lru_cache(maxsize=20_000)
def kind_of(name: str, place: Place) -> str | None:
    """What `name` leads to: SEALED, GOLD, DATABASE, HIDDEN for `.evo` itself, or None for what is free."""
    path = place.cwd / os.path.expanduser(name)
    real = Path(os.path.realpath(path))
    return _by_place(real) or _by_inode(real, place.layout) or _gold(real, place.layout)


def _by_place(real: Path) -> str | None:
    """By the folders above: `.evo` beside an evo.yaml, and what comes below it."""
    parts = real.parts
    for i in range(len(parts) - 1, 0, -1):
        if parts[i].casefold() == HIDDEN_NAME and Path(*parts[:i], CONFIG_NAME).is_file():
            below = [part.casefold() for part in parts[i + 1 :]]
            if not below:
                return HIDDEN
            if below[0] == "sealed":
                return SEALED
            if len(below) == 1 and below[0] in database_names():
                return DATABASE
    return None


def _by_inode(real: Path, layout: Layout | None) -> str | None:
    """A hard link has no folder above it that tells."""
    try:
        found = real.stat()
    except OSError:
        return None
    if layout is None or found.st_nlink < 2 or real.is_dir():
        return None
    sealed = layout.sealed.iterdir() if os.access(layout.sealed, os.R_OK | os.X_OK) else ()
    for kind, files in ((SEALED, sealed), (DATABASE, (layout.db,))):
        for file in files:
            if file.exists() and os.path.samestat(file.stat(), found):
                return kind
    return None


def _gold(real: Path, layout: Layout | None) -> str | None:
    return GOLD if layout is not None and str(real) in gold_sources(layout) else None


@lru_cache(maxsize=64)
def gold_sources(layout: Layout) -> frozenset[str]:
    """Where the sealed items came from; read here, since the isolation of runs takes 20 ms to load."""
    try:
        return frozenset(os.path.realpath(path) for path in read_json(layout.sealed / "sources.json"))
    except (EvoError, OSError):
        return frozenset()


def database_names() -> list[str]:
    return [f"evo.db{suffix}" for suffix in _SUFFIXES]


def kind_of_pattern(pattern: str, place: Place) -> str | None:
    """The same for a pattern of a shell or of ripgrep: does something protected match it?"""
    kinds = [kind_of(one, place) if not GLOB.search(one) else _matched(one, place) for one in braces(pattern)]
    return next((kind for kind in kinds if kind), None)


def _matched(pattern: str, place: Place) -> str | None:
    parts = Path(os.path.expanduser(pattern)).parts
    first = next(i for i, part in enumerate(parts) if GLOB.search(part))
    start = Path(os.path.realpath(place.cwd.joinpath(*parts[:first])))
    known = kind_of(str(start), place)
    if known in (SEALED, GOLD, DATABASE):
        return known
    for layout in _layouts(start, place):
        for kind, target in _targets(layout):
            if target.is_relative_to(start) and _fits(parts[first:], target.relative_to(start).parts, kind):
                return kind
    return None


def _layouts(start: Path, place: Place) -> Iterator[Layout]:
    if place.layout is not None:
        yield place.layout
    around = place_at(start).layout
    if around is not None:
        yield around


def _targets(layout: Layout) -> Iterator[tuple[str, Path]]:
    hidden = Path(os.path.realpath(layout.hidden))
    yield SEALED, hidden / "sealed"
    yield from ((DATABASE, hidden / name) for name in database_names())
    yield from ((GOLD, Path(path)) for path in gold_sources(layout))
    yield HIDDEN, hidden


def _fits(pattern: tuple[str, ...], target: tuple[str, ...], kind: str) -> bool:
    """`*` leaves out names with a dot at the front, as shells do; `**` is any number of folders that have none. A
    pattern that goes on below the sealed folder fits too."""
    if not target:
        return not pattern or kind == SEALED
    if not pattern:
        return False
    if pattern[0] == "**":
        return _fits(pattern[1:], target, kind) or (target[0][0] != "." and _fits(pattern, target[1:], kind))
    is_seen = not target[0].startswith(".") or pattern[0].startswith((".", "["))
    return is_seen and fnmatch.fnmatchcase(target[0], pattern[0]) and _fits(pattern[1:], target[1:], kind)


def braces(word: str, *, most: int = 64) -> list[str]:
    """`a{b,c}d` as `abd` and `acd`; at most `most` of them."""
    done: list[str] = []
    todo = [word]
    while todo and len(done) < most:
        one = todo.pop(0)
        found = re.search(r"\{([^{}]*,[^{}]*)\}", one)
        if found is None:
            done.append(one)
            continue
        todo += [one[: found.start()] + part + one[found.end() :] for part in found[1].split(",")][:most]
    return done
