"""`evo log [EXP]`."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from evo.cli.options import MaybeExp, leaf
from evo.domain.views import Reply
from evo.errors import UsageError
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
    entry: Annotated[bool, typer.Option("--entry", help="The experiment as a log entry of thirteen fields.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="What it is to try, why, and when it counts.")] = False,
    method: Annotated[bool, typer.Option("--method", help="Dataset, method, constraints, hyperparameters.")] = False,
) -> Reply:
    """evo log exp_0007 --tail 100

    The end of an experiment's training log; without EXP, the last events of the workspace.
    """
    if entry + plan + method > 1 or ((entry or plan) and exp is None):
        raise UsageError(
            "--entry and --plan are of one experiment, --method of one or all", hint="evo log exp_0001 --entry"
        )
    if method:
        said: Reply = import_module("evo.report.methodlog").reply(exp, limit=tail)
        return said
    if exp is not None and (entry or plan):
        pages = import_module("evo.report.entry")
        page: Reply = pages.entry_reply(exp) if entry else pages.plan_reply(exp)
        return page
    return log_reply(exp, attempt=attempt, is_eval=eval, tail=tail)
