"""evo discard."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.dry import DryRun, opened, rehearsed
from evo.cli.options import Exp, leaf
from evo.domain.views import Hint, MessageView, Reply
from evo.ops import lifecycle

app = leaf()


@app.command()
def discard(
    experiment: Exp,
    reason: Annotated[str, typer.Option("--reason", help="Why: it is read by whoever branches next.")],
    class_: Annotated[str, typer.Option("--class", help="build, data, hypothesis, eval or budget.")] = "hypothesis",
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: the same key discards once.")] = None,
    dry_run: DryRun = False,
) -> Reply:
    """evo discard exp_0007 --reason "the rate was too high; loss went up from step 20"

    Give an experiment up. Its diff, results and declared artifacts stay.
    """
    with opened(dry_run) as session:
        message = lifecycle.discard(session, experiment, reason=reason, class_=class_, key=key)
    if dry_run:
        return rehearsed(f"evo discard {experiment}", [message], facts={"id": experiment})
    return Reply(MessageView(message, {"id": experiment}), (Hint("evo next", "where to branch instead"),))
