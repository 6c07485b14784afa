"""The JSON schema of a view: what `as_data` makes of it, told before there is one.

Invariant: made from the dataclass itself, so it cannot drift; every field is in every reply, and more may be added.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from evo.lightdata import fields, is_dataclass

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


def names_in_views() -> dict[str, Any]:
    """Every name of the modules that hold views: annotations there may speak of each other."""
    found: dict[str, Any] = {}
    for home in sorted(Path(__file__).parent.glob("*view*.py")):
        found |= vars(import_module(f"evo.domain.{home.stem}"))
    return found


def schema_of(view: type[Any]) -> dict[str, Any]:
    """The schema of one view, with the views inside it under `$defs`."""
    defs: dict[str, Any] = {}
    top = _object(view, names_in_views(), defs)
    return {"$schema": DIALECT, "title": view.__name__, **top, **({"$defs": defs} if defs else {})}


def _object(view: type[Any], names: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(view, globalns=names)
    properties = {item.name.rstrip("_"): _of(hints[item.name], names, defs) for item in fields(view)}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _of(hint: Any, names: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    if is_dataclass(hint):
        return _reference(hint, names, defs)
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(args)}
    inner = [_of(arg, names, defs) for arg in args]
    if origin in (Union, UnionType):
        return {"anyOf": inner}
    if origin is dict:
        return {"type": "object", "additionalProperties": inner[1]}
    return {"type": "array", "items": inner[0]} if origin in (list, tuple) else {}


def _reference(view: Any, names: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    name = str(view.__name__)
    if name not in defs:
        defs[name] = {}  # a view may hold itself
        defs[name] = _object(view, names, defs)
    return {"$ref": f"#/$defs/{name}"}
