"""A folder that leaves evo: it appears whole or not at all, and nothing that was there is written over.

Invariant: only regular files are copied, and a link is followed only where its owner is the user, never a run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from evo.errors import Refused, UsageError

OnBytes = Callable[[int], None]
"""Called with the number of bytes done so far."""
_CHUNK = 1 << 23
ROOM = 64_000_000
"""Bytes that stay free on a disk beside what is written."""


class Source(NamedTuple):
    """A file to copy, and its name in the folder."""

    path: Path
    name: str


def refuse_target(target: Path) -> None:
    """Refused or UsageError where `target` is no place for a new folder."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target} is no folder", hint="name a folder that is new or empty")
    if target.is_dir() and any(target.iterdir()):
        raise Refused(f"{target} is not empty", hint="name a folder that is new or empty")


@contextmanager
def draft_of(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, which takes its place when the block ends well, and is gone when it does not."""
    refuse_target(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise Refused(f"{target} cannot be made: {error.strerror}", hint="name another folder") from None
    try:
        yield draft
        _open_to_read(draft)
        refuse_target(target)  # another process may have been first
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _open_to_read(folder: Path) -> None:
    """Drafts and safetensors are written for their owner alone."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def regular_files(folder: Path, *, follow: bool) -> list[Source]:
    """Every file below `folder`, by name. Refused where there is a link that is not to be followed."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not (follow and path.is_file()):
            raise Refused(
                f"{path} is a link: only files that the run itself wrote leave this machine",
                hint="replace it by what it points at",
            )
        if path.is_file():
            found.append(Source(path, str(path.relative_to(folder))))
    return found


def size_of(files: Iterable[Source]) -> int:
    return sum(file.path.stat().st_size for file in files)


def refuse_full_disk(folder: Path, size: int) -> None:
    """Refused where `size` bytes do not fit beside what stays free."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    if free < size + ROOM:
        raise Refused(f"{size / 1e9:.1f} GB do not fit: {free / 1e9:.1f} GB are free under {place}", hint="evo gc")


def untold(done: int) -> None:
    """For copies that take no time."""
    del done


def copy(files: Iterable[Source], to: Path, *, follow: bool, on_bytes: OnBytes = untold) -> None:
    """Copy into `to`. A file that became a link meanwhile is refused by the system where links are not followed."""
    done = 0
    flags = os.O_RDONLY | (0 if follow else os.O_NOFOLLOW)
    for source, name in files:
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(source, flags), "rb") as reader, target.open("wb") as writer:
            while chunk := reader.read(_CHUNK):
                writer.write(chunk)
                done += len(chunk)
                on_bytes(done)
            writer.flush()
            os.fsync(writer.fileno())
