"""What a shell command touches, as far as its words tell.

Invariant: nothing is executed. Quotes, `cd`, assignments, variables, globs, braces, redirections, nested shells and
substitutions are followed; a variable that nobody knows stands for any name. A program that builds a path by itself
is not seen through: that is what file modes and the sandbox are for.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator

from evo.agent import paths, scans
from evo.agent.paths import GLOB, HIDDEN, Place
from evo.lightdata import dataclass, field

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "eval", "ssh", "su"})
INTERPRETERS = re.compile(r"(python|pypy|perl|ruby|node|deno|bun|awk|gawk|sed|sqlite3|jq|duckdb|datasette)[\d.]*$")
WRAPPERS = frozenset({"sudo", "env", "nice", "nohup", "time", "exec", "command", "stdbuf", "timeout", "ionice", "then",
                      "do", "else", "if", "while", "until", "!", "{", "xargs", "uvx", "uv", "run"})  # fmt: skip
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?[-=+?#%/][^}]*)?\}|([A-Za-z_]\w*))")
_BETWEEN = re.compile(r"""[\s'"`(),;=:@<>|?]+""")
_ENDS = frozenset(";&|()`")
DEEPEST = 4


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


def touched(command: str, place: Place, *, environment: dict[str, str] | None = None) -> Touch | None:
    """The first thing that `command` must not touch, or None."""
    return _line(command.replace("\0", ""), place, Reading(dict(environment or {})))


def runs_evo(command: str) -> bool:
    """Whether `command` calls evo."""
    return any(_is_evo(_unwrapped(step.words)) for step in steps(command))


def _line(command: str, place: Place, reading: Reading) -> Touch | None:
    for inner in re.findall(r"\$\(([^()]*)\)|`([^`]*)`", command):
        found = _nested(" ".join(inner), place, reading)
        if found:
            return found
    for step in steps(command):
        words = _assign(step.words, reading.variables)
        words = [one for word in words for one in paths.braces(_expanded(word, reading.variables))]
        program = _unwrapped(words)
        if program and program[0] in ("cd", "pushd"):
            place = place.moved(next((word for word in program[1:] if not word.startswith("-")), "~"))
            continue
        files = [_expanded(file, reading.variables) for file in step.files]
        found = _step(Step(words, files, step.feeds), program, place, reading)
        if found:
            return found
    return _code(command, place) if "<<" in command and _interprets(command) else None


def _interprets(command: str) -> bool:
    programs = [_unwrapped(step.words) for step in steps(command)]
    return any(program and INTERPRETERS.match(os.path.basename(program[0])) for program in programs)


def _step(step: Step, program: list[str], place: Place, reading: Reading) -> Touch | None:
    name = os.path.basename(program[0]) if program else ""
    for word in [*step.files, *([] if _is_evo(program) else step.words)]:
        found = _word(word, name, place, leaves_out=scans.leaves_hidden_out(program))
        if found:
            return found
    if not program or _is_evo(program):
        return None
    if name in SHELLS or INTERPRETERS.match(name):
        for text in program[1:]:
            found = _nested(text, place, reading) if name in SHELLS else None
            found = found or _code(text, place)
            if found:
                return found
    kind = scans.kind_of(name, program[1:], place, feeds=step.feeds)
    return Touch(kind, " ".join(program)) if kind else None


def _nested(text: str, place: Place, reading: Reading) -> Touch | None:
    if reading.depth >= DEEPEST:
        return None
    return _line(text, place, Reading(dict(reading.variables), reading.depth + 1))


def _word(word: str, name: str, place: Place, *, leaves_out: bool) -> Touch | None:
    """One argument: as it stands, and the parts of `--file=…`, `if=…`, `@…`, `file:…?mode=ro`."""
    for part in {word, *(_BETWEEN.split(word) if not re.search(r"\s", word) else ())}:
        kind = _kind(part, place)
        if kind == HIDDEN and (name not in scans.TAKERS or part != word or leaves_out):
            continue
        if kind:
            return Touch(kind, part)
        attached = re.match(r"-\w(.+)", part)
        kind = _kind(attached[1], place) if attached else None
        if attached and kind not in (None, HIDDEN):
            return Touch(str(kind), attached[1])
    return None


def _kind(part: str, place: Place) -> str | None:
    if part.startswith("*/") and place.layout is not None:  # an unknown folder may be the workspace
        part = f"{place.layout.root}/{part[2:]}"
    if not part or part in (".", "..", "/"):
        return None
    try:
        return paths.kind_of_pattern(part, place) if GLOB.search(part) or "{" in part else paths.kind_of(part, place)
    except (OSError, RuntimeError, ValueError):  # a name too long, a loop of links, no name at all
        return None


def _code(text: str, place: Place) -> Touch | None:
    """Code of an interpreter: paths in it, and a path that it joins from `.evo` and a sealed name."""
    for part in _BETWEEN.split(text):
        kind = _kind(part, place) if "/" in part or "." in part else None
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
    rest = list(words)
    while rest and os.path.basename(rest[0]) in WRAPPERS:
        rest.pop(0)
        while rest and (
            rest[0].startswith("-") or _ASSIGNED.fullmatch(rest[0]) or re.fullmatch(r"[\d.]+[smhd]?", rest[0])
        ):
            rest.pop(0)
    return rest


def _assign(words: list[str], variables: dict[str, str]) -> list[str]:
    """`words` without the assignments at their front, which are kept in `variables`; their values are looked at too."""
    rest = list(words)
    if rest and rest[0] in ("export", "local", "declare", "readonly"):
        rest.pop(0)
    while rest and (found := _ASSIGNED.fullmatch(rest[0])):
        variables[found[1]] = _expanded(found[2], variables)
        rest.pop(0)
    if len(rest) > 2 and rest[0] == "for" and rest[2] == "in":
        variables[rest[1]] = rest[3] if len(rest) == 4 else "*"
    return rest


def _expanded(word: str, variables: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return variables.get(found[1] or found[2], "*")

    return _VARIABLE.sub(value, word)


def steps(command: str) -> Iterator[Step]:
    """The simple commands of a line, in order. Where quotes do not close, words are taken as they come."""
    text = command.replace("\\\n", " ")
    lexer = shlex.shlex(re.sub(r"\n", " ; ", text), posix=True, punctuation_chars="();<>|&`")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError:
        tokens = re.sub(r"[;&|()`]+", " ; ", re.sub(r"['\"\\]", "", text)).split()
    parts: list[tuple[list[str], list[str], str]] = []
    words: list[str] = []
    files: list[str] = []
    into = ""
    for token in [*tokens, ";"]:
        if set(token) <= _ENDS:
            parts.append((words, files, token))
            words, files, into = [], [], ""
        elif set(token) <= set("<>&|"):
            into = token
        else:
            (files if into else words).append(token)
            into = ""
    for (found, redirected, end), after in zip(parts, [*parts[1:], ([], [], "")], strict=True):
        reader = after[0][0] if end in ("|", "|&") and after[0] else ""
        if found or redirected:
            yield Step(found, redirected, os.path.basename(reader) or "".join(redirected[:1]))
