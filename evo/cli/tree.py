"""`evo tree`."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import Limit, leaf
from evo.domain.views import Reply
from evo.report.tree import tree_reply

app = leaf()


@app.command()
def tree(
    start: Annotated[
        str, typer.Option("--from", metavar="EXP", help="Show this experiment and what descends from it.")
    ] = "exp_0000",
    depth: Annotated[
        int | None, typer.Option("--depth", min=0, metavar="N", help="Go down so many generations.", show_default="all")
    ] = None,
    limit: Limit = 50,
) -> Reply:
    """evo tree --from exp_0003 --depth 2

    The tree of experiments, depth first, with standing, score and hypothesis.
    """
    return tree_reply(start, depth=depth, limit=limit)
