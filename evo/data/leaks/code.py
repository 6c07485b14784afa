"""Python code as what it does: syntax trees in which names and literals are replaced by where they first occur.

Two functions with the same print differ in their own names, literals, comments, docstrings, annotations and layout
only. Names from elsewhere (of modules, of attributes other than self's) cannot be changed at will, and stay. A text has
one print for each body of statements in it that is large enough to be recognised.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from evo.data.text import normalise, words

LEAST_NODES = 30
"""Smaller bodies are everybody's."""
_SELVES = ("self", "cls")
_SKIPPED = frozenset({"ctx", "annotation", "returns", "type_comment", "type_ignores", "type_params", "kind"})
_LOOKS_LIKE_CODE = re.compile(
    r"\bdef\b|\bclass\b|\breturn\b|\bimport\b|\bfor\b.*\bin\b|\bprint\(|[\w\]]\s*[-+*/]?=\s*\S"
)
_HEAD = re.compile(r"^([ \t]*)(?:async[ \t]+def|def|class)\b", re.MULTILINE)
_FENCED = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_LONGEST = 200_000
"""Characters; nobody writes a function of that size, and parsing one takes seconds."""


class Body(NamedTuple):
    """`nodes`: how large it is. `line`: where it begins, counted from 0."""

    nodes: int
    line: int


def literals(text: str) -> Counter[str]:
    """The strings and numbers of a text's code, docstrings apart; f-strings by their parts."""
    found: Counter[str] = Counter()
    for tree, _ in _trees(text):
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.stmt) and _says_nothing(node)
                and isinstance(node, ast.Expr)}  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in said and node.value not in (None, True, False, ...):
                found[repr(node.value)] += 1
    return found


def lines_kept(text: str, stream: str) -> float:
    """The share of the lines of code that stand in a stream of folded words, by their length."""
    lines = ["".join(words(normalise(line))) for line in text.splitlines()]
    lines = [line.replace("_", "") for line in lines if line]
    size = sum(map(len, lines))
    return sum(len(line) for line in lines if line in stream) / size if size else 0.0


def is_code(text: str) -> bool:
    return bool(_LOOKS_LIKE_CODE.search(text)) and next(_trees(text), None) is not None


def prints(text: str, *, is_whole: bool = False) -> dict[str, Body]:
    """Print -> its place, for each body of statements in a text: of functions, or of a script.

    `is_whole`: functions inside of others are left out.
    """
    if len(text) > _LONGEST or not _LOOKS_LIKE_CODE.search(text):
        return {}
    found: dict[str, Body] = {}
    for tree, line in _trees(text):
        given = _given(tree)
        for body in _bodies(tree, is_whole=is_whole):
            for selves in ((), _SELVES):  # whoever renames self leaves its attributes, or renames those and not self
                words = list(_print(body, given, selves))
                if len(words) >= LEAST_NODES:
                    found.setdefault(" ".join(words), Body(len(words), line + body[0].lineno - 1))
    return found


def _trees(text: str) -> Iterator[tuple[ast.Module, int]]:
    """The text as a whole, as the body of a function, its fenced blocks, or its functions amid other words; each with
    the line that it begins on."""
    plain = textwrap.dedent(text)
    for source, line in ((text, 0), (plain, 0), ("def f():\n" + textwrap.indent(plain, "    "), -1)):
        if (tree := _parsed(source)) is not None:
            yield tree, line
            return
    for source, at in (*((block[1], block.start(1)) for block in _FENCED.finditer(text)), *_functions(text)):
        if (tree := _parsed(textwrap.dedent(source))) is not None:
            yield tree, text.count("\n", 0, at)


def _functions(text: str) -> Iterator[tuple[str, int]]:
    """Each definition with the lines below it that are indented deeper, and where it begins."""
    for head in _HEAD.finditer(text):
        depth = len(head[1].expandtabs())
        lines = text[head.start() :].split("\n")
        kept = [lines[0]]
        for line in lines[1:]:
            if line.strip() and len(line.expandtabs()) - len(line.expandtabs().lstrip()) <= depth:
                break
            kept.append(line)
        yield "\n".join(kept), head.start()


def _parsed(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the code's author should have escaped
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _bodies(tree: ast.Module, *, is_whole: bool) -> Iterator[list[ast.stmt]]:
    found = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inner = {id(below) for node in found for below in ast.walk(node) if below is not node} if is_whole else set()
    functions = [node.body for node in found if id(node) not in inner]
    loose = [node for node in tree.body if not isinstance(node, (*_DEFINITIONS, ast.Import, ast.ImportFrom))]
    yield from functions
    if loose:
        yield loose


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _given(tree: ast.Module) -> frozenset[str]:
    """The names that the code gives by itself, and could as well give differently."""
    found: set[str] = set()
    elsewhere: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            found.add(node.id)
        elif isinstance(node, ast.Global):
            elsewhere.update(node.names)
        elif isinstance(node, _DEFINITIONS):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found |= {node.arg}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
        elif isinstance(node, ast.alias) and node.asname:
            found.add(node.asname)
    return frozenset(found - elsewhere)


def _print(body: list[ast.stmt], given: frozenset[str], selves: tuple[str, ...]) -> Iterator[str]:
    """The body's nodes in order; a name of its own is the number of such names before its first occurrence."""
    names: dict[str, str] = {}
    waiting: list[object] = [_told(body)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(reversed(node))
        elif isinstance(node, ast.Constant):
            yield type(node.value).__name__
        elif isinstance(node, ast.AST):
            yield type(node).__name__
            if isinstance(node, _DEFINITIONS):
                waiting.append(_told(node.body))
                continue
            own = frozenset() if isinstance(node, ast.keyword) else given
            if isinstance(node, ast.Attribute):
                own = (
                    given | {node.attr} if isinstance(node.value, ast.Name) and node.value.id in selves else frozenset()
                )
            waiting.extend(reversed([_field(name, value, names, own) for name, value in ast.iter_fields(node)]))
        elif isinstance(node, str):
            yield node


def _field(name: str, value: object, names: dict[str, str], own: frozenset[str]) -> object:
    """A field's value with the code's own names replaced; None where it says nothing about what is done."""
    if name in _SKIPPED:
        return None
    if isinstance(value, list):
        return [_field("", entry, names, own) for entry in value]
    if not isinstance(value, str):
        return value
    key = f".{value}" if name == "attr" else value
    return names.setdefault(key, f"#{len(names)}") if value in own else value


def _told(body: list[ast.stmt]) -> list[ast.stmt]:
    """Without docstrings and bare annotations."""
    return [node for node in body if not _says_nothing(node)]


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Pass) or (isinstance(node, ast.AnnAssign) and node.value is None):
        return True
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
