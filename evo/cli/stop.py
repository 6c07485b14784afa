"""evo stop."""

from __future__ import annotations

from evo.cli.options import Exp, leaf
from evo.domain.views import Hint, MessageView, Reply
from evo.ops.runs import stop as ops
from evo.session import open_session

app = leaf()


@app.command()
def stop(experiment: Exp) -> Reply:
    """evo stop exp_0007

    End its training now, keep the best checkpoint and evaluate it. A recipe that is one command is ended at once, and
    what lies in its output folder is evaluated; a page has a minute to hand over.
    """
    with open_session() as session:
        stopped = ops.stop(session, experiment)
    view = MessageView(stopped.message, {"id": experiment, "attempt": stopped.attempt})
    return Reply(view, (Hint(f"evo wait {experiment}", "until it is evaluated"),))
