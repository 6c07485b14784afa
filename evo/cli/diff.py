"""`evo diff EXP`."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import Exp, Limit, leaf
from evo.domain.views import Reply
from evo.report.diff import diff_reply

app = leaf()


@app.command()
def diff(
    exp: Exp,
    against: Annotated[str | None, typer.Option("--against", metavar="EXP", help="Instead of the parent.")] = None,
    stat: Annotated[bool, typer.Option("--stat", help="Files and counts only.")] = False,
    limit: Limit = 500,
) -> Reply:
    """evo diff exp_0007 --against exp_0003

    What an experiment changed against its parent: parameters and files. --limit counts lines of the diff.
    """
    return diff_reply(exp, against=against, stat=stat, limit=limit)
