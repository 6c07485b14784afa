"""evo rescore."""

from __future__ import annotations

from evo.cli.options import Exp, leaf
from evo.cli.progress import progress
from evo.domain.views import Reply
from evo.ops.judging import epoch
from evo.report.show import reply
from evo.session import open_session

app = leaf()


@app.command()
def rescore(experiment: Exp) -> Reply:
    """evo rescore exp_0007

    Evaluate its weights again under the present evaluation, so that it can be compared.
    """
    with open_session() as session, progress() as on_tick:
        message = epoch.rescore(session, experiment, on_tick)
        return reply(session, experiment, message=message)
