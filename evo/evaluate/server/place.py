"""Where the warm inference server is found and who keeps it, without a word to the server itself.

Invariant: a keeper is found by its lock, never by a pid. Only light modules are imported: commands that evaluate by
the server look here before they do anything else.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from evo.domain.job import ServerFacts
from evo.domain.service import ServiceFolder, ServiceState
from evo.errors import EvoError, RunFailed
from evo.evaluate.server.command import service_of
from evo.files import read_json, write_json
from evo.validation import plain

_ROOT = str(Path(__file__).resolve().parents[3])
_KEEPER = "import sys; sys.path.append(sys.argv[1]); from evo.runner.keeper import main; sys.exit(main(sys.argv[2:]))"


def lay_out(facts: ServerFacts, env: dict[str, str]) -> ServiceFolder:
    """The server's folder, for its owner alone, with what a keeper needs."""
    place = ServiceFolder(Path(facts.folder))
    place.leases.mkdir(parents=True, exist_ok=True)
    place.root.chmod(0o700)
    write_json(place.service, plain(service_of(facts, env)), mode=0o600)
    return place


def ensure_keeper(place: ServiceFolder) -> bool:
    """Start a keeper where there is none; whether one was started. The folder is laid out."""
    if has_keeper(place):
        return False
    import subprocess  # 10 ms, which a command that finds a keeper does not pay

    lock = open_lock(place.start_lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if has_keeper(place):
            return False
        argv = [sys.executable, "-I", "-S", "-c", _KEEPER, _ROOT, str(place.root)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            raise RunFailed(f"the keeper of the inference server did not start: {said[-1] if said else 'no word'}")
        return True
    finally:
        os.close(lock)


def has_keeper(place: ServiceFolder) -> bool:
    """Nothing is changed by asking."""
    try:
        lock = os.open(place.keeper_lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def state_of(place: ServiceFolder) -> ServiceState:
    """What the keeper said last; asleep where it never spoke."""
    try:
        return ServiceState(**read_json(place.state))
    except (EvoError, TypeError):
        return ServiceState("asleep")


def down_reason(place: ServiceFolder) -> str:
    """Why the server is not to be had, until the machine restarts or down.json is removed; empty where it is."""
    try:
        record = read_json(place.down)
    except EvoError:
        return ""
    return str(record.get("why") or "it crashed") if record.get("boot_id") == _boot_id() else ""


def cure(folder: ServiceFolder) -> str:
    return f"rm {folder.down} to have it tried again"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def open_lock(path: Path) -> int:
    """A descriptor to lock; closing it lets go."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
