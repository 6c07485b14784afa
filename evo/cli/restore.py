"""evo restore."""

from __future__ import annotations

from evo.cli.options import Exp, leaf
from evo.domain.views import Hint, MessageView, Reply
from evo.ops import lifecycle
from evo.session import open_session

app = leaf()


@app.command()
def restore(experiment: Exp) -> Reply:
    """evo restore exp_0007

    Take a discard back: the former standing, never more.
    """
    with open_session() as session:
        message = lifecycle.restore(session, experiment)
    return Reply(MessageView(message, {"id": experiment}), (Hint(f"evo show {experiment}", "how it stands"),))
