"""evo backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.domain.views import MessageView, Reply
from evo.ops import upkeep
from evo.session import open_session

app = leaf()


@app.command()
def backup(
    target: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: .evo/reports/evo-TIME.db")] = None,
) -> Reply:
    """evo backup /mnt/safe/evo.db

    Copy the database, consistent even while others write.
    """
    with open_session() as session:
        path = upkeep.backup(session, target)
    return Reply(MessageView(f"written: {path}", {"path": str(path), "bytes": path.stat().st_size}))
