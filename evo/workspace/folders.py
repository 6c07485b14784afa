"""Copying and hashing small folders of text: recipes, templates, pinned files.

Invariant: what is hashed is what is copied: regular files, without links and caches.
"""

from __future__ import annotations

import os
from pathlib import Path

from evo.files import sha256_file, sha256_json

_SKIPPED = frozenset({"__pycache__", ".git", ".ipynb_checkpoints"})


def regular_files(folder: Path) -> list[str]:
    """Relative names, sorted."""
    found: list[str] = []
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.name in _SKIPPED or entry.is_symlink():
                    continue
                if entry.is_dir():
                    pending.append(f"{prefix}{entry.name}/")
                elif entry.is_file():
                    found.append(prefix + entry.name)
    return sorted(found)


def hash_files(folder: Path) -> str:
    """sha256 of names and contents."""
    return sha256_json([(name, sha256_file(folder / name)) for name in regular_files(folder)])


def copy_files(folder: Path, to: Path) -> list[str]:
    """Copy into `to`, over what is there; the names copied."""
    names = regular_files(folder)
    for parent in sorted({(to / name).parent for name in names} | {to}):
        parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        (to / name).write_bytes((folder / name).read_bytes())
        (to / name).chmod((folder / name).stat().st_mode)
    return names


def remove_folder(folder: Path, *, ignore_errors: bool = False) -> None:
    import shutil  # brings four compressors along, and few commands remove anything

    shutil.rmtree(folder, ignore_errors=ignore_errors)
