"""evo gc."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.domain.upkeep_views import GarbageView
from evo.domain.views import Hint, Reply
from evo.ops import upkeep
from evo.session import open_session

app = leaf()


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run/--delete", help="List only, or delete.")] = True,
) -> Reply:
    """evo gc --dry-run

    Weights of failed and discarded experiments that nobody descends from or declared. Lists them unless --delete.
    """
    with open_session() as session:
        found = upkeep.garbage(session) if dry_run else upkeep.collect_garbage(session)
    view = GarbageView(
        paths=[str(entry.path) for entry in found],
        experiments=[entry.experiment for entry in found],
        bytes=sum(entry.size for entry in found),
        deleted=not dry_run,
    )
    return Reply(view, (Hint("evo gc --delete", "delete them"),) if dry_run and found else ())
