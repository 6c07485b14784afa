"""JSONL as it comes from people: every fault is named by file, line and field, and nothing is guessed.

Invariant: what is returned is the whole file, in order; blank lines apart.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from evo.domain.item import Item, ItemError, parse_item
from evo.errors import FileFormatError, NotFound
from evo.lightdata import dataclass

_TEXTS = (".txt", ".md")


@dataclass(frozen=True)
class Row:
    """One decoded line; `line` counts from 1."""

    line: int
    data: dict[str, Any]
    file: str = ""
    """Where it stands, if the source is a folder."""


def read_source(path: Path) -> list[Row]:
    """What can be trained on: the rows of a JSONL file, or a text (.txt, .md) as one row with the field `text`.

    Of a folder: all that it holds of these. Empty files are passed over, and links that lead out of it.
    """
    if path.is_dir():
        found = [file for file in sorted(path.rglob("*")) if file.resolve().is_relative_to(path.resolve())]
        files = [file for file in found if file.suffix in (*_TEXTS, ".jsonl") and file.stat().st_size]
        if not files:
            raise FileFormatError(path, "holds no .txt, .md or .jsonl file", hint="put documents there")
        return [Row(row.line, row.data, str(file)) for file in files for row in read_source(file)]
    return [Row(1, {"text": _text_of(path)})] if path.suffix in _TEXTS else read_rows(path)


def read_rows(path: Path) -> list[Row]:
    """The JSON objects of a JSONL file. NotFound, or FileFormatError with the line."""
    rows = list(_rows(path))
    if not rows:
        raise FileFormatError(path, "is empty", hint="put one JSON object on each line")
    return rows


def read_items(path: Path, *, needs_target: bool) -> list[Item]:
    """The items of a JSONL file; an id occurs once. FileFormatError names line and field."""
    items: dict[str, Item] = {}
    lines: dict[str, int] = {}
    for row in read_rows(path):
        try:
            item = parse_item(row.data, needs_target=needs_target)
        except ItemError as error:
            raise FileFormatError(path, str(error), line=row.line, field=error.field) from None
        if item.id in items:
            problem = f"id {item.id!r} stands on line {lines[item.id]} already"
            if "id" not in row.data:
                problem = f"is the same item as line {lines[item.id]}"
            raise FileFormatError(path, problem, line=row.line, field="id" if "id" in row.data else "")
        items[item.id], lines[item.id] = item, row.line
    return list(items.values())


def _rows(path: Path) -> Iterator[Row]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except IsADirectoryError:
        raise NotFound(f"{path} is a folder", hint="name the JSONL file in it") from None
    if content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileFormatError(path, "opens with a byte order mark", line=1, hint="save it as UTF-8 without BOM")
    for line, text in enumerate(content.split(b"\n"), start=1):
        if text.strip():
            yield Row(line, _decoded(path, line, text))


def _text_of(path: Path) -> str:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileFormatError(path, f"is not UTF-8: byte {error.start} of the file", line=line) from None
    if not text.strip():
        raise FileFormatError(path, "is empty", hint="write a text into it, or take it out of the sources")
    return text


def _decoded(path: Path, line: int, text: bytes) -> dict[str, Any]:
    try:
        data = json.loads(text.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise FileFormatError(path, f"is not UTF-8: byte {error.start} of the line", line=line) from None
    except json.JSONDecodeError as error:
        raise FileFormatError(path, f"is not JSON: {error.msg} at column {error.colno}", line=line) from None
    except (ValueError, RecursionError) as error:
        raise FileFormatError(path, f"is not JSON: {error}", line=line) from None
    if not isinstance(data, dict):
        raise FileFormatError(path, f"must be a JSON object, not {type(data).__name__}", line=line)
    if b"\\ud" in text.lower() and any("\ud800" <= char <= "\udfff" for char in json.dumps(data, ensure_ascii=False)):
        raise FileFormatError(path, "holds half of a surrogate pair, which is no text", line=line)
    return data


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
