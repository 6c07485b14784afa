"""`evo compare A B`."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import Limit, leaf
from evo.domain.views import Reply
from evo.report.compare import compare_reply

app = leaf()


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="An experiment: exp_0003, or 3.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The one to compare with it.")],
    limit: Limit = 50,
) -> Reply:
    """evo compare exp_0003 exp_0007

    B against A on their common dev items: paired difference with its 95 % interval, slices, flipped items, what
    differs in parameters, data and files, and how both trained.
    """
    return compare_reply(a, b, limit=limit)
