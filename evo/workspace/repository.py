"""The workspace's git: its own commits, and one worktree with one branch for each experiment.

Invariant: a worktree that `add_worktree` returned is whole; one that a kill left half made is made again by the next
call, and one that was lost (its folder, or git's notes about it) comes back with every commit and every file that is
left. Nothing that a person wrote is overwritten.

A worktree is made by writing git's own administrative files and one `git reset --hard`: `git worktree add` reads those
of all other worktrees and needs a second at 10,000 (docs/decisions/0003-worktrees-by-hand.md).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from evo.domain.experiment import Experiment, parse_experiment_id
from evo.errors import EvoError, NotFound, Refused
from evo.files import write_text
from evo.lightdata import dataclass
from evo.workspace.folders import copy_files, remove_folder
from evo.workspace.git import GitDirs, git, git_dirs, read_head, read_ref, tree_of
from evo.workspace.layout import Layout
from evo.workspace.staging import Omission, commit_changes, commit_paths, reason_to_omit, status

RECIPE = "recipe"
_OWN_FILES = (
    ".gitignore", "evo.yaml", "mission.md", "BACKGROUND.md", "system_prompt.md", "AGENTS.md", "scorer.py", "data",
    "design", "recipes",
)  # fmt: skip


@dataclass(frozen=True)
class Committed:
    """`tree` names the content; `omitted` what was kept out of git."""

    sha: str
    tree: str
    is_new: bool
    omitted: list[Omission]


def is_repo(root: Path) -> bool:
    """True when `root` is the top of a git repository."""
    return (root / ".git").exists()


def init(root: Path) -> None:
    """Make `root` a git repository with the branch `main`; one that is there stays as it is."""
    if not is_repo(root):
        root.mkdir(parents=True, exist_ok=True)
        git(root, "init", "-q", "-b", "main")


def is_dirty(root: Path) -> bool:
    """True when a tracked file differs from HEAD."""
    return bool(git(root, "status", "--porcelain", "--untracked-files=no").strip())


def tracked(root: Path, paths: Sequence[str]) -> list[str]:
    """Those files in or under `paths` (relative) that git tracks."""
    return [name for name in git(root, "ls-files", "-z", "--", *paths).split("\0") if name]


def head(root: Path) -> str:
    """The commit that is checked out at `root`. Refused before the first one."""
    found = read_head(git_dirs(root))
    if found is None:
        raise Refused(f"{root} has no commit yet", hint="git commit --allow-empty -m start")
    return found


def known_files(root: Path, extra: Sequence[str] = ()) -> list[str]:
    """The files that `evo init` commits: its own, and in a repository without commits all that git does not ignore.

    Secrets and big files are not among them. `extra`: further files that evo.yaml names.
    """
    is_new = read_head(git_dirs(root)) is None
    limit = [] if is_new else [*_OWN_FILES, *extra]
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *limit).split("\0")
    return [name for name in sorted(set(listed)) if name and not reason_to_omit(root, name)]


def exclude(root: Path, names: Sequence[str]) -> None:
    """Keep these files of `root` out of git: lines of .gitignore."""
    path = root / ".gitignore"
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = ["/" + re.sub(r"([\\*?\[\] ])", r"\\\1", name) for name in names]
    new = [line for line in lines if line not in old.splitlines()]
    if new:
        gap = "" if not old or old.endswith("\n") else "\n"
        write_text(path, old + gap + "".join(f"{line}\n" for line in new))


def commit_files(root: Path, paths: Sequence[str], message: str, *, is_due: bool = False) -> str:
    """Commit these files alone and return HEAD; no new commit when they equal it already, unless one `is_due`."""
    commit_paths(root, paths, message, is_due=is_due)
    return git(root, "rev-parse", "--verify", "HEAD").strip()


def branch_of(experiment: str) -> str:
    return f"evo/{parse_experiment_id(experiment)}"


def has_branch(layout: Layout, experiment: str) -> bool:
    """Whether it had a whole worktree once: the branch outlives it."""
    return read_ref(git_dirs(layout.root).common, f"refs/heads/{branch_of(experiment)}") is not None


class _Place:
    """One experiment's worktree and git's notes about it.

    `making` lies there from before the first file until the last one, then is renamed to `made`.
    """

    def __init__(self, layout: Layout, experiment: str) -> None:
        self.experiment = parse_experiment_id(experiment)
        self.folder = layout.worktree(experiment)
        self.common = git_dirs(layout.root).common
        self.admin = self.common / "worktrees" / self.experiment
        self.making = self.admin / "evo-making"
        self.made = self.admin / "evo-made"
        self.link = self.folder / ".git"
        self.branch = branch_of(experiment)
        self.ref = f"refs/heads/{self.branch}"

    @property
    def is_whole(self) -> bool:
        return self.made.exists() and self.link.exists()

    @property
    def tip(self) -> str | None:
        return read_ref(self.common, self.ref)

    @property
    def origin(self) -> dict[str, str]:
        """What it was being made from: `start` (commit) and `recipe` (folder or empty)."""
        return dict(json.loads(self.making.read_text()))

    def write_notes(self) -> None:
        """Git's administrative files.

        `locked` keeps `git worktree prune` away; the link is relative, so that a moved workspace still works.
        """
        self.admin.mkdir(parents=True, exist_ok=True)
        (self.admin / "commondir").write_text("../..\n")
        (self.admin / "gitdir").write_text(f"{self.link}\n")
        (self.admin / "locked").write_text("kept by evo\n")
        (self.admin / "HEAD").write_text(f"ref: {self.ref}\n")
        self.link.write_text(f"gitdir: {os.path.relpath(self.admin, self.folder)}\n")

    def announce(self, start: str, *, recipe: Path | None) -> None:
        """Leave word of what is being made, before anything else is touched."""
        self.admin.mkdir(parents=True, exist_ok=True)
        _replace(self.making, json.dumps({"start": start, "recipe": str(recipe.resolve()) if recipe else ""}))
        self.made.unlink(missing_ok=True)

    def wipe(self) -> None:
        """Remove everything but the folder itself, which is held, and the word of what is being made."""
        leftovers = [*self.folder.iterdir(), *(entry for entry in self.admin.iterdir() if entry != self.making)]
        for entry in leftovers:
            remove_folder(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        (self.common / f"{self.ref}.lock").unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text)
    draft.replace(path)


@contextmanager
def _held(place: _Place) -> Iterator[None]:
    """Hold the worktree against other evo processes; a killed holder lets go."""
    while True:
        place.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(place.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if place.folder.exists() and os.path.samestat(os.fstat(handle), place.folder.stat()):
                yield
                return
        except BaseException as error:
            with suppress(OSError):  # an empty folder is no worktree
                place.folder.rmdir()
            if isinstance(error, OSError) and not isinstance(error, EvoError):
                where = error.filename2 or error.filename or place.folder
                raise Refused(f"{where}: {error.strerror}", hint="make room, or let it be written") from error
            raise
        finally:
            os.close(handle)


def add_worktree(layout: Layout, experiment: str, *, start_commit: str, recipe_folder: Path | None) -> Path:
    """The worktree of `experiment` on a new branch (`evo/exp_0007`) at `start_commit`, with a copy of `recipe_folder`
    as `recipe/`; None: what `start_commit` has there stays.

    Once it is whole, calling again changes nothing. Refused when the branch is there without its worktree.
    """
    place = _Place(layout, experiment)
    if (place.common / "reftable").is_dir():
        raise Refused(f"{layout.root} keeps its refs as reftable", hint="git refs migrate --ref-format=files")
    with _held(place):
        if place.made.exists():
            return _completed(place)
        if not place.making.exists() and place.tip is not None:
            raise Refused(f"there is a branch {place.branch} already, of another experiment", hint="evo fsck")
        return _made(place, start_commit, recipe=recipe_folder)


def ensure_worktree(layout: Layout, experiment: Experiment) -> Path:
    """The worktree of an experiment; where it is lost or half made it is made again, from its branch or commit."""
    place = _Place(layout, experiment.id)
    if place.is_whole:
        return place.folder
    with _held(place):
        if place.made.exists():
            return _completed(place)
        tip = place.tip or experiment.commit
        if place.making.exists():
            origin = place.origin
            return _made(place, origin["start"], recipe=Path(origin["recipe"]) if origin["recipe"] else None)
        if tip is None:
            raise NotFound(f"{experiment.id} has neither worktree nor branch", hint="repeat the `evo new` that made it")
        return _recovered(place, tip)


def _made(place: _Place, start_commit: str, *, recipe: Path | None) -> Path:
    place.announce(start_commit, recipe=recipe)
    place.wipe()
    place.write_notes()
    git(place.folder, "reset", "--hard", "-q", start_commit)
    if recipe is not None:
        inherited = place.folder / RECIPE
        if inherited.exists():
            remove_folder(inherited)
        copy_files(recipe, inherited)
    place.making.rename(place.made)
    return place.folder


def _completed(place: _Place) -> Path:
    """A worktree that was whole once: bring back its link and, in an emptied folder, its last commit."""
    if not place.link.exists():
        is_empty = not any(place.folder.iterdir())
        place.write_notes()
        if is_empty:
            git(place.folder, "reset", "--hard", "-q")
    return place.folder


def _recovered(place: _Place, tip: str) -> Path:
    """Git's notes are lost: write them again. Files that are there stay, as edits of `tip`."""
    is_empty = not any(place.folder.iterdir())
    place.write_notes()
    git(place.folder, "reset", "--hard" if is_empty else "--mixed", "-q", tip)
    place.made.touch()
    return place.folder


