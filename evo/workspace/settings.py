"""The configuration in force: flag > `EVO_*` > evo.yaml > user file > default.

Invariant: what is returned was validated. Where neither file changed since the last write it comes from a validated
copy, by hash, and neither pydantic nor ruamel is imported. Reading writes nothing: `refresh` does.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from evo import config as schema
from evo.config import EvoConfig
from evo.errors import FileFormatError, NotFound
from evo.files import sha256_bytes, sha256_file, sha256_json, write_json
from evo.lightdata import dataclass, replace
from evo.validation import plain, restore, to_name, validate
from evo.workspace.layout import Layout
from evo.workspace.values import check_key, known_keys, parse_value


@dataclass(frozen=True)
class _Sources:
    """The texts that a configuration is made from, and the hash of them and of the schema."""

    workspace: Path
    user: Path
    sha256: str


def user_file(environ: Mapping[str, str]) -> Path:
    """The settings of this user for all workspaces."""
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".config")
    return Path(home) / "evo" / "config.yaml"


def load_config(
    layout: Layout, *, flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> EvoConfig:
    """The configuration of a workspace. `flags`: dotted keys that the command line gave, as text or as values."""
    environ = os.environ if environ is None else environ
    sources = _sources(layout, environ)
    config = _validated_copy(layout, sources) or _validated(sources)
    return _overridden(config, environ, flags or {})


def refresh(
    layout: Layout, *, flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> EvoConfig:
    """`load_config` for commands that write: also keeps the validated copy for the readers."""
    environ = os.environ if environ is None else environ
    sources = _sources(layout, environ)
    config = _validated_copy(layout, sources)
    if config is None:
        config = _validated(sources)
        write_json(_copy_path(layout), {"sha256": sources.sha256, "config": plain(config)})
    return _overridden(config, environ, flags or {})


def set_value(layout: Layout, key: str, value: object) -> Any:
    """Set one key in evo.yaml, comments kept, and return the value. Nothing is written when it is wrong."""
    written = import_module("evo.workspace.yamlfile").set_key(layout.config, key, value)
    refresh(layout)
    return written


def unset_value(layout: Layout, key: str) -> bool:
    """Remove one key from evo.yaml; False when it was not set."""
    was_set = import_module("evo.workspace.yamlfile").unset_key(layout.config, key)
    refresh(layout)
    return bool(was_set)


def variable_of(key: str) -> str:
    """`search.policy` -> `EVO_SEARCH_POLICY`."""
    return "EVO_" + key.upper().replace(".", "_").replace("-", "_")


@functools.cache
def schema_hash() -> str:
    """Changes whenever a type, range or default may have changed: a copy validated before does not count then."""
    return sha256_file(Path(schema.__file__))


def _sources(layout: Layout, environ: Mapping[str, str]) -> _Sources:
    user = user_file(environ)
    hashes: list[str | None] = [schema_hash()]
    for path in (layout.config, user):
        try:
            hashes.append(sha256_bytes(path.read_bytes()))
        except FileNotFoundError:
            if path is layout.config:
                raise NotFound(f"{path} does not exist", hint="evo init DIR makes a workspace") from None
            hashes.append(None)
        except OSError as error:
            raise FileFormatError(path, f"it cannot be read: {error.strerror}", hint=f"chmod u+r {path}") from None
    return _Sources(layout.config, user, sha256_json(hashes))


def _copy_path(layout: Layout) -> Path:
    return layout.cache / "config.json"


def _validated_copy(layout: Layout, sources: _Sources) -> EvoConfig | None:
    try:
        kept = json.loads(_copy_path(layout).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("sha256") != sources.sha256:
        return None
    return restore(EvoConfig, kept["config"])


def _validated(sources: _Sources) -> EvoConfig:
    """Both files parsed and checked each by itself, so that an error names the right one."""
    yamlfile = import_module("evo.workspace.yamlfile")
    merged: dict[str, Any] = {}
    for path in (sources.user, sources.workspace):
        if path.is_file():
            document = yamlfile.load(path)
            yamlfile.check_config(document, path=path)
            merged = _over(merged, yamlfile.with_sections(document.data) or {})
    return validate(EvoConfig, merged, path=sources.workspace)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One level of sections; keys by field name, since either file may spell them with dashes or underscores."""
    result = {to_name(key): value for key, value in below.items()}
    for key, value in above.items():
        name = to_name(key)
        old = result.get(name)
        result[name] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _overridden(config: EvoConfig, environ: Mapping[str, str], flags: Mapping[str, object]) -> EvoConfig:
    if any(name.startswith("EVO_") for name in environ):
        for key in known_keys():
            text = environ.get(variable_of(key))
            if text is not None:
                config = _with(config, key, parse_value(key, text, origin=variable_of(key)))
    for written, value in flags.items():
        key = check_key(written)
        config = _with(config, key, parse_value(key, value) if isinstance(value, str) else value)
    return config


def _with(config: Any, key: str, value: object) -> Any:
    first, _, rest = key.partition(".")
    name = to_name(first)
    return replace(config, **{name: _with(getattr(config, name), rest, value) if rest else value})
