"""The small files of an attempt folder, as the supervisor reads and writes them.

Promise: a reader sees a whole record or none. Whatever a training process put in a record's place (a torn file, a
pipe, a link, a folder, a gigabyte) reads as "no record" or is replaced; nothing here follows a link or blocks.
Only light modules are imported: this file is on the way of every supervisor's start.
"""

from __future__ import annotations

import binascii
import contextlib
import json
import os
import stat
from typing import Any

JOB = "job.json"
RESULT = "result.json"
TRAINED = "trained.json"
SUPERVISOR = "supervisor.json"
SUPERVISOR_LOG = "supervisor.log"
HEARTBEAT = "heartbeat"
CANCEL = "cancel"
STOP = "stop"
OUTPUT = "output"
OPENED = "opened.json"
SCRATCH = "tmp"
EVAL = "eval"
EVAL_JOB = "eval/job.json"
MID = "mid"
QUESTION = ".want.json"
DOWN = "down.json"

_LARGEST_RECORD = 16 << 20
_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def read_bytes(path: str, *, offset: int = 0, limit: int = _LARGEST_RECORD) -> bytes | None:
    """Up to `limit` bytes of a regular file from `offset` (negative: from its end); None for anything else."""
    try:
        handle = os.open(path, os.O_RDONLY | _SAFE)
    except OSError:
        return None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            return None
        start = offset if offset >= 0 else max(0, facts.st_size + offset)
        return os.pread(handle, limit, start)
    except OSError:
        return None
    finally:
        os.close(handle)


def read_record(path: str) -> dict[str, Any] | None:
    """The JSON object in `path`, or None: absent, not whole, or not an object."""
    content = read_bytes(path)
    if content is None:
        return None
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def write_record(path: str, record: dict[str, Any], *, is_durable: bool = True) -> None:
    write_bytes(path, (json.dumps(record, allow_nan=False) + "\n").encode(), is_durable=is_durable)


def write_bytes(path: str, content: bytes, *, is_durable: bool = True, mode: int = 0o600) -> None:
    """Replace `path` as a whole, whatever stands there. `is_durable`: also after a loss of power."""
    draft = f"{path}.{os.getpid()}.draft"
    remove(draft)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
        if is_durable:
            os.fsync(handle)
    finally:
        os.close(handle)
    if _is_folder(path):
        remove(path)
    os.replace(draft, path)


def claim_of(token: str) -> str:
    """A checksum by which supervisor.json tells whose it is. It gives away 32 bits of a token of at least 128."""
    return f"{binascii.crc32(token.encode()):08x}"


def fence_of(token: str) -> str:
    """Name of the file that tells the supervisor with this token, however late it starts, that it has no business."""
    return f"fence.{claim_of(token)}"


def touch(path: str) -> None:
    """Set the modification time to now, creating the file where it is missing."""
    try:
        os.utime(path, follow_symlinks=False)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, 0o600))


def remove(path: str) -> None:
    """Delete a file, link or whole folder, if there is one."""
    if _is_folder(path):
        with os.scandir(path) as entries:
            names = [entry.path for entry in entries]
        for name in names:
            remove(name)
        os.rmdir(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def is_empty_folder(path: str) -> bool:
    """True when no file lies anywhere under `path`."""
    return not any(files for _, _, files in os.walk(path))


def tail_lines(path: str, *, lines: int, limit: int) -> list[str]:
    """The last lines of a log, at most `lines` and `limit` bytes of them. Of a redrawn progress bar, its last state."""
    content = read_bytes(path, offset=-limit, limit=limit) or b""
    text = content.decode("utf-8", "replace").replace("\0", "")
    drawn = [line.rstrip().rpartition("\r")[2] for line in text.split("\n")]
    return [line for line in drawn if line.strip()][-lines:]


def best_answer(folder: str) -> dict[str, Any] | None:
    """The mid-evaluation (`evo.domain.job.MidAnswer`) of the best checkpoint in `folder`, if there was one."""
    names = sorted(name for name in os.listdir(folder) if name[:-5].isdecimal() and name.endswith(".json"))
    answers = (read_record(f"{folder}/{name}") for name in reversed(names))
    return next((answer for answer in answers if answer is not None and answer.get("is_best") is True), None)
