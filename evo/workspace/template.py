"""What `evo init` lays down.

Invariant: a file that is there already is never replaced; evo.yaml of every template is a valid configuration.
Placeholders are `{{name}}` and `{{model}}`, in Markdown and YAML files only.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from evo import assets
from evo.errors import NotFound, nearest
from evo.workspace.folders import regular_files
from evo.workspace.layout import CONFIG_NAME

_FILLED = (".md", ".yaml")


def names() -> list[str]:
    home = assets.folder("workspace_template")
    return sorted(folder.name for folder in home.iterdir() if (folder / CONFIG_NAME).is_file())


def folder_of(kind: str) -> Path:
    """The folder of a template. NotFound names the nearest."""
    if kind not in names():
        raise NotFound(f"no template named {kind!r}", hint=nearest(kind, names()))
    return assets.folder("workspace_template") / kind


def check(kind: str, settings: Mapping[str, object]) -> None:
    """UsageError or FileFormatError when the template's evo.yaml would not bear these dotted keys. Writes nothing."""
    path = folder_of(kind) / CONFIG_NAME
    text = filled(path.read_text(encoding="utf-8"), {"name": "", "model": ""}, is_yaml=True)
    import_module("evo.workspace.yamlfile").with_keys(text, settings, path=CONFIG_NAME)


def lay_down(kind: str, root: Path, *, name: str, model: str = "") -> list[str]:
    """Copy the template into `root`; the relative names of the files that were new."""
    source = folder_of(kind)
    laid = []
    for relative in regular_files(source):
        target = root / relative
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix in _FILLED:
            text = (source / relative).read_text(encoding="utf-8")
            words = {"name": name, "model": model}
            target.write_text(filled(text, words, is_yaml=target.suffix == ".yaml"), encoding="utf-8")
        else:
            shutil.copyfile(source / relative, target)
        laid.append(relative)
    return laid


def filled(text: str, words: Mapping[str, str], *, is_yaml: bool) -> str:
    """`text` with its placeholders replaced; in YAML as quoted text."""
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", json.dumps(value, ensure_ascii=False) if is_yaml else value)
    return text
