"""YAML files: read with the line of every place, edited without touching any other byte.

Invariant: an edit changes the text of one key; comments, order, quotes and numbers such as `5e-5` elsewhere stay as
they are. The edited text is read again and validated before it replaces the file.

A leaf: it imports ruamel.yaml, which the hot path must not.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from evo.config import EvoConfig
from evo.errors import FileFormatError, NotFound, UsageError
from evo.files import write_text
from evo.lightdata import fields, is_dataclass
from evo.validation import Place, hints_of, to_key, to_name, validate
from evo.workspace.faults import faults
from evo.workspace.values import check_key, parse_value

_PLAIN = re.compile(r"[A-Za-z_./][\w./@+-]*(?: [\w./@+-]+)*")
_WORDS_WITH_MEANING = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n", ".", ".inf", ".nan"})


class Document(NamedTuple):
    """`data`: dicts, lists, text, numbers; `line_of(place)` counts from 1 and gives the nearest place that exists."""

    data: Any
    line_of: Callable[[Place], int | None]


def load(path: Path) -> Document:
    """The document in `path`. NotFound, or FileFormatError with the line."""
    return parse(read(path), path=path)


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except UnicodeDecodeError as error:
        raise FileFormatError(path, f"is not UTF-8: byte {error.start}") from None


def parse(text: str, *, path: object) -> Document:
    """Duplicate keys, several documents and numbers that are not finite are refused."""
    node = _compose(text, path=path)
    lines = dict(_lines(node, ())) if node is not None else {}

    def line_of(place: Place) -> int | None:
        while place and place not in lines:
            place = place[:-1]
        return lines.get(place)

    try:
        data = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise _bad(path, error) from None
    for place, value in _leaves(data, ()):
        if isinstance(value, float) and not math.isfinite(value):
            raise FileFormatError(path, "must be a finite number", line=line_of(place), field=".".join(map(str, place)))
    return Document(data, line_of)


def _compose(text: str, *, path: object) -> Node | None:
    try:
        node: Node | None = YAML().compose(text)
    except YAMLError as error:
        raise _bad(path, error) from None
    return node


def _bad(path: object, error: YAMLError) -> FileFormatError:
    if not isinstance(error, MarkedYAMLError):
        return FileFormatError(path, f"is not YAML: {error}")
    mark = error.problem_mark or error.context_mark
    problem = (error.problem or error.context or "is not YAML").split("\n")[0]
    return FileFormatError(path, problem, line=mark.line + 1 if mark else None)


def _lines(node: Node, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield (*place, key.value), key.start_mark.line + 1
            yield from _lines(value, (*place, key.value))
    elif isinstance(node, SequenceNode):
        for index, entry in enumerate(node.value):
            yield (*place, index), entry.start_mark.line + 1
            yield from _lines(entry, (*place, index))


def _leaves(data: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _leaves(value, (*place, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _leaves(value, (*place, index))
    else:
        yield place, data


def check_config(document: Document, *, path: object) -> EvoConfig:
    """The document as a configuration. FileFormatError names line and field."""
    data = with_sections(document.data)
    config = validate(EvoConfig, data, path=path, line_of=document.line_of, keys=to_key)
    for key, fault in faults(config):
        raise FileFormatError(path, fault, line=document.line_of(tuple(key.split("."))), field=key)
    return config


def with_sections(data: Any) -> Any:
    """`data` without the sections that hold only comments: `run:` and nothing below it says nothing."""
    if not isinstance(data, dict):
        return data
    hints = hints_of(EvoConfig)
    return {
        key: value for key, value in data.items() if value is not None or not is_dataclass(hints.get(to_name(str(key))))
    }


def set_key(path: Path, dotted: str, value: object) -> Any:
    """Set one key of an evo.yaml and return the value; text is read by the schema's type.

    UsageError for an unknown key (nearest name) or value, FileFormatError when the file is or would become wrong;
    then nothing is written.
    """
    return set_keys(path, {dotted: value})[0]


def set_keys(path: Path, settings: Mapping[str, object]) -> list[Any]:
    """Set several keys at once: all of them, or none."""
    values = {key: _typed(key, value) for key, value in settings.items()}
    write_text(path, with_keys(read(path), values, path=path))
    return list(values.values())


def _typed(key: str, value: object) -> object:
    return parse_value(key, value) if isinstance(value, str) else value


def _section(entry: Any) -> Any:
    """An entry of a list of sections as it is written: keys as evo.yaml spells them, defaults left out."""
    if not is_dataclass(entry):
        return entry
    set_ = {item.name: getattr(entry, item.name) for item in fields(entry)}
    kind: Any = type(entry)
    bare = kind(**{name: value for name, value in set_.items() if name == "name"})
    return {to_key(name): value for name, value in set_.items() if name == "name" or value != getattr(bare, name)}


def with_keys(text: str, settings: Mapping[str, object], *, path: object) -> str:
    """The text of an evo.yaml with these keys set, checked as a whole."""
    for dotted, value in settings.items():
        typed = _typed(check_key(dotted), value)
        written = [_section(entry) for entry in typed] if isinstance(typed, list) else typed
        text = with_value(text, check_key(dotted), written, path=path)
    check_config(parse(text, path=path), path=path)
    return text


def with_value(text: str, dotted: str, value: object, *, path: object) -> str:
    """The text of any mapping with one key set, made where it is missing; unchecked but for meaning that."""
    parts = dotted.split(".")
    node = _compose(text, path=path)
    if node is not None and not isinstance(node, MappingNode):
        raise FileFormatError(path, "must be a mapping of keys to values", line=1)
    edited = _with_value(text, node, parts, value)
    return _as_expected(edited, _merged(parse(text, path=path).data or {}, parts, value), path=path)


def unset_key(path: Path, dotted: str) -> bool:
    """Remove one key of an evo.yaml, so that its default holds; False when it was not set."""
    parts = check_key(dotted).split(".")
    text = read(path)
    found = _find(_compose(text, path=path), parts)
    if found is None:
        return False
    edited = _cut_from_braces(text, found) if _is_flow(found.parent) else _cut_lines(text, found)
    edited = _as_expected(edited, _without(parse(text, path=path).data, parts), path=path)
    check_config(parse(edited, path=path), path=path)
    write_text(path, edited)
    return True


def _cut_lines(text: str, entry: _Entry) -> str:
    start = text.rfind("\n", 0, entry.key.start_mark.index) + 1
    return text[:start] + text[_line_end(text, _end(entry.value)) :]


def _cut_from_braces(text: str, entry: _Entry) -> str:
    kept = [text[key.start_mark.index : _end(value)] for key, value in entry.parent.value if key is not entry.key]
    start, end = entry.parent.start_mark.index, entry.parent.end_mark.index
    return text[:start] + "{" + ", ".join(kept) + "}" + text[end:]


def _as_expected(edited: str, expected: Any, *, path: object) -> str:
    """`edited`, if it means `expected`."""
    if (parse(edited, path=path).data or {}) != expected:
        raise FileFormatError(path, "is written in a way that evo cannot edit", hint="change it in an editor")
    return edited


class _Entry(NamedTuple):
    parent: MappingNode
    key: ScalarNode
    value: Node


def _find(node: Node | None, parts: list[str]) -> _Entry | None:
    """The entry at a dotted key, spelled with dashes or underscores."""
    found: _Entry | None = None
    for part in parts:
        if not isinstance(node, MappingNode):
            return None
        found = next((_Entry(node, key, value) for key, value in node.value if _same(key.value, part)), None)
        if found is None:
            return None
        node = found.value
    return found


def _same(written: str, part: str) -> bool:
    return to_name(written) == to_name(part)


def _is_flow(node: Node) -> bool:
    return isinstance(node, (MappingNode, SequenceNode)) and bool(node.flow_style)


def _end(node: Node) -> int:
    """Where the text of a value ends; a block's own mark would lie behind the comments that follow it."""
    if isinstance(node, ScalarNode) and node.style in ("|", ">"):
        raw = node.start_mark.buffer[node.start_mark.index : node.end_mark.index]
        return int(node.start_mark.index) + len(raw.rstrip())
    if isinstance(node, ScalarNode) or _is_flow(node) or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _line_end(text: str, index: int) -> int:
    """Behind the line break of the line that holds `index`."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _with_value(text: str, node: Node | None, parts: list[str], value: object) -> str:
    found = _find(node, parts)
    if found is not None:
        return _replaced(text, found, to_yaml(value))
    for depth in range(len(parts) - 1, 0, -1):
        above = _find(node, parts[:depth])
        if above is None:
            continue
        return _added(text, above, _block(parts[depth:], value, indent=_indent_below(above)))
    return _inserted(text, node, _block(parts, value, indent=0))


def _replaced(text: str, entry: _Entry, new: str) -> str:
    """The value, behind its colon where it stands on lines of its own; a comment between them stays."""
    start, end = entry.value.start_mark.index, _end(entry.value)
    colon = text.index(":", entry.key.end_mark.index) + 1
    if start == end:  # nothing stands there
        return f"{text[:colon]} {new}{text[colon:]}"
    if "\n" in text[colon:start]:
        return f"{text[:colon]} {new}{text[colon:start].rstrip()}{text[end:]}"
    return text[:start] + new + text[end:]


def _indent_below(entry: _Entry) -> int:
    if isinstance(entry.value, MappingNode) and entry.value.value and not _is_flow(entry.value):
        return int(entry.value.value[0][0].start_mark.column)
    return int(entry.key.start_mark.column) + 2


def _added(text: str, entry: _Entry, block: str) -> str:
    """One more key in the mapping that `entry` holds."""
    value = entry.value
    if _is_flow(value):
        at = _end(value.value[-1][1]) if value.value else value.start_mark.index + 1
        return text[:at] + (", " if value.value else "") + block.strip() + text[at:]
    if isinstance(value, MappingNode):
        return _inserted(text, value, block)
    at = _line_end(text, entry.key.end_mark.index)
    return _join(text[:at], block, text[at:])


def _inserted(text: str, mapping: Node | None, block: str) -> str:
    if not isinstance(mapping, MappingNode) or not mapping.value:
        return _join(text, block, "")
    at = _line_end(text, _end(mapping))
    return _join(text[:at], block, text[at:])


def _join(before: str, block: str, after: str) -> str:
    gap = "" if not before or before.endswith("\n") else "\n"
    return before + gap + block + after


def _block(parts: list[str], value: object, *, indent: int) -> str:
    lines = [" " * (indent + 2 * depth) + f"{part}:" for depth, part in enumerate(parts)]
    return "\n".join(lines) + f" {to_yaml(value)}\n"


def to_yaml(value: object) -> str:
    """One line of YAML that is read as `value` by version 1.1 and 1.2 alike."""
    if isinstance(value, float):
        text = repr(value)
        return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text
    if isinstance(value, list):
        return "[" + ", ".join(to_yaml(entry) for entry in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS_WITH_MEANING:
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {to_yaml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, datetime.date):
        raise UsageError(f"{value!r} cannot be the value of a setting")
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _merged(data: Any, parts: list[str], value: object) -> Any:
    """`data` with the key set, spelled as it was."""
    result = dict(data or {})
    written = next((key for key in result if _same(str(key), parts[0])), parts[0])
    result[written] = _merged(result.get(written), parts[1:], value) if len(parts) > 1 else value
    return result


def _without(data: Any, parts: list[str]) -> Any:
    """`data` with the key gone; a mapping that it emptied is read as nothing."""
    written = next(key for key in data if _same(str(key), parts[0]))
    result = dict(data)
    if len(parts) > 1:
        result[written] = _without(result[written], parts[1:]) or None
    else:
        del result[written]
    return result
