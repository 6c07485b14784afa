"""A folder as it is, so that a test can say that nothing in it has changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def snapshot(root: Path) -> dict[str, tuple[object, ...]]:
    """Relative path -> mode, content and (files) time of change of all under `root`; empty where there is no `root`.

    A folder's time is left out: SQLite lays files beside the database while it reads, and takes them away again.
    """
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted((root, *root.rglob("*"))):
        if not os.path.lexists(path):
            continue
        facts = path.lstat()
        content: object = sorted(os.listdir(path)) if path.is_dir() else None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        changed_at = None if path.is_dir() else facts.st_mtime_ns
        found[str(path.relative_to(root))] = (facts.st_mode, changed_at, content)
    return found
