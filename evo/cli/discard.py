"""evo discard."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import Exp, leaf
from evo.domain.views import Hint, MessageView, Reply
from evo.ops import lifecycle
from evo.session import open_session

app = leaf()


@app.command()
def discard(
    experiment: Exp,
    reason: Annotated[str, typer.Option("--reason", help="Why: it is read by whoever branches next.")],
    class_: Annotated[str, typer.Option("--class", help="build, data, hypothesis, eval or budget.")] = "hypothesis",
) -> Reply:
    """evo discard exp_0007 --reason "the rate was too high; loss went up from step 20"

    Give an experiment up. Its diff, results and declared artifacts stay.
    """
    with open_session() as session:
        message = lifecycle.discard(session, experiment, reason=reason, class_=class_)
    return Reply(MessageView(message, {"id": experiment}), (Hint("evo next", "where to branch instead"),))
