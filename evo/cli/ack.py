"""evo ack."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.dry import DryRun, opened, rehearsed
from evo.cli.options import leaf
from evo.domain.views import Reply
from evo.ops import direct as ops

app = leaf()


@app.command()
def ack(
    number: Annotated[int | None, typer.Argument(metavar="[ID]", help="Default: all that are open.")] = None,
    answer: Annotated[str, typer.Option("--answer", help="What you make of it.")] = "",
    dry_run: DryRun = False,
) -> Reply:
    """evo ack 3 --answer "rank 8 from here on"

    Say that a direction was read. It is shown no more, and stays in the event log.
    """
    with opened(dry_run) as session:
        reply = ops.acknowledge(session, number, answer=answer)
    return rehearsed("evo ack", [reply.view.message]) if dry_run else reply
