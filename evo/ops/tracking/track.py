"""Which tracker a workspace is mirrored to, and the one call that starts the mirror.

Invariant: a run neither waits for a tracker nor fails by one. Without a tracker this costs three looks at the
environment; with one, the start of a process (`evo.ops.tracking.mirror`) that is on its own from then on.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from evo import registry
from evo.config import EvoConfig
from evo.domain.experiment import ROOT
from evo.errors import UsageError
from evo.files import sha256_text
from evo.lightdata import dataclass
from evo.session import Session
from evo.store import experiments

BY_VARIABLE = {"WANDB_API_KEY": "wandb", "TRACKIO_SPACE_ID": "trackio", "MLFLOW_TRACKING_URI": "mlflow"}
"""What `track: auto` looks for, in this order."""
WANDB_HOST = "api.wandb.ai"


@dataclass(frozen=True)
class Choice:
    """`name` is a tracker, or `none`; `mode` is online or offline; `why` says where that comes from."""

    name: str
    mode: str
    why: str


class Places:
    """Named paths of `.evo/track/`; a tracker's own folders lie beside them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = root / "lock"
        self.wanted = root / "wanted"
        """Touched by whoever has something to mirror; a mirror ends only when it has seen the last touch."""
        self.sent = root / "sent.json"
        self.status = root / "status.json"
        self.log = root / "tracker.log"

    def make(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)


def choose(config: EvoConfig, environ: Mapping[str, str]) -> Choice:
    """The tracker of `track`, for `auto` the first that the environment speaks of."""
    if config.track != "auto":
        return _with_mode(config.track, f"track: {config.track}", environ)
    for variable, name in BY_VARIABLE.items():
        if environ.get(variable):
            return _with_mode(name, f"{variable} is set", environ)
    return Choice("none", "", "track: auto, and none of " + ", ".join(BY_VARIABLE) + " is set")


def _with_mode(name: str, why: str, environ: Mapping[str, str]) -> Choice:
    if name == "none":
        return Choice(name, "", why)
    if name != "wandb":
        return Choice(name, "online", why)
    wish = environ.get("WANDB_MODE", "").lower()
    if wish == "disabled":
        return Choice("none", "", "WANDB_MODE is disabled")
    if wish in ("offline", "dryrun"):
        return Choice(name, "offline", f"{why}; WANDB_MODE is {wish}")
    if not is_logged_in(environ):
        return Choice(name, "offline", f"{why}; no login is known, and none is asked for")
    return Choice(name, "online", why)


def is_logged_in(environ: Mapping[str, str]) -> bool:
    """True when wandb will find a key without asking: in the environment, or in the file that `wandb login` writes."""
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = re.sub(r"^https?://|[:/].*$", "", environ.get("WANDB_BASE_URL", "")) or WANDB_HOST
    file = Path(environ.get("NETRC") or Path(environ.get("HOME", "/nonexistent")) / ".netrc")
    try:
        words = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return False
    return any(words[i : i + 2] == ["machine", host] for i in range(len(words)))


def problem_of(choice: Choice) -> str:
    """Why this tracker cannot be used here, with the pip line; empty when it can. Imports nothing of it."""
    if choice.name == "none" or choice.name not in registry.TABLES["tracker"]:
        return registry.problem("tracker", choice.name) if choice.name != "none" else ""
    found = find_spec(choice.name)
    if found is not None and found.origin is not None:  # a mere folder of that name has no origin
        return ""
    return f"{choice.name} is not installed ({choice.why}): pip install 'evo-tree[{choice.name}]'"


def start(session: Session) -> tuple[str, ...]:
    """Start the mirror, unless there is nothing to mirror to. Warnings; never an error, never a wait."""
    choice = choose(session.config, os.environ)
    if choice.name == "none":
        return ()
    if problem := problem_of(choice):
        return (f"not mirrored: {problem}",)
    try:
        places = Places(session.layout.track)
        places.make()
        places.wanted.touch()
        if not is_running(places):  # one that is has yet to look at `wanted`
            _spawn(session.layout.root, choice, places)
    except OSError as error:
        return (f"not mirrored to {choice.name}: {error}",)
    return ()


def is_running(places: Places) -> bool:
    """True while a mirror holds the lock."""
    try:
        handle = os.open(places.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _spawn(root: Path, choice: Choice, places: Places) -> None:
    argv = [sys.executable, "-P", "-m", "evo.ops.tracking.mirror", str(root), choice.name, choice.mode]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    os.posix_spawn(
        sys.executable,
        argv,
        os.environ,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(places.log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )


def tree_name(session: Session) -> str:
    """`sums-3fa2c1`: the workspace's name, and what tells this tree from others of that name, here or elsewhere."""
    born = experiments.get(session.db, ROOT).created_at
    return f"{project_name(session.config)}-{sha256_text(born + session.heldout_hash)[:6]}"


def project_name(config: EvoConfig) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", config.name)[:100].strip("-") or "evo"


def run_id(tree: str, experiment: str, attempt: int) -> str:
    return f"{tree}-{experiment.replace('_', '-')}-a{attempt}"


def for_sync(config: EvoConfig, environ: Mapping[str, str], *, offline: bool) -> Choice:
    """What `evo wandb sync` writes to: the tracker in use; wandb where `auto` finds none or `--offline` is said."""
    choice = choose(config, environ)
    if config.track == "none":
        raise UsageError("track: none", hint="evo config set track wandb")
    if offline and choice.name not in ("wandb", "none"):
        raise UsageError(f"--offline: {choice.name} has no such mode", hint="evo wandb sync")
    if offline:
        return Choice("wandb", "offline", "--offline")
    return choice if choice.name != "none" else _with_mode("wandb", "asked for by name", environ)
