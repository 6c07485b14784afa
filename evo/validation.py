"""From untrusted data to a frozen dataclass, and back from a trusted copy.

Invariant: what `validate` returns satisfies every type and range of the schema; `restore(schema, plain(value))` is
`value`, and needs no pydantic. A key may be spelled with dashes or underscores.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

from evo.errors import FileFormatError, nearest
from evo.lightdata import fields, is_dataclass

Schema = TypeVar("Schema")
Place = tuple[str | int, ...]
"""Where in a document: keys as they are written there, and list indexes."""


def to_key(name: str) -> str:
    """Field name -> key of evo.yaml: `max_attempts` -> `max-attempts`."""
    return name.rstrip("_").replace("_", "-")


def to_name(key: str) -> str:
    name = key.replace("-", "_")
    return f"{name}_" if name == "pass" else name


def hints_of(schema: type[Any]) -> dict[str, Any]:
    """Field name -> type, without annotations' metadata."""
    return _hints(cast(Hashable, schema))


@functools.cache
def _hints(schema: Hashable) -> dict[str, Any]:
    return get_type_hints(schema)


def plain(value: Any) -> Any:
    """A config as JSON data, by field names."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return value


def restore(schema: type[Schema], data: Mapping[str, Any]) -> Schema:
    """Rebuild a dataclass from `plain` data that was validated when it was written."""
    inner = _nested(cast(Hashable, schema))
    if not inner:
        return schema(**data)
    return schema(**{key: _restored(inner[key], value) if key in inner else value for key, value in data.items()})


class _Nested(NamedTuple):
    """The dataclass in a field's hint, and whether the field maps words to it."""

    schema: type[Any]
    is_mapping: bool


@functools.cache
def _nested(schema: Hashable) -> dict[str, _Nested]:
    """Fields that hold dataclasses. Read off the words of the annotations: evaluating them takes ten times as long."""
    names = vars(sys.modules[cast(type[Any], schema).__module__])
    found = {}
    for name, words in cast(type[Any], schema).__annotations__.items():
        for word in re.findall(r"\w+", str(words)):
            if is_dataclass(names.get(word)):
                found[name] = _Nested(names[word], str(words).startswith("dict["))
    return found


def _restored(nested: _Nested, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        return [restore(nested.schema, entry) for entry in value]
    if nested.is_mapping:
        return {key: restore(nested.schema, entry) for key, entry in value.items()}
    return restore(nested.schema, value)


def _dataclass_in(hint: Any) -> type[Any] | None:
    """The dataclass inside a hint such as `list[X]`, `dict[str, X]` or `X | None`."""
    if is_dataclass(hint):
        return cast(type[Any], hint)
    return next((found for found in map(_dataclass_in, get_args(hint)) if found is not None), None)


def validate(
    schema: type[Schema],
    data: object,
    *,
    path: object,
    line_of: Callable[[Place], int | None] | None = None,
    keys: Callable[[str], str] = str,
) -> Schema:
    """`data` (decoded YAML or JSON) as a `schema`. FileFormatError names file, line and field of the first fault.

    `line_of` gives the line of a place; `keys` spells a field name as the document would.
    """
    from pydantic import TypeAdapter, ValidationError

    document = {} if data is None else data
    lines = line_of or (lambda _: None)
    for place, hint in _unknown_keys(schema, document, (), keys):
        raise FileFormatError(path, "unknown key", line=lines(place), field=_dotted(place), hint=hint)
    try:
        text = json.dumps(_by_name(schema, document), default=str)
        return TypeAdapter(schema).validate_json(text, strict=True)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place, found = _locate(document, tuple(fault["loc"]))
        message = f"{fault['msg'][:1].lower()}{fault['msg'][1:]}"
        if not isinstance(found, (dict, list)):
            message += f" (found {found!r})"
        raise FileFormatError(path, message, line=lines(place), field=_dotted(place)) from None


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _children(schema: Any, data: Any) -> Iterator[tuple[str | int, Any, Any]]:
    """(key as written, dataclass expected there or None, value) for each entry of a mapping or list."""
    if isinstance(data, list):
        yield from ((index, schema, entry) for index, entry in enumerate(data))
    elif isinstance(data, dict):
        hints = hints_of(schema)
        yield from ((key, hints.get(to_name(str(key))), value) for key, value in data.items())


def _by_name(schema: Any, data: Any) -> Any:
    """`data` with keys as field names."""
    if schema is None or not isinstance(data, (dict, list)):
        return data
    if isinstance(data, list):
        return [_by_name(schema, entry) for entry in data]
    renamed = {}
    for key, hint, value in _children(schema, data):
        inner = _dataclass_in(hint)
        if get_origin(hint) is dict and inner is not None and isinstance(value, dict):
            renamed[to_name(str(key))] = {word: _by_name(inner, entry) for word, entry in value.items()}
        else:
            renamed[to_name(str(key))] = _by_name(inner, value)
    return renamed


def _unknown_keys(schema: Any, data: Any, place: Place, keys: Callable[[str], str]) -> Iterator[tuple[Place, str]]:
    """(place, hint) of each key that the schema does not know."""
    if schema is None or not isinstance(data, (dict, list)):
        return
    for key, hint, value in _children(schema, data):
        here = (*place, key)
        if isinstance(data, list):
            yield from _unknown_keys(schema, value, here, keys)
        elif hint is None:
            yield here, nearest(str(key), [keys(name) for name in hints_of(schema)])
        elif get_origin(hint) is dict and isinstance(value, dict):
            for word, entry in value.items():
                yield from _unknown_keys(_dataclass_in(hint), entry, (*here, word), keys)
        else:
            yield from _unknown_keys(_dataclass_in(hint), value, here, keys)


def _locate(document: Any, loc: Place) -> tuple[Place, Any]:
    """The longest part of pydantic's `loc` that the document has, as it is written there, and the value found."""
    place: Place = ()
    value = document
    for part in loc:
        if isinstance(value, dict):
            written = next((key for key in value if key == part or to_name(str(key)) == part), None)
            if written is None:
                return (*place, part), value
            place, value = (*place, written), value[written]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            place, value = (*place, part), value[part]
        else:
            break
    return place, value
