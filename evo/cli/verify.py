"""evo verify."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import Exp, leaf
from evo.cli.progress import progress
from evo.domain.views import Hint, Reply
from evo.errors import Denied
from evo.ops.checks import verify as ops
from evo.session import open_session

app = leaf()


@app.command()
def verify(
    experiment: Exp,
    items: Annotated[int, typer.Option("--items", min=1, help="Dev items to evaluate again.")] = ops.ITEMS,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Draws them; default: a new one each time.")] = None,
) -> Reply:
    """evo verify exp_0007

    Measure again and recompute: weights, artifacts, score, certificate. Ok, or not ok (exit 5) with what was found.
    """
    with open_session() as session, progress() as on_tick:
        view = ops.verify(session, experiment, items=items, seed=seed, on_tick=on_tick)
    if view.ok:
        return Reply(view, (Hint(f"evo show {experiment}", "all about it"),))
    first = view.findings[0]
    return Reply(view, failure=Denied(f"{experiment} is not ok: {first.message}", hint=f"evo show {experiment}"))
