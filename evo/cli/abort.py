"""evo abort."""

from __future__ import annotations

from evo.cli.options import Exp, leaf
from evo.domain.views import Hint, MessageView, Reply
from evo.ops import lifecycle
from evo.session import open_session

app = leaf()


@app.command()
def abort(experiment: Exp) -> Reply:
    """evo abort exp_0007

    End the running attempt and every process of it. The attempt counts.
    """
    with open_session() as session:
        message = lifecycle.abort(session, experiment)
    return Reply(MessageView(message, {"id": experiment}), (Hint(f"evo show {experiment}", "what is left of it"),))
