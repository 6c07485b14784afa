"""`evo frontier`."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.domain.views import Reply
from evo.report.frontier import frontier_reply

app = leaf()


@app.command()
def frontier(
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="NAME", help="Another policy than search.policy.")
    ] = None,
    k: Annotated[
        int, typer.Option("-k", "--limit", min=1, max=1000, metavar="N", help="So many picks, as for so many workers.")
    ] = 5,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of a policy that draws.")] = None,
) -> Reply:
    """evo frontier -k 4 --policy thompson

    The nodes worth branching from next. What runs now is counted; nothing is written.
    """
    return frontier_reply(policy=policy, k=k, seed=seed)
