"""`evo config set` and `unset`: evo.yaml edited in place, validated before it is written."""

from __future__ import annotations

from importlib import import_module

from evo.config import get_key
from evo.domain.views import KeyValueView
from evo.session import open_config
from evo.validation import plain
from evo.workspace import settings


def set_value(key: str, value: str) -> KeyValueView:
    """The new value of `key`. UsageError: no such key (the nearest is named), or a value out of range."""
    layout = open_config().layout
    settings.set_value(layout, key, value)
    return KeyValueView(key, plain(get_key(settings.load_config(layout), key)))


def rehearse(key: str, value: str | None) -> str:
    """What setting (None: unsetting) would come to. UsageError as the real one has it; nothing is written."""
    layout = open_config().layout
    text = import_module("evo.workspace.yamlfile")
    was = get_key(settings.load_config(layout), key)
    if value is None:
        return f"take {key} out of evo.yaml; it is {was} now"
    text.with_keys(text.read(layout.config), {key: value}, path=layout.config)
    return f"set {key} to {value} in evo.yaml; it is {was} now"


def unset_value(key: str) -> KeyValueView:
    """The default of `key`, which holds again."""
    layout = open_config().layout
    settings.unset_value(layout, key)
    return KeyValueView(key, get_key(settings.load_config(layout), key))
