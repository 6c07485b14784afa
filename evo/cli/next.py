"""`evo next`."""

from __future__ import annotations

from evo.cli.options import Limit, leaf
from evo.domain.views import Reply
from evo.report.next import next_reply

app = leaf()


@app.command()
def next(limit: Limit = 5) -> Reply:
    """evo next

    The commands that make sense now, most useful first, each with its reason.
    """
    return next_reply(limit=limit)