def commit_worktree(layout: Layout, experiment: str, message: str) -> Committed:
    """Commit what changed in the worktree of `experiment`, if anything did, on its branch."""
    place = _Place(layout, experiment)
    if not place.is_whole:  # without its link, git would take the workspace itself for the repository
        raise NotFound(f"{place.experiment} has no whole worktree at {place.folder}", hint="evo fsck")
    with _held(place):  # two runs of one experiment commit one after the other
        before = status(place.folder)
        staged = commit_changes(place.folder, message, now=before) if before.changes else None
        has_commit = staged is not None and staged.has_changes
        sha = read_head(GitDirs(place.admin, place.common)) if has_commit else before.head
        if sha is None:
            raise Refused(f"{place.folder} has no commit to stand on", hint="evo fsck")
        if sha != place.tip:
            git(place.folder, "update-ref", place.ref, sha)
    return Committed(sha, tree_of(place.folder, sha, common=place.common), has_commit, staged.omitted if staged else [])


def tree_sha(layout: Layout, commit: str) -> str:
    """The tree of a commit: equal for equal contents."""
    return tree_of(layout.root, commit, common=git_dirs(layout.root).common)


def diff(layout: Layout, old: str, new: str, *, paths: Sequence[str] = ()) -> str:
    """The patch from commit `old` to commit `new`."""
    return git(layout.root, "diff", "--no-color", "--no-ext-diff", "--end-of-options", old, new, "--", *paths)


def uncommitted(layout: Layout, experiment: str) -> list[str]:
    """Paths in the worktree that differ from its last commit."""
    place = _Place(layout, experiment)
    return [change.path for change in status(place.folder).changes] if place.is_whole else []


def remove_worktree(layout: Layout, experiment: str) -> None:
    """Remove the folder; branch and commits stay, and `ensure_worktree` brings it back."""
    place = _Place(layout, experiment)
    if not place.folder.exists():
        return
    with _held(place):
        tip = place.tip
        if tip is None:
            raise Refused(f"{place.branch} has no commit: its files would be lost", hint="evo fsck")
        place.announce(tip, recipe=None)
        place.wipe()
        remove_folder(place.admin)
        place.folder.rmdir()
