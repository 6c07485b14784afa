"""What a shell command touches, as far as its words tell.

Invariant: nothing is executed. Quotes, `cd`, assignments, variables, globs, braces, redirections, nested shells and
substitutions are followed; a variable that nobody knows stands for any name. The time of an answer is bounded for any
text: what is more than can be looked through raises Undecided. A program that builds a path by itself is not seen
through: that is what file modes and the sandbox are for.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator
from functools import lru_cache

from evo.agent import paths, scans
from evo.agent.lexer import tokens
from evo.agent.paths import GLOB, HIDDEN, Place, Undecided
from evo.lightdata import dataclass, field

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "eval", "ssh", "su"})
INTERPRETERS = re.compile(r"(python|pypy|perl|ruby|node|deno|bun|awk|gawk|sed|sqlite3|jq|duckdb|datasette)[\d.]*$")
WRAPPERS = frozenset({"sudo", "env", "nice", "nohup", "time", "exec", "command", "stdbuf", "timeout", "ionice", "then",
                      "do", "else", "if", "while", "until", "!", "{", "xargs", "uvx", "uv", "run"})  # fmt: skip
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?[-=+?#%/][^}]*)?\}|([A-Za-z_]\w*))")
_NAMED = re.compile(r"\$()([A-Za-z_]\w*)")
_BETWEEN = re.compile(r"""[\s'"`(),;=:@<>|?{}]+""")
_ENDS = frozenset(";&|()`\n")
_DATA = re.compile(r"""[\s:"'()]""")
"""What stands in JSON and in code, and in no word whose braces a shell expands."""
DEEPEST = 4
TIME_S = 3.0
"""For one command: a few milliseconds are usual, and a client waits for a hook for twenty seconds."""
_LONGEST_PATH = 4096
"""Bytes that a kernel takes (PATH_MAX)."""
_LONGEST = 1_000_000
"""Characters of a command, and of a word with its variables in it."""


@dataclass(frozen=True)
class Touch:
    """The word that leads to something, and what: a kind of `evo.agent.paths`, or of `evo.agent.scans`."""

    kind: str
    word: str


@dataclass(frozen=True)
class Step:
    """One simple command of a line."""

    words: list[str]
    files: list[str] = field(default_factory=list)
    """What it reads from or writes to by redirection."""
    feeds: str = ""
    """The program or file that its output goes to."""


@dataclass(frozen=True)
class Reading:
    """What is known while a line is read from left to right."""

    variables: dict[str, str] = field(default_factory=dict)
    depth: int = 0
    until: float = math.inf
    """When to give up, on the monotonic clock."""

    def look(self) -> None:
        if time.monotonic() > self.until:
            raise Undecided


def touched(command: str, place: Place, *, environment: dict[str, str] | None = None) -> Touch | None:
    """The first thing that `command` must not touch, or None. Undecided."""
    if len(command) > _LONGEST:
        raise Undecided
    reading = Reading(dict(environment or {}), until=time.monotonic() + TIME_S)
    return _line(command.replace("\0", ""), place, reading)


def runs_evo(command: str) -> bool:
    """Whether `command` calls evo."""
    return any(_is_evo(_unwrapped(step.words)) for step in steps(command))


def _line(command: str, place: Place, reading: Reading) -> Touch | None:
    for inner in dict.fromkeys(re.findall(r"\$\(([^()]*)\)|`([^`]*)`", command)):
        found = _nested(" ".join(inner), place, reading)
        if found:
            return found
    for step in steps(command):
        reading.look()
        words = list(_alternatives(_assign(step.words, reading), reading))
        program = _unwrapped(words)
        if program and program[0] in ("cd", "pushd"):
            place = place.moved(next((word for word in program[1:] if not word.startswith("-")), "~"))
            if len(str(place.cwd)) > _LONGEST_PATH:
                raise Undecided
            continue
        found = _step(Step(words, list(_alternatives(step.files, reading)), step.feeds), program, place, reading)
        if found:
            return found
    return _code(command, place, reading) if "<<" in command and _interprets(command) else None


def _alternatives(words: list[str], reading: Reading) -> Iterator[str]:
    """Words with their variables and braces expanded."""
    for word in words:
        expanded = _expanded(word, reading)
        yield from [expanded] if _is_data(expanded) else paths.braces(expanded)


def _is_data(word: str) -> bool:
    return "{" in word and _DATA.search(word) is not None


def _interprets(command: str) -> bool:
    programs = [_unwrapped(step.words) for step in steps(command)]
    return any(program and INTERPRETERS.match(os.path.basename(program[0])) for program in programs)


def _step(step: Step, program: list[str], place: Place, reading: Reading) -> Touch | None:
    name = os.path.basename(program[0]) if program else ""
    takes_hidden = name in scans.TAKERS and not scans.leaves_hidden_out(program)
    for word in dict.fromkeys([*step.files, *([] if _is_evo(program) else step.words)]):
        found = _word(word, place, reading, takes_hidden=takes_hidden)
        if found:
            return found
    if not program or _is_evo(program):
        return None
    if name in SHELLS or INTERPRETERS.match(name):
        for text in program[1:]:
            found = _nested(text, place, reading) if name in SHELLS else None
            found = found or _code(text, place, reading)
            if found:
                return found
    kind = scans.kind_of(name, program[1:], place, feeds=step.feeds)
    return Touch(kind, " ".join(program)) if kind else None


def _nested(text: str, place: Place, reading: Reading) -> Touch | None:
    if reading.depth >= DEEPEST:
        raise Undecided
    reading.look()
    return _line(text, place, Reading(dict(reading.variables), reading.depth + 1, reading.until))


def _word(word: str, place: Place, reading: Reading, *, takes_hidden: bool) -> Touch | None:
    """One argument: as it stands, and the parts of `--file=…`, `if=…`, `@…`, `file:…?mode=ro`. JSON is read as code."""
    if _is_data(word) and "," in word:
        return _code(word, place, reading)
    for part in dict.fromkeys([word, *(_BETWEEN.split(word) if not re.search(r"\s", word) else ())]):
        kind = _kind(part, place, reading)
        if kind == HIDDEN and (not takes_hidden or part != word):
            continue
        if kind:
            return Touch(kind, part)
        attached = re.match(r"-\w(.+)", part)
        kind = _kind(attached[1], place, reading) if attached else None
        if attached and kind not in (None, HIDDEN):
            return Touch(str(kind), attached[1])
    return None


def _kind(part: str, place: Place, reading: Reading) -> str | None:
    if part.startswith("*/") and place.layout is not None:  # an unknown folder may be the workspace
        part = f"{place.layout.root}/{part[2:]}"
    if not part or part in (".", "..", "/"):
        return None
    is_pattern = GLOB.search(part) is not None
    if len(part) > _LONGEST_PATH and not is_pattern:
        return None
    reading.look()
    try:
        return paths.kind_of_glob(part, place) if is_pattern else paths.kind_of(part, place)
    except (OSError, RuntimeError, ValueError):  # a name too long, a loop of links, no name at all
        return None


def _code(text: str, place: Place, reading: Reading) -> Touch | None:
    """Code of an interpreter: paths in it, and a path that it joins from `.evo` and a sealed name."""
    for part in dict.fromkeys(_BETWEEN.split(text)):
        kind = _kind(part, place, reading) if "/" in part or "." in part else None
        if kind not in (None, HIDDEN):
            return Touch(str(kind), part)
    if place.layout is None or ".evo" not in text:
        return None
    named = re.search(r"\bsealed\b|\bheldout\b|\bvault\b|evo\.db", text)
    kind = None if named is None else paths.DATABASE if named[0] == "evo.db" else paths.SEALED
    return Touch(kind, text[:80]) if kind else None


def _is_evo(program: list[str]) -> bool:
    """evo answers for itself: what it prints is never a sealed item."""
    if not program:
        return False
    name = os.path.basename(program[0])
    return name == "evo" or (name.startswith("python") and program[1:3] == ["-m", "evo"])


def _unwrapped(words: list[str]) -> list[str]:
    """Without `sudo`, `timeout 5`, `env A=b` and the like."""
    first = 0
    while first < len(words) and os.path.basename(words[first]) in WRAPPERS:
        first += 1
        while first < len(words) and _is_of_wrapper(words[first]):
            first += 1
    return words[first:]


def _is_of_wrapper(word: str) -> bool:
    return word.startswith("-") or bool(_ASSIGNED.fullmatch(word) or re.fullmatch(r"[\d.]+[smhd]?", word))


def _assign(words: list[str], reading: Reading) -> list[str]:
    """`words` without the assignments at their front, which are kept; their values are looked at too."""
    first = 1 if words and words[0] in ("export", "local", "declare", "readonly") else 0
    while first < len(words) and (found := _ASSIGNED.fullmatch(words[first])):
        reading.variables[found[1]] = _expanded(found[2], reading)
        first += 1
    rest = words[first:]
    if len(rest) > 2 and rest[0] == "for" and rest[2] == "in":
        reading.variables[rest[1]] = rest[3] if len(rest) == 4 else "*"
    return rest


def _expanded(word: str, reading: Reading) -> str:
    """With the values of its variables; behind the last `}` there is no `${…}` any more to look for."""

    left = _LONGEST

    def value(found: re.Match[str]) -> str:
        nonlocal left
        known = reading.variables.get(found[1] or found[2], "*")
        left -= len(known)
        if left < 0:
            raise Undecided
        return known

    if "$" not in word:
        return word
    end = word.rfind("}") + 1
    return _VARIABLE.sub(value, word[:end]) + _NAMED.sub(value, word[end:])


@lru_cache(maxsize=64)
def steps(command: str) -> tuple[Step, ...]:
    """The simple commands of a line, in order."""
    return tuple(_steps(command))


def _steps(command: str) -> Iterator[Step]:
    parts: list[tuple[list[str], list[str], str]] = []
    words: list[str] = []
    files: list[str] = []
    into = ""
    for token, is_word in [*tokens(command), (";", False)]:
        if not is_word and set(token) <= _ENDS:
            parts.append((words, files, token))
            words, files, into = [], [], ""
        elif not is_word and set(token) <= set("<>&|"):
            into = token
        else:
            (files if into else words).append(token)
            into = ""
    for (found, redirected, end), after in zip(parts, [*parts[1:], ([], [], "")], strict=True):
        reader = after[0][0] if end in ("|", "|&") and after[0] else ""
        if found or redirected:
            yield Step(found, redirected, os.path.basename(reader) or "".join(redirected[:1]))
