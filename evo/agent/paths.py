"""Which paths an agent's tools must leave alone: sealed items, plain copies of the gold items, and evo's database.

Invariant: a path is judged by where it leads (`..`, symbolic and hard links followed), not by how it is spelled; a
path that leads into no workspace is never protected. This is a rail for an honest agent: what holds a run is the
sandbox, and what holds a claim is the gate.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from evo.errors import EvoError, NotAWorkspace
from evo.files import read_json
from evo.lightdata import dataclass
from evo.workspace.layout import CONFIG_NAME, HIDDEN_NAME, Layout, find_root

SEALED, GOLD, DATABASE, HIDDEN = "sealed", "gold", "database", "hidden"
GLOB = re.compile(r"[*?\[]")
_SUFFIXES = ("", "-wal", "-shm", "-journal")
_GLOB_TOKEN = re.compile(r"\*+|\[!?\]?[^\]]*\]|.", re.DOTALL)
_GROUP = re.compile(r"\{([^{}]*)\}")
_MOST_EXPANDED = 200_000


class Undecided(Exception):
    """There is more than can be looked through."""


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


def kind_of(name: str, place: Place) -> str | None:
    """What `name` leads to: SEALED, GOLD, DATABASE, HIDDEN for `.evo` itself, or None for what is free."""
    return None if is_absent(name, place) else _kind_of(name, place)


def is_absent(name: str, place: Place) -> bool:
    """Whether a name begins with what is not here, so that it leads nowhere: of most words, the quick answer."""
    first = name.partition("/")[0].casefold()
    if first in ("", ".") or first[0] == "~" or not first.isascii() or ".." in name or HIDDEN_NAME in name.casefold():
        return False
    try:
        here = _names_in(place, os.stat(place.cwd).st_mtime_ns)
    except OSError:
        return False
    return here is not None and first not in here


@lru_cache(maxsize=64)
def _names_in(place: Place, _changed_ns: int) -> frozenset[str] | None:
    """What lies in the working directory, without regard to case; None where that protects what is in it."""
    cwd = os.path.realpath(place.cwd)
    if HIDDEN_NAME in cwd.casefold():
        return None
    gold = gold_sources(place.layout) if place.layout is not None else ()
    below = [os.path.relpath(path, cwd).partition("/")[0] for path in gold]
    return frozenset(name.casefold() for name in [*os.listdir(cwd), *below])


@lru_cache(maxsize=20_000)
def _kind_of(name: str, place: Place) -> str | None:
    real = Path(os.path.realpath(place.cwd / os.path.expanduser(name)))
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
    """The same for a pattern of a shell or of ripgrep, with braces: does something protected match it? Undecided."""
    kinds = (kind_of(one, place) if not GLOB.search(one) else kind_of_glob(one, place) for one in braces(pattern))
    return next((kind for kind in kinds if kind), None)


def kind_of_glob(pattern: str, place: Place) -> str | None:
    """The same for a pattern without braces."""
    parts = Path(os.path.expanduser(pattern)).parts
    first = next(i for i, part in enumerate(parts) if GLOB.search(part))
    known, targets = _below(os.path.join(place.cwd, *parts[:first]), place)
    if known in (SEALED, GOLD, DATABASE):
        return known
    return next((kind for kind, target in targets if _fits(parts[first:], target, kind)), None)


class Below(NamedTuple):
    """What lies protected below a folder, as parts of paths from there; `kind` is that of the folder itself."""

    kind: str | None
    targets: list[tuple[str, tuple[str, ...]]]


@lru_cache(maxsize=2_000)
def _below(folder: str, place: Place) -> Below:
    start = Path(os.path.realpath(folder))
    layouts = _layouts(start, place) if start.is_dir() else ()
    targets = [
        (kind, target.relative_to(start).parts)
        for layout in layouts
        for kind, target in _targets(layout)
        if target.is_relative_to(start)
    ]
    return Below(kind_of(str(start), place), targets)


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


def _fits(pattern: Sequence[str], target: Sequence[str], kind: str) -> bool:
    """`*` leaves out names with a dot at the front, as shells do; `**` is any number of folders that have none. A
    pattern that goes on below the sealed folder fits too. Read once from left to right, with every place in `target`
    that what was read may have led to."""
    reached = {0}
    for part in pattern:
        if kind == SEALED and len(target) in reached:
            return True
        if part == "**":
            for i in range(min(reached), len(target)):
                if i in reached and target[i][0] != ".":
                    reached.add(i + 1)
        else:
            reached = {i + 1 for i in reached if i < len(target) and _fits_name(part, target[i])}
        if not reached:
            return False
    return len(target) in reached


def _fits_name(pattern: str, name: str) -> bool:
    """In time that grows with the pattern alone, whatever its stars and brackets are."""
    if name.startswith(".") and not pattern.startswith((".", "[")):
        return False
    reached = {0}
    for found in _GLOB_TOKEN.finditer(pattern):
        token = found[0]
        if token[0] == "*":
            reached = set(range(min(reached), len(name) + 1))
        else:
            reached = {i + 1 for i in reached if i < len(name) and fnmatch.fnmatchcase(name[i], token)}
        if not reached:
            return False
    return len(name) in reached


def braces(word: str) -> list[str]:
    """`a{b,c}d` as `abd` and `acd`. Undecided where that gives more text than can be looked through."""
    done: list[str] = []
    todo = [word]
    left = _MOST_EXPANDED
    while todo:
        one = todo.pop()
        left -= len(one) + 1
        if left < 0:
            raise Undecided
        found = next((group for group in _GROUP.finditer(one) if "," in group[1]), None)
        if found is None:
            done.append(one)
        else:
            head, tail = one[: found.start()], one[found.end() :]
            left -= (len(head) + len(tail)) * (found[1].count(",") + 1)
            if left < 0:
                raise Undecided
            todo += [head + part + tail for part in reversed(found[1].split(","))]
    return done
