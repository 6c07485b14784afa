"""What a loop needs of its machine: looked at before it begins, and put into words where it gives out.

Invariant: whoever reads a refusal learns the path, what was wrong with it, and that nothing but that keeps the loop
from going on.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from evo.errors import EvoError, Refused
from evo.files import drafted
from evo.ops.loop.grounds import FOLDER
from evo.ops.loop.journal import JOURNAL
from evo.ops.loop.lasting import BACKGROUND
from evo.ops.loop.pages import CONTEXT, PLAN
from evo.session import Session
from evo.store.db import explained
from evo.workspace.git import git, git_dirs


def refuse_unready(session: Session) -> None:
    """Before anything begins: git is there and takes this repository, what the loop writes can be written."""
    root = session.layout.root
    git(root, "rev-parse", "--git-dir")
    for path in (root, git_dirs(root).common):
        if not os.access(path, os.W_OK):
            raise Refused(f"{path} cannot be written", hint="its owner and mode, or a file system that is read-only")
    for name in (CONTEXT, PLAN, JOURNAL, BACKGROUND):
        if (root / name).is_dir():
            raise Refused(f"{name} is a folder, and the loop writes a page there", hint="give it another name")


@contextmanager
def in_words(session: Session) -> Iterator[None]:
    """Within it, what the machine refuses is an EvoError. Its message goes to git: paths are those of the workspace."""
    try:
        yield
    except EvoError:
        raise
    except sqlite3.Error as error:
        if (known := explained(error, session.layout.db)) is None:
            raise
        raise known from error
    except OSError as error:
        if error.errno is None:
            raise
        path = str(error.filename2 or error.filename or "").removeprefix(f"{session.layout.root}{os.sep}")
        raise Refused(f"{path or 'the machine'}: {error.strerror}", hint="mend it; evo loop goes on") from error


def sweep(session: Session) -> None:
    """Remove what a writer that was killed has left beside the files of the loop: nobody else writes those."""
    root = session.layout.root
    pages = {CONTEXT, PLAN, JOURNAL, BACKGROUND}
    for folder in (root, session.layout.loop, root / FOLDER):
        for path in folder.iterdir() if folder.is_dir() else ():
            name = drafted(path)
            if name and (folder != root or name in pages):
                path.unlink(missing_ok=True)
