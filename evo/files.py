"""Files that cross a process border, and hashes of what lies in a folder.

Invariant: a reader sees the whole old file or the whole new one; `os.replace` follows an fsync.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evo.errors import FileFormatError, NotFound

try:
    from _sha256 import sha256  # type: ignore[import-not-found]  # as `random` does: OpenSSL takes 2 ms to load
except ImportError:
    from hashlib import sha256

_CHUNK = 1 << 20


def new_draft(path: Path) -> tuple[int, Path]:
    """An open descriptor of a new file of mode 0600 beside `path`, to be renamed onto it, and that file's path."""
    draft = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    return os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), draft


def drafted(path: Path) -> str:
    """The name of the file that the one at `path` was to become; empty where it is no draft."""
    found = re.fullmatch(r"\.(.+)\.[0-9a-f]{12}", path.name)
    return found[1] if found else ""


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    write_bytes(path, text.encode("utf-8"), mode=mode)


def write_bytes(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` as a whole; after any error the old file stands and nothing else is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = new_draft(path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
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


def sha256_bytes(data: bytes) -> str:
    digest: str = sha256(data).hexdigest()
    return digest


def sha256_text(text: str) -> str:
    return sha256_bytes(text.encode())


def sha256_json(data: Any) -> str:
    """Hash of the data, whatever the order of its keys."""
    return sha256_text(json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False))


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        text = file.read(_CHUNK)
        if len(text) < _CHUNK:
            return sha256_bytes(text)
        import hashlib  # six times as fast on weights

        digest = hashlib.sha256(text)
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
