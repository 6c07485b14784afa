"""evo direct."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.dry import DryRun, opened, rehearsed
from evo.cli.options import Limit, leaf
from evo.domain.views import Reply
from evo.ops import direct as ops

app = leaf()


@app.command()
def direct(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="Without it: the open ones are listed.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: the same key says it once.")] = None,
    limit: Limit = 50,
    dry_run: DryRun = False,
) -> Reply:
    """evo direct "stay below rank 16: the model must fit on the phone"

    Tell whoever drives the tree something: every brief and every next shows it until it is acknowledged.
    """
    if text is None:
        return ops.open_reply(limit=limit)
    with opened(dry_run) as session:
        reply = ops.say(session, text, key=key)
    return rehearsed("evo direct", [reply.view.message]) if dry_run else reply
