"""Commands that walk or print more than anybody reads: recursive scans that take `.evo` in, and whole huge logs.

Invariant: a scan that leaves `.evo` out by name is let through, and so is any below a folder that has no `.evo` in it.
"""

from __future__ import annotations

import os
import re
from itertools import takewhile
from pathlib import Path

from evo.agent.paths import Place, is_absent

SCAN, HUGE = "scan", "huge"
HUGE_BYTES = 256_000
READERS = frozenset({"cat", "bat", "less", "more", "strings"})
TAKERS = frozenset({"rm", "mv", "shred", "chmod", "chown", "cp", "scp", "tar", "zip", "rsync"})
"""What may not be given `.evo` as a whole."""
_GREPS = re.compile(r"-[a-zA-Z]*[rR][a-zA-Z]*$|--(dereference-)?recursive$")
_COPIES = re.compile(r"-[a-zA-Z]*[raR][a-zA-Z]*$|--(recursive|archive)$")
_SHOWS_HIDDEN = re.compile(r"-uu+$|-[a-zA-Z]*\.$|--(hidden|no-ignore|unrestricted)")
_EXCLUDES = re.compile(r"--exclude|--ignore|--glob|-g$|-x$|-I$|-(i?path|name|wholename)$")


def leaves_hidden_out(words: list[str]) -> bool:
    """Whether there is an exclusion of `.evo`: `--exclude-dir=.evo`, `-not -path '*/.evo/*'`, `-g '!.evo'`."""
    for before, word in zip(["", *words], words, strict=False):
        if ".evo" in word and (_EXCLUDES.match(before) or word.startswith(("--exclude", "--ignore", "!", ":!"))):
            return True
    return False


def kind_of(name: str, words: list[str], place: Place, *, feeds: str = "") -> str | None:
    """SCAN for a walk through `.evo`, HUGE for a huge file as a whole, None for anything else. `feeds`: what reads the
    output, a program or a file."""
    if name in READERS:
        return HUGE if not feeds and any(_is_huge(word, place) for word in words) else None
    if not _walks(name, words, feeds) or leaves_hidden_out(words):
        return None
    return SCAN if any(_has_hidden(one, place) for one in dict.fromkeys(_targets(name, words))) else None


def _targets(name: str, words: list[str]) -> list[str]:
    if name == "git":
        return ["."]
    if name == "find":
        return list(takewhile(lambda word: not word.startswith(("-", "!", "(")), words)) or ["."]
    plain = [word for word in words if not word.startswith("-")]
    return (plain[1:] if name in ("grep", "egrep", "fgrep", "rg", "ag", "ack") else plain) or ["."]


def _walks(name: str, words: list[str], feeds: str) -> bool:
    """Whether a program goes down through folders, and reads or lists all that it meets."""
    options = {"grep": _GREPS, "egrep": _GREPS, "fgrep": _GREPS, "rg": _SHOWS_HIDDEN, "ag": _SHOWS_HIDDEN,
               "ack": _SHOWS_HIDDEN, "cp": _COPIES, "scp": _COPIES, "chmod": _COPIES, "chown": _COPIES}  # fmt: skip
    if name in options:
        return any(options[name].match(word) for word in words)
    if name == "ls":
        return any(re.match(r"-[a-zA-Z]*R|--recursive", word) for word in words)
    if name == "git":
        return "clean" in words and any(re.match(r"-[a-zA-Z]*[xX]", word) for word in words)
    if name == "find":
        return "-maxdepth" not in words or feeds == "xargs" or bool({"-exec", "-execdir", "-delete"} & set(words))
    return name in ("rgrep", "tar", "zip", "rsync", "tree")


def _has_hidden(word: str, place: Place) -> bool:
    """Whether the workspace's `.evo` is the folder `word`, or lies in it."""
    if place.layout is None or is_absent(word, place):
        return False
    try:
        real = Path(os.path.realpath(place.cwd / os.path.expanduser(word)))
    except (OSError, ValueError):
        return False
    return place.layout.hidden.resolve().is_relative_to(real)


def _is_huge(word: str, place: Place) -> bool:
    try:
        return place.layout is not None and os.stat(place.cwd / os.path.expanduser(word)).st_size > HUGE_BYTES
    except (OSError, ValueError):
        return False
