"""Where everything of a workspace lies.

Invariant: no other module builds these paths, and a path made from an experiment's id or from a name in evo.yaml
stays inside the workspace.
"""

from __future__ import annotations

from pathlib import Path

from evo.domain.experiment import parse_experiment_id
from evo.domain.job import AttemptFolder
from evo.errors import NotAWorkspace, UsageError

CONFIG_NAME = "evo.yaml"
HIDDEN_NAME = ".evo"


class Layout:
    """Named paths of the workspace at `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / CONFIG_NAME
        self.data = root / "data"
        self.recipes = root / "recipes"
        self.hidden = root / HIDDEN_NAME
        self.db = self.hidden / "evo.db"
        self.worktrees = self.hidden / "worktrees"
        self.attempts = self.hidden / "attempts"
        self.sealed = self.hidden / "sealed"
        self.pinned = self.hidden / "pinned"
        self.artifacts = self.hidden / "artifacts"
        self.reports = self.hidden / "reports"
        self.cache = self.hidden / "cache"
        self.run_cache = self.cache / "runs"
        self.slots = self.cache / "slots"
        self.track = self.hidden / "track"
        self.loop = self.hidden / "loop"
        self.loop_heartbeat = self.loop / "heartbeat.json"

    def __repr__(self) -> str:
        return f"Layout({str(self.root)!r})"

    def worktree(self, experiment: str) -> Path:
        return self.worktrees / parse_experiment_id(experiment)

    def attempt(self, experiment: str, number: int) -> AttemptFolder:
        return AttemptFolder(self.attempts / parse_experiment_id(experiment) / str(int(number)))

    def inside(self, name: str, *, field: str) -> Path:
        """The file that `field` of evo.yaml names, relative to the root. UsageError when it lies outside."""
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise UsageError(f"{field}: {name!r} lies outside the workspace", hint=f"copy it under {self.root}")
        return path

    def create(self) -> None:
        """Make `.evo/` and its folders; sealed items and the database are for the owner alone."""
        for folder in (
            self.worktrees,
            self.attempts,
            self.sealed,
            self.pinned,
            self.artifacts,
            self.reports,
            self.slots,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        self.hidden.chmod(0o711)
        self.sealed.chmod(0o700)


def find_root(start: Path) -> Layout:
    """The workspace around `start`. A worktree carries its own evo.yaml: from inside one, the workspace is meant."""
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / CONFIG_NAME).is_file():
            return Layout(_owner(folder) or folder)
    raise NotAWorkspace(f"there is no {CONFIG_NAME} in {here} or above it", hint="evo init DIR makes a workspace")


def _owner(folder: Path) -> Path | None:
    """The workspace in whose `.evo` a folder lies."""
    owners = (above.parent for above in folder.parents if above.name == HIDDEN_NAME)
    return next((owner for owner in owners if (owner / CONFIG_NAME).is_file()), None)
