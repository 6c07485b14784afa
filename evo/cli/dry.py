"""`--dry-run`: what a command would do, with the exit code that it would have.

Invariant: a rehearsal works on a copy of the database in memory and writes no file, so it can promise nothing that the
command itself would not decide by the same code.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated

import typer

from evo.domain.agent_views import DryRunView
from evo.domain.views import Hint, Reply
from evo.session import Session, open_rehearsal, open_session

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")]


def opened(dry_run: bool) -> AbstractContextManager[Session]:
    """The workspace, or a rehearsal of it."""
    return open_rehearsal() if dry_run else open_session()


def rehearsed(
    command: str, would: list[str], *, facts: dict[str, object] | None = None, warnings: tuple[str, ...] = ()
) -> Reply:
    """The reply of a rehearsal: what `command` would do."""
    return Reply(DryRunView(command, would, facts or {}), (Hint(command, "does it"),), warnings)
