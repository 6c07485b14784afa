"""Turns on a machine: a few slots per workspace, and GPUs that one run at a time may hold.

Invariant: a lease is an flock on an open file, so the system gives it back when its holder dies, however it dies.
The files hold nothing. (filelock's lock on Unix is this same flock, and 50 ms dearer to import.)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping

_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def take(folder: str, names: Iterable[str], *, count: int) -> list[tuple[str, int]] | None:
    """`count` of the named leases as (name, open file), or None and nothing held."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    held: list[tuple[str, int]] = []
    for name in names:
        if len(held) == count:
            break
        handle = os.open(os.path.join(folder, f"{name.replace('/', '_')}.lock"), _OPEN, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.append((name, handle))
        except BlockingIOError:
            os.close(handle)
    if len(held) < count:
        give_back(held)
        return None
    return held


def give_back(held: Iterable[tuple[str, int]]) -> None:
    for _, handle in held:
        os.close(handle)


def slot_names(slots: int) -> list[str]:
    return [f"slot-{number}" for number in range(slots)]


def visible_gpus(env: Mapping[str, str]) -> list[str]:
    """What a run may see: the entries of CUDA_VISIBLE_DEVICES where it is set, else all of this machine's."""
    allowed = env.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        entries = [entry.strip() for entry in allowed.split(",")]
        return entries[: entries.index("-1")] if "-1" in entries else [entry for entry in entries if entry]
    return [str(number) for number, _ in enumerate(_gpu_devices())]


def _gpu_devices() -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from os.listdir("/proc/driver/nvidia/gpus")


def gpu_folder() -> str:
    """One folder for all workspaces of this user: GPUs belong to the machine."""
    return f"/tmp/evo-gpus-{os.getuid()}"
