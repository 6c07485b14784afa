"""One git process at a time, as evo wants it run.

Invariant: no hook, no signature, no prompt, no pager and no background gc has a part in it, and the caller's own
GIT_DIR or GIT_INDEX_FILE (evo called from a hook) never leads elsewhere. A held lock is waited for; one whose git was
killed is removed.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from evo.errors import Busy, NotFound, Refused

_OPTIONS = (
    "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
    "-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false",
)  # fmt: skip
_FOREIGN = frozenset(
    {
        "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT",
        "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE", "GIT_EXTERNAL_DIFF",
    }
)  # fmt: skip
_OURS = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "true",
    "GIT_DEFAULT_REF_FORMAT": "files",
}
_NOBODY = {
    "GIT_AUTHOR_NAME": "evo",
    "GIT_AUTHOR_EMAIL": "evo@localhost",
    "GIT_COMMITTER_NAME": "evo",
    "GIT_COMMITTER_EMAIL": "evo@localhost",
}
"""The author where git knows none."""
_NO_IDENTITY = (
    "Please tell me who you are",
    "empty ident name",
    "unable to auto-detect email",
    "auto-detection is disabled",
)
_LOCK_HELD = re.compile(r"(?:Unable to create|cannot lock ref .*?) '([^']+\.lock)': File exists")
LOCK_WAIT_S = 20.0
_DEAD_LOCK_S = 2.0
_CANNOT_ENTER = 128
_IGNORED_BY_PYTHON = (13, 25)
"""SIGPIPE and SIGXFSZ, which git is to die of as it would anywhere else."""


def git(folder: Path, *args: str, stdin: str | None = None) -> str:
    """Standard output of `git ARGS` in `folder`. Refused with git's own words, Busy when a lock stays held."""
    deadline = time.monotonic() + LOCK_WAIT_S
    extra: dict[str, str] = {}
    pause = 0.01
    while True:
        done = _start(folder, args, stdin=stdin, extra=extra)
        if done.returncode == 0:
            return done.stdout
        held = _LOCK_HELD.search(done.stderr)
        if held is None and not extra and any(words in done.stderr for words in _NO_IDENTITY):
            extra = _NOBODY
        elif held is None:
            raise Refused(f"git {args[0]} in {folder}: {_complaint(done)}")
        elif time.monotonic() > deadline:
            raise Busy(f"{held[1]} is held by another git", hint="try again; remove the file if no git is running")
        else:
            _remove_dead(Path(held[1]), folder=folder)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)


class _Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def _start(folder: Path, args: tuple[str, ...], *, stdin: str | None, extra: dict[str, str]) -> _Done:
    """Files in memory instead of pipes: nobody has to read while git writes, and `subprocess`, 3 ms, is not needed."""
    clean = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    with ExitStack() as files:
        ends = [files.enter_context(open(os.memfd_create(name), "w+b")) for name in ("stdin", "stdout", "stderr")]
        if stdin is not None:
            ends[0].write(stdin.encode("utf-8", "surrogateescape"))
            ends[0].seek(0)
        try:
            child = os.posix_spawnp(
                "git",
                ["git", "-C", str(folder), *_OPTIONS, *args],
                clean | _OURS | extra,
                file_actions=[(os.POSIX_SPAWN_DUP2, file.fileno(), number) for number, file in enumerate(ends)],
                setsigdef=_IGNORED_BY_PYTHON,
            )
        except FileNotFoundError:
            raise Refused("git is not installed", hint="install git 2.30 or newer") from None
        status = _wait(child)
        said = []
        for file in ends[1:]:
            file.seek(0)
            said.append(file.read().decode("utf-8", "surrogateescape"))
    if status == _CANNOT_ENTER and not folder.is_dir():
        raise NotFound(f"the folder {folder} does not exist")
    return _Done(status, *said)


def _wait(child: int) -> int:
    """Its exit code, minus the signal that ended it. An interrupted wait ends the child first."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except BaseException:
        os.kill(child, 9)
        os.waitpid(child, 0)
        raise


def _complaint(done: _Done) -> str:
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return "; ".join(lines[-3:]) or f"exit code {done.returncode}"


def is_index_held(root: Path) -> bool:
    """Whether a git has the index of the repository at `root` locked, as one does while its editor is open."""
    lock = git_dirs(root).own / "index.lock"
    _remove_dead(lock, folder=root)
    return lock.exists()


def _remove_dead(lock: Path, *, folder: Path) -> None:
    """Remove a lock whose git was killed: some seconds old, and no git works in `folder`."""
    try:
        age = time.time() - lock.stat().st_mtime
    except FileNotFoundError:
        return
    if age > _DEAD_LOCK_S and not _git_may_run_in(folder):
        lock.unlink(missing_ok=True)


def _git_may_run_in(folder: Path) -> bool:
    """True when a live git stands in `folder`, or when that cannot be known here."""
    processes = list(Path("/proc").glob("[0-9]*"))
    here = folder.resolve()
    return not processes or any(_is_git_in(process, here) for process in processes)


def _is_git_in(process: Path, folder: Path) -> bool:
    try:
        if not (process / "comm").read_text().startswith("git"):
            return False
        return (process / "cwd").readlink().is_relative_to(folder)
    except PermissionError:
        return True
    except OSError:
        return False


class GitDirs(NamedTuple):
    """`own`: HEAD and index of one working tree; `common`: refs and objects that all of them share."""

    own: Path
    common: Path


def git_dirs(root: Path) -> GitDirs:
    """The git folders of the repository at `root`. Refused where there is none."""
    entry = root / ".git"
    if entry.is_file():
        own = (root / entry.read_text().removeprefix("gitdir:").strip()).resolve()
        shared = own / "commondir"
        return GitDirs(own, (own / shared.read_text().strip()).resolve() if shared.is_file() else own)
    if not entry.is_dir():
        raise Refused(f"{root} is not a git repository", hint=f"git -C {root} init")
    return GitDirs(entry, entry)


def read_head(dirs: GitDirs) -> str | None:
    """The commit that is checked out; None before the first one."""
    text = (dirs.own / "HEAD").read_text().strip()
    return read_ref(dirs.common, text.removeprefix("ref: ")) if text.startswith("ref: ") else text


def read_ref(common: Path, ref: str) -> str | None:
    """The object that `refs/heads/…` names, read from its file; None when there is none in files."""
    try:
        return (common / ref).read_text().strip()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        pass
    try:
        packed = (common / "packed-refs").read_bytes()
    except FileNotFoundError:
        return None
    found = re.search(rb"^([0-9a-f]{40,64}) " + re.escape(ref.encode()) + rb"$", packed, re.MULTILINE)
    return found[1].decode() if found else None


def tree_of(folder: Path, commit: str, *, common: Path) -> str:
    """The tree of a commit: from the loose object's first line, else from git."""
    try:
        raw = (common / "objects" / commit[:2] / commit[2:]).read_bytes()
        header = zlib.decompressobj().decompress(raw, 128)
        kind, _, body = header.partition(b"\0")
        if kind.startswith(b"commit ") and body.startswith(b"tree "):
            return body[5 : body.index(b"\n")].decode()
    except (OSError, zlib.error, ValueError):
        pass
    return git(folder, "rev-parse", "--verify", f"{commit}^{{tree}}").strip()
