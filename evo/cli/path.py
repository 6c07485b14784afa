"""`evo path EXP`."""

from __future__ import annotations

from evo.cli.options import Exp, Limit, leaf
from evo.domain.views import Reply
from evo.report.lineage import path_reply

app = leaf()


@app.command()
def path(exp: Exp, limit: Limit = 50) -> Reply:
    """evo path exp_0007

    The line of experiments from exp_0000 down to this one.
    """
    return path_reply(exp, limit=limit)
