"""The words after `--set` and `--grid` as parameters of a recipe.

Invariant: what `apply_params` returns has a value of the right type and range for every parameter of the recipe, and
no other key.
"""

from __future__ import annotations

import itertools
import json
import math
import shlex
from collections.abc import Mapping, Sequence

from evo.config import ParamSpec, RecipeConfig
from evo.errors import UsageError, nearest
from evo.workspace.values import one_of, read_scalar

_TYPES: dict[str, type] = {"float": float, "int": int, "str": str, "bool": bool}
_TYPE_WORDS = {"float": "a number", "int": "a whole number", "str": "text", "bool": "true or false", "list": "a list"}
Value = float | int | str | bool | list[str] | None


def apply_params(config: RecipeConfig, settings: Sequence[str] | Mapping[str, object]) -> dict[str, object]:
    """All parameters of a recipe: its defaults, under `settings` (`["lr=1e-5"]`, or names and values).

    UsageError for an unknown name (nearest), a name given twice, a wrong type or range, or a required one left out.
    """
    pairs = list(settings.items()) if isinstance(settings, Mapping) else [_split(word) for word in settings]
    given: dict[str, object] = {}
    for word, raw in pairs:
        name = resolve_name(config, word)
        if name in given:
            raise UsageError(f"{name} is set twice")
        spec = config.params[name]
        value = read_param(spec, raw, name=name) if isinstance(raw, str) else raw
        given[name] = check_param(spec, value, name=name)
    return {name: given[name] if name in given else _default(config, name) for name in config.params}


def _default(config: RecipeConfig, name: str) -> Value:
    spec = config.params[name]
    if spec.default is not None:
        return check_param(spec, spec.default, name=name)
    if spec.required:
        raise UsageError(f"{config.name} needs {name}: {spec.doc or 'it has no default'}", hint=f"--set {name}=…")
    return None


def grid(words: Sequence[str]) -> list[list[str]]:
    """`["lr=1e-5,2e-5", "rank=8,16"]` as its points, each a list of `name=value`; without words one empty point."""
    axes = []
    for word in words:
        name, text = _split(word)
        axes.append([f"{name}={value}" for value in _parted(text)])
    return [list(point) for point in itertools.product(*axes)]


def _split(word: str) -> tuple[str, str]:
    name, equals, text = word.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{word!r} is not NAME=VALUE", hint="--set learning_rate=1e-5")
    return name.strip(), text.strip()


def _parted(text: str) -> list[str]:
    """Parts between the commas that stand outside brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[]":
            depth += 1 if letter == "[" else -1
        elif letter == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += letter
    return [part.strip() for part in parts]


def resolve_name(config: RecipeConfig, word: str) -> str:
    """The parameter that a word means: its name (dashes allowed) or its alias. UsageError names the nearest."""
    name = word.replace("-", "_")
    if name in config.params:
        return name
    aliases = {spec.alias: name for name, spec in config.params.items() if spec.alias}
    if word in aliases:
        return aliases[word]
    hint = nearest(word, [*config.params, *aliases])
    raise UsageError(f"{config.name} has no parameter {word!r}", hint=hint)


def read_param(spec: ParamSpec, text: str, *, name: str) -> Value:
    """`text` by the type of the parameter. A list: JSON, or words of a command line, or parts between commas."""
    if spec.default is None and spec.type != "str" and text.lower() in ("none", "null"):
        return None
    try:
        if spec.type == "list":
            return _read_list(text)
        value: Value = read_scalar(_TYPES[spec.type], text)
    except ValueError:
        raise UsageError(f"{name}: {text!r} is not {_TYPE_WORDS[spec.type]}") from None
    return value


def _read_list(text: str) -> list[str]:
    if text.startswith("["):
        return [str(entry) for entry in json.loads(text)]
    return shlex.split(text) if any(letter.isspace() for letter in text) else [part for part in text.split(",") if part]


def check_param(spec: ParamSpec, value: object, *, name: str) -> Value:
    """`value`, when it has the type and range of the parameter. UsageError otherwise."""
    if value is None:
        if spec.default is not None or spec.required:
            raise UsageError(f"{name} must be {_TYPE_WORDS[spec.type]}, not null")
        return None
    if isinstance(value, int) and not isinstance(value, bool) and spec.type == "float":
        value = float(value)
    if isinstance(value, list):
        if spec.type != "list" or not all(isinstance(entry, str) for entry in value):
            raise UsageError(f"{name}: {value!r} is not {_TYPE_WORDS[spec.type]}")
        return value
    if not isinstance(value, (bool, int, float, str)) or type(value) is not _TYPES.get(spec.type):
        raise UsageError(f"{name}: {value!r} is not {_TYPE_WORDS[spec.type]}")
    if spec.choices and value not in spec.choices:
        raise UsageError(f"{name}: {value!r} is not {one_of(spec.choices)}")
    problem = "" if isinstance(value, (str, bool)) else _out_of_range(spec, value)
    if problem:
        raise UsageError(f"{name}: {value} {problem}")
    return value


def _out_of_range(spec: ParamSpec, value: float) -> str:
    if not math.isfinite(value):
        return "is not a finite number"
    if spec.min is not None and value < spec.min:
        return f"must be at least {spec.min:g}"
    if spec.max is not None and value > spec.max:
        return f"must be at most {spec.max:g}"
    if spec.above is not None and value <= spec.above:
        return f"must be more than {spec.above:g}"
    if spec.below is not None and value >= spec.below:
        return f"must be less than {spec.below:g}"
    return ""
