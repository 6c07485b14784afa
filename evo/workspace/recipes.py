"""Recipes: finding them by name, reading them, checking them, copying them.

Invariant: a recipe of the workspace shadows the shipped one of that name; what is returned was validated, from a copy
by hash where recipe.yaml did not change since the last write.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

from evo import assets
from evo.config import ParamSpec, RecipeConfig
from evo.errors import FileFormatError, NotFound, Refused, UsageError, nearest
from evo.files import sha256_text, write_json
from evo.lightdata import dataclass
from evo.validation import plain, restore, validate
from evo.workspace.folders import copy_files, hash_files, remove_folder
from evo.workspace.layout import Layout
from evo.workspace.params import apply_params, check_param, grid
from evo.workspace.settings import schema_hash

__all__ = ["RecipeSource", "apply_params", "copy", "find_recipe", "grid", "load_recipe", "names", "refresh"]

CONFIG = "recipe.yaml"
PAGE = "train.py"


@dataclass(frozen=True)
class RecipeSource:
    """`sha256` covers the names and contents of all files of the folder."""

    name: str
    folder: Path
    config: RecipeConfig
    sha256: str
    is_shipped: bool


def shipped() -> Path:
    return assets.folder("recipes")


def names(layout: Layout | None) -> dict[str, Path]:
    """Name -> folder of every recipe that can be called by name, sorted."""
    found: dict[str, Path] = {}
    for home in (shipped(), layout.recipes if layout else None):
        if home is not None and home.is_dir():
            found |= {folder.name: folder for folder in home.iterdir() if (folder / CONFIG).is_file()}
    return dict(sorted(found.items()))


def own_names(layout: Layout) -> list[str]:
    """Recipes that the workspace brings itself."""
    home = layout.recipes
    return sorted(folder.name for folder in home.iterdir() if (folder / CONFIG).is_file()) if home.is_dir() else []


def recalled(layout: Layout, name: str) -> RecipeConfig | None:
    """The recipe called `name` as it was validated last; None where nobody has read it since it changed. Nothing is
    parsed, and no library is imported for it."""
    try:
        text = read_config(find_folder(layout, name) / CONFIG)
        return restore(RecipeConfig, json.loads(_copy_path(layout, text).read_bytes()))
    except (OSError, ValueError, NotFound):
        return None


def find_folder(layout: Layout | None, name: str) -> Path:
    """The folder of a recipe: a path when `name` has a slash, else by name. NotFound says what is near."""
    if "/" in name or name in (".", ".."):
        folder = Path(name).expanduser()
        if not (folder / CONFIG).is_file():
            raise NotFound(f"{folder} holds no {CONFIG}", hint="evo recipe list shows the recipes that have a name")
        return folder.resolve()
    for home in (layout.recipes if layout else None, shipped()):
        if home is not None and (home / name / CONFIG).is_file():
            return home / name
    raise NotFound(f"no recipe named {name!r}", hint=nearest(name, names(layout)))


def find_recipe(layout: Layout, name: str) -> RecipeSource:
    """The recipe called `name` or at that path, read and validated."""
    return load_recipe(layout, find_folder(layout, name))


def load_recipe(layout: Layout | None, folder: Path) -> RecipeSource:
    """The recipe in `folder`. FileFormatError names line and field; NotFound when there is no recipe.yaml."""
    return RecipeSource(
        name=folder.name,
        folder=folder,
        config=_config(layout, folder / CONFIG),
        sha256=hash_files(folder),
        is_shipped=folder.parent == shipped(),
    )


def refresh(layout: Layout) -> None:
    """Keep a validated copy of every named recipe, so that the next command need not parse it."""
    for folder in names(layout).values():
        keep(layout, folder)


def keep(layout: Layout, folder: Path) -> None:
    """Keep a validated copy of the recipe in `folder`; every folder with the same recipe.yaml shares it."""
    path = folder / CONFIG
    text = read_config(path)
    kept = _copy_path(layout, text)
    if not kept.is_file():
        write_json(kept, plain(validated(path, text)))


def _config(layout: Layout | None, path: Path) -> RecipeConfig:
    text = read_config(path)
    if layout is not None:
        try:
            return restore(RecipeConfig, json.loads(_copy_path(layout, text).read_bytes()))
        except (OSError, ValueError):
            pass
    return validated(path, text)


def read_config(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist", hint="a recipe is a folder with recipe.yaml and train.py") from None
    except UnicodeDecodeError as error:
        raise FileFormatError(path, f"is not UTF-8: byte {error.start}") from None


def _copy_path(layout: Layout, text: str) -> Path:
    return layout.cache / "recipes" / f"{sha256_text(schema_hash() + text)}.json"


def validated(path: Path, text: str) -> RecipeConfig:
    document = import_module("evo.workspace.yamlfile").parse(text, path=path)
    config = validate(RecipeConfig, document.data, path=path, line_of=document.line_of)
    for name, spec in config.params.items():
        for key, check in (("default", _check_default), ("search", _check_search)):
            try:
                check(spec, name)
            except UsageError as error:
                line = document.line_of(("params", name, key))
                problem = error.message.removeprefix(f"{name}: ")
                raise FileFormatError(path, problem, line=line, field=f"params.{name}.{key}") from None
    return config


def _check_default(spec: ParamSpec, name: str) -> None:
    if spec.default is not None:
        check_param(spec, spec.default, name=name)


def _check_search(spec: ParamSpec, name: str) -> None:
    if not spec.search:
        return
    if spec.type not in ("float", "int") or spec.choices:
        raise UsageError("is for numbers without choices")
    if len(spec.search) < 2 or spec.search != sorted(set(spec.search)):
        raise UsageError("must be two numbers that rise, low and high, or more that rise: the values")
    for value in spec.search:
        check_param(spec, value, name=name)


def copy(layout: Layout, name: str, *, to: str = "") -> Path:
    """Copy a recipe into the workspace's own `recipes/`, as `to` (default: its own name, which it then shadows)."""
    source = find_folder(layout, name)
    new = to or source.name
    if "/" in new or new.startswith("."):
        raise UsageError(f"{new!r} cannot be the name of a recipe", hint="letters, digits, dashes")
    target = layout.recipes / new
    if target.exists():
        raise Refused(f"{target} exists already", hint=f"evo recipe copy {name} OTHER_NAME")
    draft = target.with_name(f".{new}.part")
    remove_folder(draft, ignore_errors=True)
    copy_files(source, draft)
    draft.rename(target)
    return target
