"""evo eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.cli.progress import progress
from evo.domain.views import Reply
from evo.errors import UsageError
from evo.ops.runs import scratch as ops
from evo.ops.runs.serving import present_engine
from evo.session import open_session

app = leaf()


@app.command()
def eval(
    what: Annotated[str, typer.Argument(metavar="EXP|PATH", help="An experiment, or a folder of weights.")],
    scratch: Annotated[bool, typer.Option("--scratch", help="Say that it is no score.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="temperature=0.7, max-new-tokens=64, …")
    ] = None,
    suite: Annotated[Path | None, typer.Option("--suite", help="Other items (JSONL) than dev.")] = None,
) -> Reply:
    """evo eval exp_0003 --set temperature=0.7 --scratch

    Evaluate without touching the tree. Never a score, never recorded.
    """
    if not scratch:
        raise UsageError("a score comes from `evo run` alone; this is for looking", hint=f"evo eval {what} --scratch")
    with open_session() as session, progress() as on_tick:
        view = ops.evaluate_scratch(session, what, settings=settings or [], suite=suite, on_tick=on_tick)
        warning = present_engine(session).warning
        return Reply(view, warnings=(warning,) if warning else ())
