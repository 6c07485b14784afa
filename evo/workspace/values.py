"""Words of a command line or an environment variable as values of evo.yaml, by the schema's types and ranges.

Invariant: what `parse_value` returns passes the schema's check of that key, and no library was imported for it.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from evo.bounds import Ge, Gt, Le, Lt, MinLen
from evo.config import EvoConfig, config_keys
from evo.errors import UsageError, nearest
from evo.lightdata import is_dataclass
from evo.validation import to_key, to_name, validate
from evo.workspace.faults import fault_of

_WORDS: dict[str, object] = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NOTHING = frozenset({"none", "null", "~", ""})
_EMPTY = ('""', "''")
_WITH_COMMAS = frozenset({"eval.stop", "eval.forbidden"})
"""Lists whose entries are any text: commas and brackets belong to it, unless it is a JSON list."""
_PART = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s"',\[{][^,]*)\s*(?:,\s*|$)""")


def check_key(key: str) -> str:
    """The key as evo.yaml spells it. UsageError names the nearest one."""
    spelled = key.replace("_", "-")
    if spelled not in known_keys():
        raise UsageError(f"no setting named {key!r}", hint=nearest(spelled, known_keys()))
    return spelled


@functools.cache
def known_keys() -> tuple[str, ...]:
    return tuple(config_keys())


def parse_value(key: str, text: str, *, origin: str = "") -> Any:
    """`text` as the value of the dotted `key`: `1e-5`, `auto`, `none`, `true`, `["\\n"]`, `0,1`.

    UsageError names `origin` (default: the key) and what may stand there.
    """
    spelled = check_key(key)
    hint = _hint(spelled)
    for kind in _alternatives(hint):
        try:
            value = _read(kind, text, has_commas=spelled in _WITH_COMMAS)
        except UsageError as error:
            raise UsageError(f"{origin or key}: {error.message}", hint=error.hint) from None
        except ValueError:
            continue
        problem = _out_of_range(kind, value)
        if problem:
            raise UsageError(f"{origin or key}: {text} {problem}")
        fault = fault_of(spelled, value)
        if fault:
            raise UsageError(f"{origin or key}: {fault}")
        return value
    raise UsageError(f"{origin or key}: {text!r} is not {_describe(hint)}")


def _hint(key: str) -> Any:
    hint: Any = EvoConfig
    for part in key.split("."):
        hint = get_type_hints(hint, include_extras=True)[to_name(part)]
    return hint


def _alternatives(hint: Any) -> list[Any]:
    """The members of a union: words and nothing before numbers, text last."""
    members = list(get_args(hint)) if get_origin(hint) in (Union, UnionType) else [hint]
    return sorted(members, key=_rank)


def _rank(member: Any) -> int:
    kind = _bare(member)
    if kind is str:
        return 2
    return 0 if get_origin(kind) is Literal or kind is NoneType else 1


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _read(hint: Any, text: str, *, has_commas: bool) -> Any:
    """ValueError when `text` is none of that type."""
    kind = _bare(hint)
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise ValueError(text)
        return text
    if get_origin(kind) is list and is_dataclass(get_args(kind)[0]):
        return _read_sections(get_args(kind)[0], text)
    if get_origin(kind) is list:
        return _read_texts(text) if has_commas else _read_list(get_args(kind)[0], text)
    return "" if kind is str and text in _EMPTY else read_scalar(kind, text)


def read_scalar(kind: Any, text: str) -> Any:
    """`text` as a bool, int, float, str or None. ValueError otherwise; NaN and inf are no numbers."""
    if kind is NoneType:
        if text.lower() not in _NOTHING:
            raise ValueError(text)
        return None
    if kind is bool:
        try:
            return _WORDS[text.lower()]
        except KeyError:
            raise ValueError(text) from None
    if kind is float:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(text)
        return number
    return int(text) if kind is int else text


def _read_sections(kind: Any, text: str) -> list[Any]:
    """A JSON list of objects, each checked by the schema. ValueError: it is no such list."""
    rows = json.loads(text or "[]")
    if not isinstance(rows, list):
        raise ValueError(text)
    return [validate(kind, row, path="that list", keys=to_key) for row in rows]


def _read_texts(text: str) -> list[str]:
    """A JSON list; anything else is a list of that one text."""
    if not text.lstrip().startswith("["):
        return [text] if text else []
    entries = json.loads(text)
    if not all(isinstance(entry, str) for entry in entries):
        raise ValueError(text)
    return list(entries)


def _read_list(kind: Any, text: str) -> list[Any]:
    """Entries parted by commas, with or without brackets around them and quotes around each."""
    inner = text.strip()
    if inner.startswith("["):
        if not inner.endswith("]"):
            raise ValueError(text)
        inner = inner[1:-1]
    return [read_scalar(kind, part) for part in _parts(inner)]


def _parts(text: str) -> list[str]:
    """What stands between the commas, out of its quotes. ValueError: nothing does, or a quote is not closed."""
    found: list[str] = []
    start = len(text) - len(text.lstrip())
    while start < len(text):
        part = _PART.match(text, start)
        if part is None:
            raise ValueError(text)
        found.append(_unquoted(part[1].rstrip()))
        start = part.end()
    return found


def _unquoted(text: str) -> str:
    if text.startswith('"'):
        return str(json.loads(text))
    return text[1:-1].replace("''", "'") if text.startswith("'") else text


def _out_of_range(hint: Any, value: Any) -> str:
    """How `value` breaks the bounds of an annotated type; empty when it keeps them."""
    for bound in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
        if isinstance(bound, Ge) and not value >= bound.value:
            return f"must be at least {bound.value}"
        if isinstance(bound, Gt) and not value > bound.value:
            return f"must be more than {bound.value}"
        if isinstance(bound, Le) and not value <= bound.value:
            return f"must be at most {bound.value}"
        if isinstance(bound, Lt) and not value < bound.value:
            return f"must be less than {bound.value}"
        if isinstance(bound, MinLen) and len(value) < bound.value:
            return f"must have at least {bound.value} entries"
    return ""


def _describe(hint: Any) -> str:
    """What may stand there, in words."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "none"}
    return " or ".join(_describe_one(_bare(member), names) for member in _alternatives(hint))


def _describe_one(kind: Any, names: dict[Any, str]) -> str:
    if get_origin(kind) is Literal:
        return one_of(get_args(kind))
    if get_origin(kind) is list:
        if is_dataclass(get_args(kind)[0]):
            return "a JSON list of objects; in evo.yaml it is easier to write"
        return f"a list of {'numbers' if get_args(kind)[0] is float else 'texts'}"
    assert not is_dataclass(kind)
    return names[kind]


def one_of(words: Sequence[object]) -> str:
    return " or ".join(str(word) for word in words) if len(words) < 3 else "one of " + ", ".join(map(str, words))
