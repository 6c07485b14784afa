"""`evo log [EXP]`."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import MaybeExp, leaf
from evo.domain.views import Reply
from evo.report.logs import log_reply

app = leaf()


@app.command()
def log(
    exp: MaybeExp = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, metavar="N", help="Which attempt.", show_default="the last")
    ] = None,
    eval: Annotated[bool, typer.Option("--eval", help="The log of the evaluation on dev.")] = False,
    tail: Annotated[
        int, typer.Option("--tail", "--limit", min=1, max=100_000, metavar="N", help="So many lines from the end.")
    ] = 50,
) -> Reply:
    """evo log exp_0007 --tail 100

    The end of an experiment's training log; without EXP, the last events of the workspace.
    """
    return log_reply(exp, attempt=attempt, is_eval=eval, tail=tail)
