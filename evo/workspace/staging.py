"""Which changed files of a folder may enter git, and committing them.

Invariant: only paths named one by one are staged; secrets and files of more than 10 MB never are, whoever staged them.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path

from evo.lightdata import dataclass
from evo.workspace.git import git

MAX_BYTES = 10_000_000
_SECRETS = (
    ".env", ".env.*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
    ".netrc", ".pypirc", ".npmrc", ".git-credentials", "credentials.json",
)  # fmt: skip
_HARMLESS = (".env.example", ".env.sample", ".env.template", "*.pub")


@dataclass(frozen=True)
class Change:
    """`is_staged`: the index differs from HEAD; `is_edited`: the file differs from the index, or is new."""

    path: str
    is_staged: bool
    is_edited: bool
    is_removal: bool = False


@dataclass(frozen=True)
class Status:
    """`head` is None on a branch without commits."""

    head: str | None
    changes: list[Change]


@dataclass(frozen=True)
class Omission:
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is not kept in git: {self.reason}"


@dataclass(frozen=True)
class Staged:
    has_changes: bool
    omitted: list[Omission]


def is_secret(path: str) -> bool:
    """True when the name of the file is one that secrets usually have."""
    name = path.rstrip("/").rpartition("/")[2].lower()
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _SECRETS) and not any(
        fnmatch.fnmatchcase(name, pattern) for pattern in _HARMLESS
    )


def status(folder: Path, paths: Sequence[str] = ()) -> Status:
    """What differs from HEAD in the working tree of `folder`, ignored files left out."""
    limit = ("--", *paths) if paths else ()
    text = git(folder, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames", *limit)
    head: str | None = None
    changes = []
    for entry in text.split("\0"):
        kind = entry[:2]
        if entry.startswith("# branch.oid "):
            head = entry.removeprefix("# branch.oid ")
        elif kind == "? ":
            changes.append(Change(entry[2:], is_staged=False, is_edited=True))
        elif kind in ("1 ", "u "):
            path = entry.split(" ", 8 if kind == "1 " else 10)[-1]
            index, tree = entry[2], entry[3]
            changes.append(Change(path, index != ".", tree != ".", is_removal=(index, tree) == ("D", ".")))
    return Status(None if head == "(initial)" else head, changes)


def reason_to_omit(folder: Path, path: str) -> str:
    """Why the file at `path` may not enter git; empty when it may, or is gone."""
    try:
        size = (folder / path).lstat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if is_secret(path):
        return "it looks like a secret"
    if path.endswith("/"):
        return "it is a git repository of its own"
    if size > MAX_BYTES:
        return f"it has {size / 1e6:.0f} MB (limit {MAX_BYTES / 1e6:.0f} MB)"
    return ""


def stage(folder: Path, changes: Iterable[Change]) -> Staged:
    """Put what may enter git into the index, and take out what may not."""
    edited, omitted, withdrawn = [], [], []
    has_changes = False
    for change in changes:
        reason = "" if change.is_removal else reason_to_omit(folder, change.path)
        if not reason:
            edited += [change.path] if change.is_edited else []
            has_changes = True
            continue
        omitted.append(Omission(change.path, reason))
        withdrawn += [change.path] if change.is_staged else []
    if withdrawn:
        git(folder, "reset", "-q", "--pathspec-from-file=-", "--pathspec-file-nul", stdin="\0".join(withdrawn))
    if edited:
        names = "".join(f"{path}\0" for path in edited)
        git(folder, "update-index", "-z", "--add", "--remove", "--replace", "--stdin", stdin=names)
    return Staged(has_changes, omitted)


def commit_changes(folder: Path, message: str, *, now: Status) -> Staged:
    """Commit what `now` lists and may enter git; no commit where the index then equals HEAD."""
    staged = stage(folder, now.changes)
    may_cancel_out = any(change.is_staged and change.is_edited for change in now.changes)
    if may_cancel_out and not any(change.is_staged for change in status(folder).changes):
        return Staged(False, staged.omitted)
    if staged.has_changes:
        _commit(folder, message)
    return staged


def commit_paths(folder: Path, paths: Sequence[str], message: str, *, is_due: bool = False) -> None:
    """Commit these files alone, whatever else is staged. When they equal HEAD: none, or an empty one that is due."""
    staged = stage(folder, status(folder, paths).changes)
    if staged.has_changes:
        left_out = {omission.path for omission in staged.omitted}
        _commit(folder, message, "--only", "--", *(path for path in paths if path not in left_out))
    elif is_due:
        _commit(folder, message, "--only", "--allow-empty")


def _commit(folder: Path, message: str, *args: str) -> None:
    git(folder, "commit", "-q", "--no-verify", "--cleanup=verbatim", "-F", "-", *args, stdin=message.strip() + "\n")
