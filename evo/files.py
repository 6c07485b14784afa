"""Files that cross a process border, and hashes of what lies in a folder.

Invariant: a reader sees the whole old file or the whole new one; `os.replace` follows an fsync.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evo.errors import FileFormatError, NotFound

_CHUNK = 1 << 20


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace `path` as a whole; after any error the old file stands and nothing else is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, mode)
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def write_json(path: Path, data: Any, *, mode: int = 0o644) -> None:
    write_text(path, json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n", mode=mode)


def write_jsonl(path: Path, rows: Iterable[Any], *, mode: int = 0o644) -> None:
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
    write_text(path, "".join(lines), mode=mode)


def read_json(path: Path) -> Any:
    """The document in `path`. NotFound or FileFormatError (file, line) otherwise."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except json.JSONDecodeError as error:
        raise FileFormatError(path, f"is not JSON: {error.msg}", line=error.lineno) from None
    except UnicodeDecodeError as error:
        raise FileFormatError(path, f"is not UTF-8: byte {error.start}") from None


def sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_json(data: Any) -> str:
    """Hash of the data, whatever the order of its keys."""
    return sha256_text(json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False))


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_folder(folder: Path, *, pattern: str = "**/*") -> str:
    """Hash of the relative names and contents of the regular files; an empty or missing folder has one too."""
    entries = [
        (str(path.relative_to(folder)), sha256_file(path))
        for path in sorted(folder.glob(pattern))
        if path.is_file() and not path.is_symlink()
    ]
    return sha256_json(entries)
